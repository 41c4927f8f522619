//! Parts that measurements of different servers share: `tribune-bench` itself, and the load clients of
//! other systems in `bench/peers/`, which is a workspace of its own.
//!
//! * [`accounting`]: CPU, memory and dropped datagrams of processes, read from /proc
//! * [`frame`]: stamped frames and the schedule on which they are sent
//! * [`window_tally`]: frames that the listeners of one window received
//! * [`contender`]: the protocol between a load client and `tribune-bench peers`

pub mod accounting;
pub mod contender;
pub mod frame;
pub mod window_tally;
