//! Reply slots: what a caller waits for, and what its dropped future leaves behind.

use std::{mem, sync::Arc, task::Poll, time::Duration};

use super::{CallError, Cause, Reply, WaiterId, Wakes};
use crate::fsm::Time;

/// Names one reply slot. A slot is reused under another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Slot {
    generation: u32,
    state: SlotState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum SlotState {
    Free,
    Waiting {
        operation: &'static str,
        deadline: Time,
        after: Duration,
        waiter: Option<WaiterId>,
        /// It does not wait for a recovery.
        fails_fast: bool,
    },
    Answered(Result<Reply, CallError>),
}

/// All reply slots of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Calls {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Calls {
    /// Opens a slot for an answer that is due `after` from now.
    pub fn open(&mut self, operation: &'static str, now: Time, after: Duration) -> CallId {
        let deadline = now + after;
        let state =
            SlotState::Waiting { operation, deadline, after, waiter: None, fails_fast: false };
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.state = state;
            return CallId { index, generation: slot.generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, state });
        CallId { index, generation: 0 }
    }

    /// The call does not wait for a recovery: it fails when the connection is lost.
    pub fn fail_fast(&mut self, id: CallId) {
        if let Some(Slot { state: SlotState::Waiting { fails_fast, .. }, .. }) = self.slot(id) {
            *fails_fast = true;
        }
    }

    /// Whether the call does not wait for a recovery.
    pub fn fails_fast(&self, id: CallId) -> bool {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.generation == id.generation)
            .is_some_and(|slot| matches!(slot.state, SlotState::Waiting { fails_fast: true, .. }))
    }

    /// Asks for the answer. Taking it frees the slot.
    pub fn poll(
        &mut self,
        id: CallId,
        waiter: impl FnOnce() -> WaiterId,
    ) -> Poll<Result<Reply, CallError>> {
        let Some(slot) = self.slot(id) else {
            // Unreachable for a future that takes its answer once.
            return Poll::Ready(Err(Arc::new(Cause::ByUs).into()));
        };
        match &mut slot.state {
            SlotState::Waiting { waiter: slot, .. } => {
                *slot = Some(waiter());
                Poll::Pending
            }
            state => match mem::replace(state, SlotState::Free) {
                SlotState::Answered(answer) => {
                    self.release(id);
                    Poll::Ready(answer)
                }
                _ => Poll::Ready(Err(Arc::new(Cause::ByUs).into())),
            },
        }
    }

    /// Answers a call. False when nobody waits any more: the caller gave up or was timed out.
    pub fn answer(
        &mut self,
        id: CallId,
        answer: Result<Reply, CallError>,
        wakes: &mut Wakes,
    ) -> bool {
        let Some(slot) = self.slot(id) else { return false };
        let SlotState::Waiting { waiter, .. } = &mut slot.state else { return false };
        wakes.extend(waiter.take());
        slot.state = SlotState::Answered(answer);
        true
    }

    /// Whether somebody still waits for the answer.
    pub fn is_waiting(&self, id: CallId) -> bool {
        self.slots
            .get(id.index as usize)
            .is_some_and(|slot| slot.generation == id.generation && slot.deadline().is_some())
    }

    /// Gives up waiting: the call keeps its effect, its answer will be discarded. An answer that
    /// had already arrived is handed back, for its effect may have to be undone.
    pub fn abandon(&mut self, id: CallId) -> Option<Result<Reply, CallError>> {
        let slot = self.slot(id)?;
        let state = mem::replace(&mut slot.state, SlotState::Free);
        self.release(id);
        match state {
            SlotState::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<Time> {
        self.slots.iter().filter_map(|slot| slot.deadline()).min()
    }

    /// Ends what is overdue.
    pub fn expire(&mut self, now: Time, wakes: &mut Wakes) {
        for slot in &mut self.slots {
            if slot.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            if let SlotState::Waiting { operation, after, waiter, .. } = &mut slot.state {
                wakes.extend(waiter.take());
                let error = CallError::Timeout { operation, after: *after };
                slot.state = SlotState::Answered(Err(error));
            }
        }
    }

    fn slot(&mut self, id: CallId) -> Option<&mut Slot> {
        self.slots
            .get_mut(id.index as usize)
            .filter(|slot| slot.generation == id.generation && slot.state != SlotState::Free)
    }

    fn release(&mut self, id: CallId) {
        if let Some(slot) = self.slots.get_mut(id.index as usize) {
            slot.state = SlotState::Free;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(id.index);
        }
    }
}

impl Slot {
    fn deadline(&self) -> Option<Time> {
        match self.state {
            SlotState::Waiting { deadline, .. } => Some(deadline),
            _ => None,
        }
    }
}
