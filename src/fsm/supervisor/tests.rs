//! The supervisor, one behaviour per test, on virtual time.

use std::time::Duration;

use super::*;
use crate::fsm::{CauseId, Table};

const SECOND: Duration = Duration::from_secs(1);

/// A supervisor, its clock, and the attempt it began last.
struct Link {
    link: Supervisor,
    now: Time,
    attempt: u64,
    actions: Vec<Action>,
}

impl Link {
    fn new(policy: Policy) -> Self {
        Self { link: Supervisor::new(policy, 42), now: Time::ZERO, attempt: 0, actions: vec![] }
    }

    fn connected(policy: Policy) -> Self {
        let mut link = Self::new(policy);
        link.does(Event::Connect);
        link.opened();
        link.is(State::Connected);
        link.passes(10 * SECOND);
        link
    }

    fn gives(&mut self, event: Event) -> Result<Reaction, Refusal> {
        let reaction = self.link.handle(self.now, event);
        self.drain();
        reaction
    }

    fn does(&mut self, event: Event) {
        let reaction = self.gives(event).unwrap();
        assert_eq!(reaction, Reaction::Changed, "{event:?} in {}", self.link.state());
    }

    fn opened(&mut self) {
        self.does(Event::Opened { attempt: self.attempt });
    }

    fn failed(&mut self) {
        self.does(failed(self.attempt));
    }

    /// Lets time pass, and does what becomes due.
    fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.link.poll_timeout().filter(|due| *due <= until) {
            self.now = due;
            assert_eq!(self.link.handle_timeout(due), Ok(Reaction::Changed));
            self.drain();
        }
        self.now = until;
    }

    fn drain(&mut self) {
        self.actions.clear();
        while let Some(action) = self.link.poll_action() {
            if let Action::Dial { attempt, .. } = action {
                self.attempt = attempt;
            }
            self.actions.push(action);
        }
    }

    #[track_caller]
    fn is(&self, state: State) {
        assert_eq!(self.link.state(), state);
    }
}

fn failed(attempt: u64) -> Event {
    Event::Failed { attempt, retry: Retry::Can, cause: CauseId(7) }
}

const LOST: Event = Event::Lost { retry: Retry::Can, cause: CauseId(9) };

fn plain() -> Policy {
    Policy {
        backoff: Backoff::fixed(SECOND),
        breaker: Some(Breaker {
            threshold: 3,
            cool_down: 5 * SECOND,
            growth: 2,
            cap: 60 * SECOND,
            jitter_percent: 0,
        }),
        ..Policy::default()
    }
}

#[test]
fn the_table_is_whole() {
    let table: Table<Keeper> = super::table::TABLE;
    assert_eq!(table.check(), Ok(()));
}

#[test]
fn initial_state() {
    let link = Link::new(plain());
    link.is(State::Disconnected);
    assert!(link.link.can_attempt_connection());
    assert_eq!(link.link.poll_timeout(), None);
}

#[test]
fn connect_and_success() {
    let mut link = Link::new(plain());
    link.does(Event::Connect);
    link.is(State::Connecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 1, probe: false }]);
    link.opened();
    link.is(State::Connected);
    assert_eq!(link.link.poll_timeout(), None);
}

#[test]
fn lost_then_recovered() {
    let mut link = Link::connected(plain());
    link.does(LOST);
    link.is(State::Reconnecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 2, probe: false }]);
    link.opened();
    link.is(State::Recovering);
    assert_eq!(link.actions, [Action::Recover]);
    link.does(Event::Recovered);
    link.is(State::Connected);
}

#[test]
fn the_breaker_opens_at_its_threshold_and_a_failed_probe_reopens_it_for_longer() {
    let mut link = Link::connected(plain());
    link.does(LOST);
    link.failed();
    link.is(State::Reconnecting);
    link.passes(SECOND);
    link.failed();
    link.passes(SECOND);
    link.failed();
    link.is(State::CircuitOpen);
    assert_eq!(link.link.next_probe(), Some(link.now + 5 * SECOND));
    link.passes(5 * SECOND);
    link.is(State::Reconnecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 5, probe: true }]);
    link.failed();
    link.is(State::CircuitOpen);
    assert_eq!(link.link.next_probe(), Some(link.now + 10 * SECOND));
}

#[test]
fn closing_drains_closes_and_ends() {
    let mut link = Link::connected(plain());
    link.does(Event::Close);
    link.is(State::Closing);
    assert_eq!(link.actions, [Action::Drain]);
    link.does(Event::Drained);
    assert_eq!(link.actions, [Action::Close]);
    link.does(Event::Closed);
    link.is(State::Closed);
    assert_eq!(link.actions, [Action::GiveUp(End::ByUs { clean: true })]);
    link.does(Event::Reset);
    link.is(State::Disconnected);
    link.does(Event::Connect);
    link.is(State::Connecting);
}
