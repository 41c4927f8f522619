//! The port for browsers: the page, its files, what a page has to know of the relay. It is meant for everybody,
//! so it serves this and nothing of the operators' side ([`super::http`]), on a thread of its own.
//!
//! * [`site`]: the routes
//! * [`files`]: the folder `web/` of the repository, in the binary
//! * [`policy`]: the headers that keep a page to itself
//! * [`host`]: the host that a request is for
//! * [`server`]: connections, their bounds, TLS

mod files;
mod host;
mod places;
mod policy;
pub mod server;
pub mod site;
