//! Commands that stay in a room with sound: [`join`], [`listen`], [`speak`], and the parts they share.

pub(crate) mod join;
pub(crate) mod listen;
mod receiver;
mod sink_thread;
mod source_thread;
pub(crate) mod speak;
mod talk;
