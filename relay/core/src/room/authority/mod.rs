//! Decisions about a room, taken at its origin.
//!
//! [`commit::Authority`] takes the inputs, one after the other. It opens a turn over the parts of the
//! state and has the input decided; a decision that belongs into the log is tried on a copy and takes
//! effect once it is durable. Imports go down this list:
//!
//! * [`commit`] — the authority: inputs, copies, the store; `inbox` — inputs that wait for it;
//!   `ledger` — the stored part; `log_reads` — readings of the log
//! * `decide` — one input: the actor's permission, the decision, the consequences for others
//! * decisions, as functions over a turn: `entry`, `stage`, `hands`, `moderation`, `removal`, `roles`,
//!   `settings`, `appeals`, `audience`; and shared steps: `presence`, `host`, `lifecycle`, `rights`
//! * `state` — all parts as one value; `record` — its durable part as bytes; `turn` — the parts of one
//!   input
//! * parts, each with private fields: `published` (phase, settings, stage, tracks), `people`, `away`,
//!   `hand_queue`, `ruling_book`, `docket`, `silenced`, `occupancy`, `question_list`, `interested`, `drafts`
//! * `statistics` — what the host reads about the present run, from facts, tallies and speech
//! * [`effect`] — effects and their queue; [`policy`] — the policy table; `target` — actor and target

mod appeals;
mod audience;
mod away;
pub mod commit;
mod decide;
mod docket;
mod drafts;
pub mod effect;
mod entry;
pub(in crate::room) mod hand_queue;
mod hands;
mod host;
pub(in crate::room) mod inbox;
mod interested;
mod ledger;
pub(in crate::room) mod lifecycle;
mod log_reads;
mod moderation;
mod occupancy;
mod people;
pub mod policy;
mod presence;
mod published;
mod question_list;
mod record;
mod removal;
mod rights;
mod roles;
mod ruling_book;
mod run_list;
mod runs;
mod settings;
pub(in crate::room) mod silenced;
mod stage;
mod state;
mod statistics;
mod target;
mod turn;
