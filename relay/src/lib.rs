//! `tribune-relay`: threads, sockets, disks and HTTP around [`tribune_relay_core`].

pub mod api;
pub mod assemble;
pub mod config;
pub mod drivers;
pub mod identity;
pub mod logging;
pub mod metrics;
pub mod monitor;
pub mod store;
pub mod tls;
pub mod websocket;
