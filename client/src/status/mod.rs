//! What relays measure and listeners report, for people: [`answer`] reads what a relay's HTTP side says,
//! [`listeners`], [`table`] and [`words`] write it. Pure; used by `tribune listeners` and `tribune top`.

pub(crate) mod answer;
pub(crate) mod listeners;
pub(crate) mod phrases;
pub(crate) mod table;
