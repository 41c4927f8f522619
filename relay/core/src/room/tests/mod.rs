//! Tests of the origin's decisions: the machine alone, with a store in memory and a clock of its own.

mod appeals;
mod durable;
mod hands;
mod harness;
mod moderation;
mod random;
mod rulings;
mod settings;
mod stage;
