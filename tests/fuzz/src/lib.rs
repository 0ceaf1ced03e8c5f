//! What the fuzz targets do with an input. Each is a plain function that panics where something
//! does not hold.
//!
//! | Target | What must hold, whatever the input |
//! |---|---|
//! | [`decoder`] | however bytes are split, the same frames and the same error come out |
//! | [`tables`] | the lazy walk over a table agrees with its decoding; depth and number are bounded |
//! | [`round_trip`] | every method and every set of properties is read as it was written |
//! | [`client`] | the client's machine under a hostile broker, commands and lost connections |
//! | [`broker`] | the embedded broker under hostile clients |

pub mod broker;
pub mod client;
pub mod decoder;
pub mod grammar;
pub mod memory;
pub mod peer;
pub mod round_trip;
pub mod tables;
