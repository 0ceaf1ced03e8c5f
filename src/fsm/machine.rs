//! The machine: runs a behaviour under its table.

use std::collections::VecDeque;
use std::fmt::Debug;

use super::aside::Aside;
use super::{
    Behaviour, CauseId, Context, Error, ErrorOf, Observer, On, Outcome, Overdue, Reaction, Refusal,
    Row, Scope, Signal, Stats, Time, Transition, TransitionOf,
};

/// Whether a machine still runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status<F> {
    /// It takes events.
    Running,
    /// A state finalized it.
    Finalized,
    /// A state failed, and there was no fallback.
    Failed(F),
    /// A state was broken or overdue, and there was no fallback.
    Broken,
}

/// A running machine: plain data, equal to another if both will behave alike.
///
/// One call changes it; then fetch what came of it, with [`poll_action`](Self::poll_action) and
/// [`poll_transition`](Self::poll_transition), and when to call next, with
/// [`poll_timeout`](Self::poll_timeout).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine<B: Behaviour> {
    behaviour: B,
    state: B::State,
    status: Status<B::Fault>,
    context: Context<B::State, B::Kind>,
    local: B::Local,
    queue: VecDeque<B::Event>,
    actions: VecDeque<B::Action>,
    transitions: Aside<VecDeque<TransitionOf<B>>>,
    stats: Aside<Stats<B::State>>,
}

impl<B: Behaviour> Machine<B> {
    /// A machine in the table's initial state, which is entered now.
    #[must_use]
    pub fn new(now: Time, behaviour: B) -> Self {
        let mut machine = Self {
            behaviour,
            state: B::TABLE.initial,
            status: Status::Running,
            context: Context::new(now, None),
            local: B::Local::default(),
            queue: VecDeque::with_capacity(B::QUEUE),
            actions: VecDeque::with_capacity(B::ACTIONS),
            transitions: Aside(VecDeque::with_capacity(B::TRANSITIONS)),
            stats: Aside(Stats::new()),
        };
        machine.arrive(now, None);
        machine
    }

    /// Handles `event`, behind those that wait already, and every event that states raise.
    ///
    /// Changed if anything changed.
    ///
    /// # Errors
    /// The first error; later events have been handled nevertheless.
    pub fn handle(&mut self, now: Time, event: B::Event) -> Result<Reaction, ErrorOf<B>> {
        self.handle_with(now, event, &mut ())
    }

