//! The names that a recovery may change, so that all who hold them follow.

use std::sync::{PoisonError, Weak};

use super::sync::Mutex;
use crate::wire::ShortString;

/// Somebody who holds the name of a queue that the broker named.
#[allow(unreachable_pub)] // See `driver`.
pub trait Renamed: Send + Sync {
    /// The queue `old` is now called `new`: whoever held the old name holds the new one.
    fn renamed(&self, old: &ShortString, new: &ShortString);
}

/// Those who hold such names on one connection.
#[derive(Default)]
pub(crate) struct Names(Mutex<Vec<Weak<dyn Renamed>>>);

impl Names {
    /// Keeps somebody informed, for as long as they live.
    pub(crate) fn keep(&self, holder: Weak<dyn Renamed>) {
        let mut holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.len() == holders.capacity() {
            holders.retain(|holder| holder.strong_count() > 0);
        }
        holders.push(holder);
    }

    /// Tells everybody.
    pub(crate) fn rename(&self, old: &ShortString, new: &ShortString) {
        let holders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for holder in holders.iter().filter_map(Weak::upgrade) {
            holder.renamed(old, new);
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}
