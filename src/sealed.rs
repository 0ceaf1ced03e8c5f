//! Keeps the traits of the typestate API to this crate.

/// Implemented by this crate's types only.
pub trait Sealed {}
