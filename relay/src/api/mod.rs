//! The HTTP side: health, metrics, questions and orders of operators; and, on a port of its own, pages for browsers.

pub mod auth;
pub mod http;
mod json;
mod listener;
pub mod query_channel;
pub mod routes;
pub mod web;
