//! The catalogue of misuse, row by row: what the compiler says, what a value or a call says, and what
//! the brokers answer to the same bytes from a client that checks nothing.

mod answers;
mod catalogue;
mod legal;
mod programs;
#[allow(dead_code)] // Also the broker's tests' client.
#[path = "../broker/raw.rs"]
mod raw;
mod refusals;
mod values;
