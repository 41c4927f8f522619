//! `tribune-bench`: load, latency and ceilings of a relay on this machine. Without a command it runs the
//! [`suite`], as `make bench` does.
//!
//! * [`cli`] has the commands
//! * [`load`] puts a relay under load from a [`pool`] of participants; [`report`] prints the result
//! * [`ceiling`] measures the machine without QUIC, [`handshake`] joins beside bare TLS handshakes
//! * [`peers`] measures other systems in turn; [`contend`] is Tribune's and the ceiling's side of that
//! * [`sound`] measures how a listener hears a speaker over lossy paths, in virtual time
//! * [`plan`] computes a tree for an audience from measured costs
//! * [`suite`] measures everything that is judged; it runs each load as a process of its own ([`child_run`])
//! * [`relay_process`] starts relays, [`paths`] finds programs and results, [`spread`] and [`text_table`]
//!   print figures
//!
//! `tribune_bench`, the library beside it, has the parts that load clients of other systems share.

mod ceiling;
mod child_run;
mod cli;
mod contend;
mod handshake;
mod load;
mod paths;
mod peers;
mod plan;
mod pool;
mod relay_process;
mod report;
mod sound;
mod spread;
mod suite;
mod text_table;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
