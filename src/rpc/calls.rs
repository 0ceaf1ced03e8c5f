//! Which calls wait for their replies: bounded, and pure but for the wakers.

use std::{
    collections::{BTreeMap, HashMap},
    task::{Poll, Waker},
};

use crate::{error::Error, message::Received, wire::ShortStr};

/// The calls of one client, by their numbers, which are their correlation ids.
#[derive(Debug)]
pub(super) struct Calls<R = Received> {
    max: usize,
    open: HashMap<u64, Slot<R>>,
    /// Calls for which there was no place yet; only while all places are taken.
    waiting: BTreeMap<u64, Waker>,
    ended: Option<Error>,
    ignored: u64,
}

#[derive(Debug)]
struct Slot<R> {
    waker: Option<Waker>,
    reply: Option<R>,
}

impl<R> Slot<R> {
    fn new() -> Self {
        Slot { waker: None, reply: None }
    }
}

impl<R> Calls<R> {
    pub(super) fn new(max: usize) -> Self {
        Calls { max, open: HashMap::new(), waiting: BTreeMap::new(), ended: None, ignored: 0 }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.open.len()
    }

    pub(super) fn ignored(&self) -> u64 {
        self.ignored
    }

    pub(super) fn ended(&self) -> Option<&Error> {
        self.ended.as_ref()
    }

    /// A place for a call; ready once it has one.
    pub(super) fn poll_place(&mut self, number: u64, waker: &Waker) -> Poll<Result<(), Error>> {
        if let Some(error) = &self.ended {
            return Poll::Ready(Err(error.clone()));
        }
        if !self.open.contains_key(&number) {
            if self.open.len() >= self.max {
                self.waiting.insert(number, waker.clone());
                return Poll::Pending;
            }
            self.open.insert(number, Slot::new());
        }
        Poll::Ready(Ok(()))
    }

    /// The reply to a call that has a place.
    pub(super) fn poll_reply(&mut self, number: u64, waker: &Waker) -> Poll<Result<R, Error>> {
        let slot = self.open.get_mut(&number);
        if let Some(slot) = slot {
            if let Some(reply) = slot.reply.take() {
                return Poll::Ready(Ok(reply));
            }
            slot.waker = Some(waker.clone());
        }
        self.ended.clone().map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }

    /// Forgets a call. Its place goes to the next that waits, which is to be woken.
    pub(super) fn leave(&mut self, number: u64) -> Option<Waker> {
        self.waiting.remove(&number);
        self.open.remove(&number)?;
        let (next, waker) = self.waiting.pop_first()?;
        self.open.insert(next, Slot::new());
        Some(waker)
    }

    /// A reply to the call with this number. One that no call waits for is counted and dropped.
    fn replied(&mut self, number: Option<u64>, reply: R) -> Option<Waker> {
        let slot = number.and_then(|number| self.open.get_mut(&number));
        match slot {
            // The first reply counts.
            Some(slot) if slot.reply.is_none() => {
                slot.reply = Some(reply);
                slot.waker.take()
            }
            _ => {
                self.ignore();
                None
            }
        }
    }

    pub(super) fn ignore(&mut self) {
        self.ignored += 1;
    }

    /// No reply will come any more; all are to be woken.
    pub(super) fn end(&mut self, reason: Error) -> Vec<Waker> {
        self.ended.get_or_insert(reason);
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let open = self.open.values_mut().filter_map(|slot| slot.waker.take());
        waiting.chain(open).collect()
    }
}

impl Calls<Received> {
    /// See [`Calls::replied`].
    pub(super) fn arrived(&mut self, reply: Received) -> Option<Waker> {
        let number = reply.raw_properties().correlation_id.and_then(number);
        self.replied(number, reply)
    }
}

/// The call that a correlation id names.
fn number(correlation: ShortStr<'_>) -> Option<u64> {
    correlation.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn placed(calls: &mut Calls<u8>, number: u64) -> bool {
        matches!(calls.poll_place(number, Waker::noop()), Poll::Ready(Ok(())))
    }

    fn reply(calls: &mut Calls<u8>, number: u64) -> Poll<Option<u8>> {
        calls.poll_reply(number, Waker::noop()).map(Result::ok)
    }

    #[test]
    fn each_reply_finds_its_own_call() {
        let mut calls = Calls::new(2);
        assert!(placed(&mut calls, 1) && placed(&mut calls, 2));
        assert!(reply(&mut calls, 1).is_pending());
        assert!(calls.replied(Some(2), 22).is_none(), "nobody waits for it yet");
        assert!(calls.replied(Some(1), 11).is_some(), "who waits is woken");
        assert_eq!(reply(&mut calls, 1), Poll::Ready(Some(11)));
        assert_eq!(reply(&mut calls, 2), Poll::Ready(Some(22)));
        assert_eq!(calls.ignored(), 0);
    }

    #[test]
    fn what_answers_nothing_is_counted() {
        let mut calls = Calls::new(2);
        assert!(placed(&mut calls, 1));
        calls.replied(Some(1), 1);
        for correlation in [Some("1"), Some("2"), Some("x"), Some("-1"), None] {
            let named = correlation.and_then(|id| number(ShortStr::new(id).unwrap()));
            assert!(calls.replied(named, 2).is_none());
        }
        calls.leave(1);
        calls.replied(Some(1), 3);
        assert_eq!(calls.ignored(), 6);
    }

    #[test]
    fn a_place_goes_to_the_next_in_line() {
        let mut calls = Calls::new(1);
        assert!(placed(&mut calls, 1));
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        assert!(calls.poll_place(3, &waker).is_pending());
        assert!(calls.poll_place(2, &waker).is_pending());
        assert_eq!(calls.outstanding(), 1);
        calls.leave(1).expect("the next").wake();
        assert!(placed(&mut calls, 2), "the place is its own already");
        assert!(!placed(&mut calls, 3));
        // One that gave up before its turn is passed over.
        calls.leave(3);
        assert!(calls.leave(2).is_none());
        assert_eq!((calls.outstanding(), woken.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn a_place_that_was_given_and_not_taken_goes_on() {
        let mut calls = Calls::new(1);
        assert!(placed(&mut calls, 1) && !placed(&mut calls, 2) && !placed(&mut calls, 3));
        assert!(calls.leave(1).is_some(), "2 has the place");
        assert!(calls.leave(2).is_some(), "dropped before it was polled again");
        assert!(placed(&mut calls, 3));
    }

    #[test]
    fn the_end_leaves_nobody_waiting() {
        let mut calls = Calls::new(1);
        assert!(placed(&mut calls, 1) && !placed(&mut calls, 2));
        assert!(reply(&mut calls, 1).is_pending());
        assert_eq!(calls.end(Error::Closed).len(), 2);
        assert_eq!(reply(&mut calls, 1), Poll::Ready(None));
        assert!(matches!(calls.poll_place(2, Waker::noop()), Poll::Ready(Err(Error::Closed))));
    }
}
