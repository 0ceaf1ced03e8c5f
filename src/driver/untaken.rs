//! Deliveries that consumers have taken from the connection and not yet handed out.

use std::sync::{Arc, PoisonError, Weak, atomic::Ordering};

use super::sync::{AtomicUsize, Mutex};

/// How many deliveries one consumer has taken and not handed out. Its owner alone writes it.
#[derive(Debug, Default)]
pub(crate) struct Untaken(Arc<AtomicUsize>);

/// Those of all consumers of a connection.
#[derive(Debug, Default)]
pub(super) struct AllUntaken(Mutex<Vec<Weak<AtomicUsize>>>);

impl Untaken {
    pub(crate) fn are(&self, count: usize) {
        self.0.store(count, Ordering::Relaxed);
    }
}

impl AllUntaken {
    /// Counts another consumer's, for as long as it lives.
    pub(super) fn count(&self) -> Untaken {
        let untaken = Untaken::default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&untaken.0));
        untaken
    }

    pub(super) fn sum(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).map(|one| one.load(Ordering::Relaxed)).sum()
    }
}
