//! Status of relays and rooms, for people: [`answer`] parses the responses of a relay's HTTP API,
//! [`listeners`], [`table`] and [`phrases`] format them. Pure; used by `tribune listeners` and `tribune top`.

pub(crate) mod answer;
pub(crate) mod listeners;
pub(crate) mod phrases;
pub(crate) mod table;
