//! The supervisor's behaviour: what it does in which state.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::backoff::random;
use super::policy::{Policy, Reasons, Resume};
use super::stats::Tally;
use super::vocabulary::{Action, End, Event, Kind, Retry, State};
use crate::fsm::Aside;
use crate::fsm::{Behaviour, CauseId, Outcome, Overdue, Scope, Table, Time};

/// The behaviour of a [`Supervisor`](super::Supervisor), public for its table and diagrams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keeper {
    policy: Arc<Policy>,
    seed: u64,
    /// How many random numbers were drawn.
    drawn: u64,
    /// The number of the last attempt.
    attempt: u64,
    /// Why the link is degraded, or will be when it is back.
    reasons: Reasons,
    /// Whether this link was up before, so that there is something to recover.
    was_up: bool,
    /// When the link came up last.
    up_at: Time,
    /// When the link was lost last.
    lost_at: Time,
    /// The outage under way.
    outage: Outage,
    /// The outage before the link came up; it goes on if the link does not last.
    before: Outage,
    /// What the state that is being entered is to do.
    plan: Plan,
    end: Option<End>,
    tally: Aside<Tally>,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Outage {
    since: Time,
    attempts: u32,
    retries: u32,
    failures: u32,
    trips: u32,
}

/// The next attempt, or the end of the cool-down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Plan {
    wait: Duration,
    probe: bool,
}

/// Where a state stands: its local data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing that needs telling.
    #[default]
    Resting,
    /// The next attempt waits for its time.
    Waiting,
    /// An attempt is under way.
    Dialling {
        /// Its number.
        attempt: u64,
    },
    /// What is under way is being finished.
    Draining,
    /// The closing handshake is under way.
    Parting {
        /// Whether all that was under way was finished before.
        clean: bool,
    },
}

impl Phase {
    pub(super) const fn attempt(self) -> Option<u64> {
        match self {
            Self::Dialling { attempt } => Some(attempt),
            _ => None,
        }
    }
}

type Answer = Outcome<State>;
type Surroundings<'a> = Scope<'a, Keeper>;

impl Behaviour for Keeper {
    type State = State;
    type Kind = Kind;
    type Event = Event;
    type Action = Action;
    type Local = Phase;
    type Fault = Infallible;

    const NAME: &'static str = "supervisor";
    const TABLE: Table<Self> = super::table::TABLE;

    fn handle(
        &mut self,
        state: State,
        event: &Event,
        scope: &mut Surroundings<'_>,
    ) -> Result<Answer, Infallible> {
        Ok(match *event {
            Event::Connect => self.connect(scope.now()),
            Event::Opened { attempt } if scope.local().attempt() == Some(attempt) => {
                *scope.local() = Phase::Resting;
                self.opened(scope.now())
            }
            Event::Failed { attempt, retry, cause } if scope.local().attempt() == Some(attempt) => {
                *scope.local() = Phase::Resting;
                self.failed(state, scope.now(), retry, cause)
            }
            Event::Opened { .. } | Event::Failed { .. } => Outcome::Ignored,
            Event::Degrade(reasons) => self.degrade(state, reasons),
            Event::Clear(reasons) => self.clear(state, reasons),
            Event::Lost { retry, cause } => match state {
                State::Recovering => self.failed(state, scope.now(), retry, cause),
                State::Closing => self.closed(*scope.local()),
                _ => self.lost(scope.now(), retry, cause),
            },
            Event::Recovered => self.up(scope.now()),
            Event::Close => Outcome::to(State::Closing),
            Event::Drained => match *scope.local() {
                Phase::Draining => self.part(scope, true),
                _ => Outcome::Ignored,
            },
            Event::Closed => self.closed(*scope.local()),
            Event::Reset => Outcome::to(State::Disconnected),
        })
    }

    fn overdue(
        &mut self,
        state: State,
        _: Overdue<Kind>,
        scope: &mut Surroundings<'_>,
    ) -> Result<Answer, Infallible> {
        Ok(match (state, *scope.local()) {
            (State::Reconnecting, Phase::Waiting) => {
                self.dial(scope);
                Outcome::Complete
            }
            (State::CircuitOpen, _) => {
                self.plan = Plan { wait: Duration::ZERO, probe: true };
                Outcome::to(State::Reconnecting)
            }
            (State::Closing, Phase::Draining) => self.part(scope, false),
            (State::Closing, phase) => {
                if phase != Phase::Resting {
                    scope.act(Action::Drop);
                }
                self.closed(phase)
            }
            (State::Recovering, _) => {
                scope.act(Action::Drop);
                self.failed(state, scope.now(), Retry::Can, CauseId::NONE)
            }
            _ => self.failed(state, scope.now(), Retry::Can, CauseId::NONE),
        })
    }

