//! The wakers behind the protocol's waiter ids.

use std::task::Waker;

use crate::proto::WaiterId;

/// Wakers in slots that are reused under another generation.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    waker: Option<Waker>,
}

impl Waiters {
    /// Keeps the waker under the id in `held`, or under a new one that is put there. True when the
    /// id is new: whoever queues ids queues only those.
    pub(crate) fn register(&mut self, held: &mut Option<WaiterId>, waker: &Waker) -> bool {
        if let Some(slot) = held.and_then(|id| self.slot(id)) {
            match &mut slot.waker {
                Some(kept) => kept.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return false;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.waker = Some(waker.clone());
            *held = Some(WaiterId { index, generation: slot.generation });
        }
        true
    }

    /// Takes the waker of an id, which is used up by that.
    pub(crate) fn take(&mut self, id: WaiterId) -> Option<Waker> {
        let slot = self.slot(id)?;
        let waker = slot.waker.take();
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        waker
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn slot(&mut self, id: WaiterId) -> Option<&mut Slot> {
        self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_future_that_is_polled_again_keeps_its_place() {
        let (mut waiters, mut held) = (Waiters::default(), None);
        assert!(waiters.register(&mut held, Waker::noop()));
        let first = held;
        assert!(!waiters.register(&mut held, Waker::noop()));
        assert_eq!(held, first);
    }

    #[test]
    fn an_id_that_was_used_up_finds_nothing() {
        let (mut waiters, mut held) = (Waiters::default(), None);
        waiters.register(&mut held, Waker::noop());
        let id = held.expect("registered");
        assert!(waiters.take(id).is_some());
        assert!(waiters.take(id).is_none());
        assert!(waiters.register(&mut held, Waker::noop()), "a woken future queues again");
        assert_ne!(held, Some(id));
    }
}
