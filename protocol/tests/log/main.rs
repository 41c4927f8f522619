//! The moderation log from outside: what is written is verified, and no change goes unseen.

mod chain;
mod export;
mod flips;
mod sample;