    fn enter(&mut self, state: State, scope: &mut Surroundings<'_>) {
        match state {
            State::Disconnected => {
                if let Some(end @ End::FirstAttempt { .. }) = self.end {
                    scope.act(Action::GiveUp(end));
                }
            }
            State::Connecting => {
                self.plan = Plan::default();
                self.dial(scope);
            }
            State::Reconnecting if self.plan.wait.is_zero() => self.dial(scope),
            State::Reconnecting => {
                *scope.local() = Phase::Waiting;
                scope.set_deadline(Some(scope.now() + self.plan.wait));
            }
            State::CircuitOpen => scope.set_deadline(Some(scope.now() + self.plan.wait)),
            State::Recovering => {
                let wait = self.policy.recover_timeout;
                scope.set_deadline(wait.map(|wait| scope.now() + wait));
                scope.act(Action::Recover);
            }
            State::Closing => self.begin_closing(scope),
            State::Closed => {
                if let Some(end) = self.end {
                    scope.act(Action::GiveUp(end));
                }
            }
            State::Connected | State::Degraded => {}
        }
    }

    fn exit(&mut self, _: State, scope: &mut Surroundings<'_>) {
        // Whoever leaves while an attempt is under way aborts it: so there is never a second one.
        if let Some(attempt) = scope.local().attempt() {
            scope.act(Action::AbortDial { attempt });
        }
    }
}

