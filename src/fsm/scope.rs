//! What a state can see and do while it handles an event.

use std::collections::VecDeque;

use super::{Behaviour, Context, Time};

/// The surroundings of one handling of one event.
#[derive(Debug)]
pub struct Scope<'a, B: Behaviour> {
    pub(super) now: Time,
    pub(super) context: &'a mut Context<B::State, B::Kind>,
    pub(super) local: &'a mut B::Local,
    pub(super) queue: &'a mut VecDeque<B::Event>,
    pub(super) actions: &'a mut VecDeque<B::Action>,
    pub(super) fall_back: Option<Option<B::State>>,
}

impl<B: Behaviour> Scope<'_, B> {
    /// The time of this event, as the caller told it.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The context of the state.
    #[must_use]
    pub fn context(&self) -> &Context<B::State, B::Kind> {
        self.context
    }

    /// The state's own data: made when the state is entered, gone when it is left.
    pub fn local(&mut self) -> &mut B::Local {
        self.local
    }

    /// Puts out an action.
    pub fn act(&mut self, action: B::Action) {
        self.actions.push_back(action);
    }

    /// Puts an event at the head of the queue: it is the next to be handled.
    ///
    /// # Errors
    /// The queue is full; the event comes back.
    pub fn push_front(&mut self, event: B::Event) -> Result<(), QueueFull<B::Event>> {
        if self.queue.len() >= B::QUEUE {
            return Err(QueueFull(event));
        }
        self.queue.push_front(event);
        Ok(())
    }

    /// Puts an event at the tail of the queue, behind those that wait.
    ///
    /// # Errors
    /// The queue is full; the event comes back.
    pub fn push_back(&mut self, event: B::Event) -> Result<(), QueueFull<B::Event>> {
        if self.queue.len() >= B::QUEUE {
            return Err(QueueFull(event));
        }
        self.queue.push_back(event);
        Ok(())
    }

    /// Changes until when this state may last. `None` lets it last.
    pub fn set_deadline(&mut self, deadline: Option<Time>) {
        self.context.deadline = deadline;
    }

    /// Says that the state is broken: whatever it answers, the machine goes to the fallback of the
    /// state, or of the table. Without one the machine stops with an error.
    pub fn fall_back(&mut self) {
        self.fall_back = Some(None);
    }

    /// Says that the state is broken, and which of the fallbacks that the table knows to go to.
    pub fn fall_back_to(&mut self, state: B::State) {
        self.fall_back = Some(Some(state));
    }
}

/// The queue of a machine is full; the event comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the machine's queue of events is full")]
pub struct QueueFull<E>(pub E);
