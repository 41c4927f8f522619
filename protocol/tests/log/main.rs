//! The moderation log from outside: written logs verify, and every change is detected.

mod chain;
mod export;
mod flips;
mod sample;
