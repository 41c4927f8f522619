//! The HTTP side: health, metrics, questions and orders of operators.

pub mod auth;
pub mod http;
mod json;
mod listener;
pub mod query_channel;
pub mod routes;
