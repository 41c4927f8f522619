//! What measurements of different servers share: `tribune-bench` itself, and the load clients of other
//! systems in `bench/peers/`, which is a workspace of its own.
//!
//! * [`accounting`] is what the operating system says of processes
//! * [`frame`] is what speakers say, and when
//! * [`hearing`] is what a window's listeners have heard
//! * [`contender`] is how a load client talks to whoever has it run next to others

pub mod accounting;
pub mod contender;
pub mod frame;
pub mod hearing;