    /// As [`handle`](Self::handle), watched by `observer`.
    ///
    /// # Errors
    /// As of [`handle`](Self::handle).
    pub fn handle_with<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        event: B::Event,
        observer: &mut O,
    ) -> Result<Reaction, ErrorOf<B>> {
        self.push(event)?;
        self.run(now, observer)
    }

    /// Puts an event at the tail of the queue, to be handled by a later [`step`](Self::step) or
    /// [`handle`](Self::handle).
    ///
    /// # Errors
    /// [`Error::QueueFull`]; the event is not taken.
    pub fn push(&mut self, event: B::Event) -> Result<(), ErrorOf<B>> {
        if self.queue.len() >= B::QUEUE {
            return Err(Error::QueueFull { event: event.kind(), limit: B::QUEUE });
        }
        self.queue.push_back(event);
        Ok(())
    }

    /// Handles the event at the head of the queue, if there is one.
    ///
    /// # Errors
    /// What became of that event.
    pub fn step(&mut self, now: Time) -> Option<Result<Reaction, ErrorOf<B>>> {
        self.step_with(now, &mut ())
    }

    /// As [`step`](Self::step), watched by `observer`.
    ///
    /// # Errors
    /// What became of that event.
    pub fn step_with<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        observer: &mut O,
    ) -> Option<Result<Reaction, ErrorOf<B>>> {
        let event = self.queue.pop_front()?;
        Some(self.dispatch(now, &event, observer))
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.status {
            Status::Running => self.context.next_deadline(),
            _ => None,
        }
    }

    /// Lets the state handle a deadline, if one has passed by now; ignored otherwise.
    ///
    /// # Errors
    /// The state failed, or is broken and has no fallback.
    pub fn handle_timeout(&mut self, now: Time) -> Result<Reaction, ErrorOf<B>> {
        self.handle_timeout_with(now, &mut ())
    }

    /// As [`handle_timeout`](Self::handle_timeout), watched by `observer`.
    ///
    /// # Errors
    /// As of [`handle_timeout`](Self::handle_timeout).
    pub fn handle_timeout_with<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        observer: &mut O,
    ) -> Result<Reaction, ErrorOf<B>> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Ok(Reaction::Ignored);
        }
        self.ready()?;
        let first = self.expire(now, observer);
        let rest = self.run(now, observer);
        first.and_then(|reaction| rest.map(|_| reaction))
    }

    /// The next action to be done.
    pub fn poll_action(&mut self) -> Option<B::Action> {
        self.actions.pop_front()
    }

    /// The next transition that has happened and was not fetched yet.
    pub fn poll_transition(&mut self) -> Option<TransitionOf<B>> {
        self.transitions.pop_front()
    }

    /// Gives back the memory of transitions that were fetched: for machines of which there are many,
    /// and that rarely step.
    pub(crate) fn rest(&mut self) {
        if self.transitions.is_empty() {
            *self.transitions = VecDeque::new();
        }
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> B::State {
        self.state
    }

    /// Whether the machine runs.
    #[must_use]
    pub fn status(&self) -> &Status<B::Fault> {
        &self.status
    }

    /// The context of the current state.
    #[must_use]
    pub fn context(&self) -> &Context<B::State, B::Kind> {
        &self.context
    }

    /// The data of the current stay in the current state.
    #[must_use]
    pub fn local(&self) -> &B::Local {
        &self.local
    }

    /// The machine's data.
    #[must_use]
    pub fn behaviour(&self) -> &B {
        &self.behaviour
    }

    /// Whether the table knows events of this kind in the current state; guards are not asked.
    #[must_use]
    pub fn accepts(&self, kind: B::Kind) -> bool {
        self.status == Status::Running
            && B::TABLE.rows(self.state, On::Event(kind)).any(|row| !row.only_ignores())
    }

    /// What the machine has counted; the stay in the current state is counted up to `now`.
    #[must_use]
    pub fn stats(&self, now: Time) -> Stats<B::State> {
        let mut stats = self.stats.0.clone();
        stats.spent(self.state, now.saturating_since(self.context.entered_at));
        stats
    }

    /// Handles what is queued.
    fn run<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        observer: &mut O,
    ) -> Result<Reaction, ErrorOf<B>> {
        let mut total = Ok(Reaction::Ignored);
        for _ in 0..B::RUN {
            let Some(one) = self.step_with(now, observer) else { return total };
            total = match (total, one) {
                (Ok(_), Ok(Reaction::Changed)) => Ok(Reaction::Changed),
                (Ok(_), Err(error)) => Err(error),
                (total, _) => total,
            };
        }
        match self.queue.is_empty() {
            true => total,
            false => total.and(Err(Error::Runaway { limit: B::RUN })),
        }
    }

    /// Lets the state handle one event, and the next one if it says so.
    fn dispatch<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        event: &B::Event,
        observer: &mut O,
    ) -> Result<Reaction, ErrorOf<B>> {
        self.ready()?;
        self.stats.events += 1;
        let (on, cause) = (On::Event(event.kind()), event.cause());
        for _ in 0..=B::REPROCESS {
            let row = self.row(event)?;
            if row.only_ignores() {
                self.stats.ignored += 1;
                return Ok(Reaction::Ignored);
            }
            let state = self.state;
            let (answer, broken) =
                self.ask(now, |behaviour, scope| behaviour.handle(state, event, scope));
            let step = Step { now, on, cause };
            match self.apply(step, Some(row), answer, broken, observer)? {
                Applied::Reprocess => {}
                Applied::Done(reaction) => return Ok(reaction),
            }
        }
        Err(Error::ReprocessedTooOften {
            state: self.state,
            event: event.kind(),
            limit: B::REPROCESS,
        })
    }

    /// Lets the state handle the earlier of its deadlines.
    fn expire<O: Observer<B> + ?Sized>(
        &mut self,
        now: Time,
        observer: &mut O,
    ) -> Result<Reaction, ErrorOf<B>> {
        self.stats.deadlines += 1;
        let next = self.context.next_deadline();
        // The deadline is taken off before the state is asked, so that it cannot pass twice.
        let what = match (self.context.answer_due, self.context.pending) {
            (due, Some(pending)) if due.is_some() && due == next => {
                self.context.answer_due = None;
                Overdue::Answer(pending)
            }
            _ => {
                self.context.deadline = None;
                Overdue::State
            }
        };
        let state = self.state;
        let (answer, broken) =
            self.ask(now, |behaviour, scope| behaviour.overdue(state, what, scope));
        let row = B::TABLE.rows(state, On::Deadline).next();
        let step = Step { now, on: On::Deadline, cause: CauseId::NONE };
        match self.apply(step, row, answer, broken, observer)? {
            Applied::Done(reaction) => Ok(reaction),
            // There is no event that could be handled again.
            Applied::Reprocess => Ok(Reaction::Changed),
        }
    }

    /// Refuses to work where the machine has stopped, or where nobody fetches its actions.
    fn ready(&self) -> Result<(), ErrorOf<B>> {
        if self.status != Status::Running {
            return Err(Error::Halted { state: self.state });
        }
        match self.actions.len() {
            count if count >= B::ACTIONS => Err(Error::Undrained { state: self.state, count }),
            _ => Ok(()),
        }
    }

    /// The row that counts for this event, or the refusal.
    fn row(&mut self, event: &B::Event) -> Result<&'static Row<B>, ErrorOf<B>> {
        let mut failed = None;
        for row in B::TABLE.rows(self.state, On::Event(event.kind())) {
            match &row.guard {
                Some(guard) if !(guard.holds)(&self.behaviour, event, &self.context) => {
                    failed = failed.or(Some(guard.name));
                }
                _ => return Ok(row),
            }
        }
        self.stats.refused += 1;
        Err(Refusal { state: self.state, event: event.kind(), guard: failed }.into())
    }

    /// Asks the behaviour; gives its answer, and whether and whereto it asked to fall back.
    fn ask<A>(
        &mut self,
        now: Time,
        question: impl FnOnce(&mut B, &mut Scope<'_, B>) -> A,
    ) -> (A, Option<Option<B::State>>) {
        let mut scope = Scope {
            now,
            context: &mut self.context,
            local: &mut self.local,
            queue: &mut self.queue,
            actions: &mut self.actions,
            fall_back: None,
        };
        let answer = question(&mut self.behaviour, &mut scope);
        (answer, scope.fall_back)
    }

    /// Does what the state answered, if the table allows it.
    fn apply<O: Observer<B> + ?Sized>(
        &mut self,
        step: Step<B>,
        row: Option<&'static Row<B>>,
        answer: Result<Outcome<B::State>, B::Fault>,
        broken: Option<Option<B::State>>,
        observer: &mut O,
    ) -> Result<Applied, ErrorOf<B>> {
        let outcome = match (answer, broken) {
            (Err(fault), to) => return self.fall(step, to.flatten(), Some(fault), observer),
            (Ok(_), Some(to)) => return self.fall(step, to, None, observer),
            (Ok(outcome), None) => outcome,
        };
        self.context.last = Some(step.on);
        let forbidden = Error::Forbidden { state: self.state, on: step.on, outcome };
        let Some(row) = row else { return Err(forbidden) };
        match outcome {
            Outcome::Reset { to, reprocess } if row.to.contains(&to) => {
                self.go(step, to, false, observer);
                return Ok(if reprocess { Applied::Reprocess } else { CHANGED });
            }
            Outcome::Complete if row.completes => {
                if row.settles {
                    self.context.pending = None;
                    self.context.answer_due = None;
                }
                if let Some(next) = B::TABLE.node(self.state).and_then(|node| node.successor) {
                    self.go(step, next, false, observer);
                }
            }
            Outcome::Finalize if row.finalizes => self.status = Status::Finalized,
            Outcome::Pending { deadline } if row.pends => {
                self.context.pending = Some(step.on);
                self.context.answer_due = deadline;
            }
            Outcome::Ignored if row.ignores => {
                self.stats.ignored += 1;
                return Ok(Applied::Done(Reaction::Ignored));
            }
            _ => return Err(forbidden),
        }
        Ok(CHANGED)
    }

    /// Goes to a fallback, or stops the machine.
    fn fall<O: Observer<B> + ?Sized>(
        &mut self,
        step: Step<B>,
        asked: Option<B::State>,
        fault: Option<B::Fault>,
        observer: &mut O,
    ) -> Result<Applied, ErrorOf<B>> {
        self.stats.faults += 1;
        self.context.last = Some(step.on);
        let declared = B::TABLE.node(self.state).and_then(|node| node.fallback);
        let known = [declared, B::TABLE.fallback];
        let to = match asked {
            Some(to) if known.contains(&Some(to)) => Some(to),
            Some(to) => {
                let outcome = Outcome::to(to);
                return Err(Error::Forbidden { state: self.state, on: step.on, outcome });
            }
            None => declared.or(B::TABLE.fallback),
        };
        if let Some(to) = to {
            self.go(step, to, true, observer);
            return Ok(CHANGED);
        }
        let state = self.state;
        Err(match fault {
            Some(fault) => {
                self.status = Status::Failed(fault.clone());
                Error::Fault { state, fault }
            }
            None => {
                self.status = Status::Broken;
                Error::NoFallback { state }
            }
        })
    }

    /// The transition itself.
    fn go<O: Observer<B> + ?Sized>(
        &mut self,
        step: Step<B>,
        to: B::State,
        fell_back: bool,
        observer: &mut O,
    ) {
        let transition = Transition {
            from: self.state,
            to,
            on: step.on,
            at: step.now,
            fell_back,
            cause: step.cause,
            number: Aside(self.stats.transitions + 1),
        };
        observer.before(&transition);
        let from = self.state;
        self.ask(step.now, |behaviour, scope| behaviour.exit(from, scope));
        self.stats.transitions += 1;
        self.stats.spent(from, step.now.saturating_since(self.context.entered_at));
        self.state = to;
        self.arrive(step.now, Some(transition));
        if self.transitions.len() >= B::TRANSITIONS {
            self.transitions.pop_front();
            self.stats.unobserved += 1;
        }
        self.transitions.push_back(transition);
        observer.after(&transition);
    }

    /// Begins the stay in the current state.
    fn arrive(&mut self, now: Time, by: Option<TransitionOf<B>>) {
        let state = self.state;
        self.stats.entered(state);
        self.context = Context::new(now, by);
        self.local = B::Local::default();
        self.context.deadline = self.behaviour.deadline(state).map(|wait| now + wait);
        self.ask(now, |behaviour, scope| behaviour.enter(state, scope));
    }
}

/// What is being handled.
#[derive(Clone, Copy)]
struct Step<B: Behaviour> {
    now: Time,
    on: On<B::Kind>,
    cause: CauseId,
}

/// What became of an answer.
enum Applied {
    Done(Reaction),
    Reprocess,
}

const CHANGED: Applied = Applied::Done(Reaction::Changed);
