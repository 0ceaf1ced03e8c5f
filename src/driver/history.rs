//! The last transitions of a connection, for whoever watches: a bounded history with numbers, so
//! that a watcher that lags knows what it missed.

use std::{collections::VecDeque, sync::Arc};

use crate::proto::Change;

/// Transitions that are kept.
const KEPT: usize = 256;

/// The last transitions, numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct History {
    first: u64,
    changes: VecDeque<Arc<Change>>,
}

impl History {
    /// Notes a transition; the oldest gives way.
    pub(crate) fn push(&mut self, change: Change) {
        if self.changes.len() >= KEPT {
            self.changes.pop_front();
            self.first += 1;
        }
        self.changes.push_back(Arc::new(change));
    }

    /// The transition with this number, or the oldest that is kept after it.
    pub(crate) fn next(&self, cursor: &mut u64) -> Option<Arc<Change>> {
        *cursor = (*cursor).max(self.first);
        let index = usize::try_from(*cursor - self.first).ok()?;
        let change = self.changes.get(index)?;
        *cursor += 1;
        Some(change.clone())
    }
}
