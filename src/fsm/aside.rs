//! What a machine remembers without depending on it.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};

/// A value that takes no part in equality and hashing.
///
/// Statistics and running numbers grow for ever and decide nothing. Were they compared, a model
/// checker would take two machines that behave alike for two states, and would never come to an end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Aside<T>(pub(crate) T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Aside<T> {}

impl<T> Hash for Aside<T> {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl<T> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aside<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
