//! What interrupted a consumer that lives on, and whether it may have missed anything.

use std::{collections::VecDeque, time::Duration};

use super::ConsumerEnd;

/// Interruptions that are kept for whoever reads them late.
const KEPT: usize = 16;

/// A consumer did not get deliveries for a while, and gets them again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interruption {
    /// What interrupted it: that would have been its end.
    pub by: ConsumerEnd,
    /// From then until the broker served it again.
    pub lasted: Duration,
    /// What it may have missed.
    pub missed: Missed,
}

/// What a consumer may have missed in an interruption.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missed {
    /// Nothing: what was not acknowledged comes again, and the queue kept what came meanwhile
    /// (unless somebody deleted it). A stream is read on behind what was settled.
    Nothing,
    /// With automatic acknowledgement: what was on its way when the connection was lost.
    InFlight,
    /// The queue is, or may be, another one: with an exclusive one, one that deletes itself, or one
    /// that the broker cancelled its consumers for, its messages and what was published meanwhile
    /// may be gone.
    Queue,
    /// A stream of which nothing had arrived yet is read on from where its end is now, or from a
    /// time counted from now: what was published meanwhile may be skipped.
    Offset,
}

/// The last interruptions of a consumer, numbered from 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interruptions {
    first: u64,
    kept: VecDeque<Interruption>,
}

impl Interruptions {
    /// Notes one; the oldest gives way.
    pub fn push(&mut self, interruption: Interruption) {
        if self.kept.len() >= KEPT {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back(interruption);
    }

    /// The one with this number, or the oldest that is kept after it.
    pub fn next(&self, cursor: &mut u64) -> Option<&Interruption> {
        *cursor = (*cursor).max(self.first);
        let index = usize::try_from(*cursor - self.first).ok()?;
        let found = self.kept.get(index)?;
        *cursor += 1;
        Some(found)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.first + self.kept.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_reads_late_gets_the_last_ones() {
        let mut interruptions = Interruptions::default();
        for millis in 0..20 {
            let (by, missed) = (ConsumerEnd::CancelledByBroker, Missed::Queue);
            let lasted = Duration::from_millis(millis);
            interruptions.push(Interruption { by, lasted, missed });
        }
        let mut cursor = 0;
        let next = interruptions.next(&mut cursor).map(|next| next.lasted.as_millis());
        assert_eq!((next, cursor, interruptions.count()), (Some(4), 5, 20));
        cursor = 20;
        assert_eq!(interruptions.next(&mut cursor), None);
    }
}