impl Keeper {
    pub(super) fn new(policy: Policy, seed: u64) -> Self {
        Self {
            policy: Arc::new(policy),
            seed,
            drawn: 0,
            attempt: 0,
            reasons: Reasons::NONE,
            was_up: false,
            up_at: Time::ZERO,
            lost_at: Time::ZERO,
            outage: Outage::default(),
            before: Outage::default(),
            plan: Plan::default(),
            end: None,
            tally: Aside(Tally::default()),
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn reasons(&self) -> Reasons {
        self.reasons
    }

    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(super) fn failures_in_a_row(&self) -> u32 {
        self.outage.failures
    }

    pub(super) fn has_made(&self, attempt: u64) -> bool {
        (1..=self.attempt).contains(&attempt)
    }

    /// A trip is forgotten only when the link is up again, or given up.
    pub(super) fn is_circuit_open(&self) -> bool {
        self.outage.trips > 0
    }

    fn connect(&mut self, now: Time) -> Answer {
        self.reasons = Reasons::NONE;
        self.was_up = false;
        self.end = None;
        self.outage = Outage { since: now, ..Outage::default() };
        self.before = Outage::default();
        Outcome::to(State::Connecting)
    }

    fn dial(&mut self, scope: &mut Surroundings<'_>) {
        self.attempt += 1;
        self.outage.attempts = self.outage.attempts.saturating_add(1);
        self.tally.attempts += 1;
        *scope.local() = Phase::Dialling { attempt: self.attempt };
        scope.act(Action::Dial { attempt: self.attempt, probe: self.plan.probe });
        scope.set_deadline(self.policy.connect_timeout.map(|wait| scope.now() + wait));
    }

    fn opened(&mut self, now: Time) -> Answer {
        self.up_at = now;
        match self.was_up && self.policy.recover {
            true => Outcome::to(State::Recovering),
            false => self.up(now),
        }
    }

    /// The link is up, and what was on it is restored as far as it can be.
    fn up(&mut self, now: Time) -> Answer {
        if self.was_up {
            self.tally.recovered(now.saturating_since(self.lost_at));
            if let Resume::Degraded(reasons) = self.policy.resume {
                self.reasons = self.reasons | reasons;
            }
        }
        self.was_up = true;
        self.up_at = now;
        self.before = std::mem::take(&mut self.outage);
        match self.reasons.is_empty() {
            true => Outcome::to(State::Connected),
            false => Outcome::to(State::Degraded),
        }
    }

    /// A link that was up is gone.
    fn lost(&mut self, now: Time, retry: Retry, cause: CauseId) -> Answer {
        self.tally.losses += 1;
        self.tally.last_cause = cause;
        self.lost_at = now;
        self.forget();
        if retry == Retry::Never {
            return self.give_up(End::Fatal { cause });
        }
        if !self.policy.reconnect {
            return self.give_up(End::Lost { cause });
        }
        if now.saturating_since(self.up_at) >= self.policy.steady_after {
            self.outage = Outage { since: now, ..Outage::default() };
        } else {
            self.outage = self.before;
            self.outage.failures = self.outage.failures.saturating_add(1);
        }
        self.retry(now, cause)
    }

    /// Reasons end with the link, but for those that outlive it.
    fn forget(&mut self) {
        self.reasons = match self.policy.resume {
            Resume::Connected => Reasons::NONE,
            _ => self.reasons & self.policy.lasting,
        };
    }

    /// An attempt failed, or the link went before what was on it was restored.
    fn failed(&mut self, state: State, now: Time, retry: Retry, cause: CauseId) -> Answer {
        self.tally.failures += 1;
        self.tally.last_cause = cause;
        self.outage.failures = self.outage.failures.saturating_add(1);
        match state {
            State::Connecting => return self.failed_first(now, retry, cause),
            State::Recovering => self.forget(),
            _ => {}
        }
        if retry == Retry::Never {
            return self.give_up(End::Fatal { cause });
        }
        let Some(breaker) = self.policy.breaker else { return self.retry(now, cause) };
        // Failures only add up in an outage, so that a failed probe is always one too many.
        if self.outage.failures < breaker.threshold.max(1) {
            return self.retry(now, cause);
        }
        let wait = breaker.cool_down(self.outage.trips, self.draw());
        if self.is_exhausted(now, wait) {
            return self.exhausted(cause);
        }
        self.outage.trips = self.outage.trips.saturating_add(1);
        self.tally.trips += 1;
        self.plan = Plan { wait, probe: false };
        Outcome::to(State::CircuitOpen)
    }

    /// The first attempt failed: try again if the policy says so, else it is the caller's turn.
    fn failed_first(&mut self, now: Time, retry: Retry, cause: CauseId) -> Answer {
        if retry == Retry::Can && self.policy.first_connect_retries {
            let next = self.retry(now, cause);
            if next == Outcome::to(State::Reconnecting) {
                return next;
            }
        }
        self.outage = Outage::default();
        self.end = Some(End::FirstAttempt { retry, cause });
        Outcome::to(State::Disconnected)
    }

    /// Plans the next attempt, if there may be one.
    fn retry(&mut self, now: Time, cause: CauseId) -> Answer {
        let random = self.draw();
        let wait = self.policy.backoff.delay(self.outage.retries, random);
        if self.is_exhausted(now, wait) {
            return self.exhausted(cause);
        }
        self.outage.retries = self.outage.retries.saturating_add(1);
        self.plan = Plan { wait, probe: false };
        Outcome::to(State::Reconnecting)
    }

    fn is_exhausted(&self, now: Time, wait: Duration) -> bool {
        let attempts = self.policy.max_attempts;
        let time = self.policy.max_time;
        attempts.is_some_and(|most| self.outage.attempts >= most)
            || time.is_some_and(|most| now + wait > self.outage.since + most)
    }

    fn exhausted(&mut self, cause: CauseId) -> Answer {
        self.give_up(End::Exhausted { attempts: self.outage.attempts, cause })
    }

    fn give_up(&mut self, end: End) -> Answer {
        self.end = Some(end);
        self.outage = Outage::default();
        Outcome::to(State::Closed)
    }

    fn degrade(&mut self, state: State, reasons: Reasons) -> Answer {
        // Where no link is up, only what outlives a link can be news.
        let news = match state {
            State::Reconnecting | State::CircuitOpen => reasons & self.policy.lasting,
            _ => reasons,
        };
        if self.reasons.contains(news) {
            return Outcome::Ignored;
        }
        self.reasons = self.reasons | news;
        match state {
            State::Connected => Outcome::to(State::Degraded),
            _ => Outcome::Complete,
        }
    }

    fn clear(&mut self, state: State, reasons: Reasons) -> Answer {
        if !self.reasons.intersects(reasons) {
            return Outcome::Ignored;
        }
        self.reasons = self.reasons & !reasons;
        match state {
            State::Degraded if self.reasons.is_empty() => Outcome::to(State::Connected),
            _ => Outcome::Complete,
        }
    }

    fn begin_closing(&mut self, scope: &mut Surroundings<'_>) {
        self.outage = Outage::default();
        let from = scope.context().previous();
        if matches!(from, Some(State::Connected | State::Degraded | State::Recovering)) {
            *scope.local() = Phase::Draining;
            scope.act(Action::Drain);
            scope.set_deadline(Some(scope.now() + self.policy.drain_timeout));
        } else if scope.push_front(Event::Closed).is_err() {
            // Nothing is up, so nothing has to be closed; without a place in the queue, the
            // deadline says so.
            scope.set_deadline(Some(scope.now()));
        }
    }

    /// Asks for the closing handshake; its end is the answer that is outstanding.
    fn part(&mut self, scope: &mut Surroundings<'_>, clean: bool) -> Answer {
        *scope.local() = Phase::Parting { clean };
        scope.set_deadline(None);
        scope.act(Action::Close);
        Outcome::Pending { deadline: Some(scope.now() + self.policy.close_timeout) }
    }

    fn closed(&mut self, phase: Phase) -> Answer {
        let clean = match phase {
            Phase::Parting { clean } => clean,
            phase => phase == Phase::Resting,
        };
        self.give_up(End::ByUs { clean })
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        random(self.seed, self.drawn)
    }
}
