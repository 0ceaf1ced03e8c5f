//! A supervisor with a clock, and with a driver's view of it that is checked at every step.

use std::time::Duration;

use hopmq::fsm::supervisor::{
    Action, Backoff, Breaker, Event, Policy, Reasons, Refusal, Retry, State, Transition,
};
use hopmq::fsm::{CauseId, Reaction, Signal, Supervisor, Time};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const CAUSE: CauseId = CauseId(9);
pub(crate) const LOST: Event = Event::Lost { retry: Retry::Can, cause: CAUSE };
pub(crate) const LOST_FOR_GOOD: Event = Event::Lost { retry: Retry::Never, cause: CAUSE };

#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) link: Supervisor,
    pub(crate) now: Time,
    /// The attempt that was begun last.
    pub(crate) attempt: u64,
    /// What the last step put out.
    pub(crate) actions: Vec<Action>,
    pub(crate) transitions: Vec<Transition>,
    /// The attempt under way, as its driver knows it.
    pub(crate) dialling: Option<u64>,
    /// Whether there is a link, as its driver knows it.
    pub(crate) up: bool,
}

/// Waits of one second, a breaker at three failures that cools down for five, ten, ... seconds.
pub(crate) fn policy() -> Policy {
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

impl Link {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            link: Supervisor::new(policy, 42),
            now: Time::ZERO,
            attempt: 0,
            actions: vec![],
            transitions: vec![],
            dialling: None,
            up: false,
        }
    }

    pub(crate) fn connected(policy: Policy) -> Self {
        let mut link = Self::new(policy);
        link.does(Event::Connect);
        link.opened();
        link.is(State::Connected);
        link.passes(10 * SECOND);
        link
    }

    /// Lost, and then so many attempts failed, each at its time.
    pub(crate) fn failing(policy: Policy, attempts: u32) -> Self {
        let mut link = Self::connected(policy);
        link.does(LOST);
        for _ in 0..attempts {
            link.passes_until_dialling();
            link.failed();
        }
        link
    }

    /// Hands in an event, and does what a driver does with what comes out.
    pub(crate) fn gives(&mut self, event: Event) -> Result<Reaction, Refusal> {
        let ends_the_link = match event {
            // One that is refused tells of nothing that has happened.
            Event::Lost { .. } | Event::Closed => self.link.machine().accepts(event.kind()),
            Event::Opened { attempt } if self.dialling == Some(attempt) => {
                self.dialling = None;
                self.up = true;
                false
            }
            Event::Failed { attempt, .. } if self.dialling == Some(attempt) => {
                self.dialling = None;
                false
            }
            _ => false,
        };
        self.up &= !ends_the_link;
        let reaction = self.link.handle(self.now, event);
        self.drain();
        reaction
    }

    #[track_caller]
    pub(crate) fn does(&mut self, event: Event) {
        assert_eq!(self.gives(event), Ok(Reaction::Changed), "{event:?} in {}", self.link.state());
    }

    #[track_caller]
    pub(crate) fn ignores(&mut self, event: Event) {
        let state = self.link.state();
        assert_eq!(self.gives(event), Ok(Reaction::Ignored), "{event:?} in {state}");
        assert_eq!((self.link.state(), self.actions.len()), (state, 0), "{event:?}");
    }

    #[track_caller]
    pub(crate) fn refuses(&mut self, event: Event) -> Refusal {
        let before = self.link.clone();
        let refusal = self.gives(event).expect_err("refused");
        assert_eq!(self.link, before, "a refusal changes nothing");
        refusal
    }

    #[track_caller]
    pub(crate) fn opened(&mut self) {
        self.does(Event::Opened { attempt: self.attempt });
    }

    #[track_caller]
    pub(crate) fn failed(&mut self) {
        self.does(failed(self.attempt, Retry::Can));
    }

    /// Lets time pass, and does what becomes due.
    pub(crate) fn passes(&mut self, time: Duration) {
        let until = self.now + time;
        while self.link.poll_timeout().is_some_and(|due| due <= until) {
            self.next_deadline();
        }
        self.now = until;
    }

    /// Lets time pass up to the next deadline, and does what is due then.
    #[track_caller]
    pub(crate) fn next_deadline(&mut self) {
        self.now = self.now.max(self.link.poll_timeout().expect("a deadline"));
        assert_eq!(self.link.handle_timeout(self.now), Ok(Reaction::Changed));
        self.drain();
    }

    #[track_caller]
    pub(crate) fn passes_until_dialling(&mut self) {
        while self.dialling.is_none() {
            self.next_deadline();
        }
    }

    #[track_caller]
    pub(crate) fn is(&self, state: State) {
        assert_eq!(self.link.state(), state);
    }

    fn drain(&mut self) {
        self.actions.clear();
        self.transitions.clear();
        while let Some(transition) = self.link.poll_transition() {
            self.transitions.push(transition);
        }
        while let Some(action) = self.link.poll_action() {
            self.follow(action);
            self.actions.push(action);
        }
        assert_eq!(self.dialling, self.link.attempt(), "{:?}", self.actions);
    }

    /// Does what an action says, as far as a driver would notice.
    fn follow(&mut self, action: Action) {
        match action {
            Action::Dial { attempt, .. } => {
                assert_eq!(self.dialling, None, "one attempt at a time");
                assert!(!self.up, "an attempt, though the link is up");
                assert!(attempt > self.attempt, "a number is never used twice");
                (self.dialling, self.attempt) = (Some(attempt), attempt);
            }
            Action::AbortDial { attempt } => {
                assert_eq!(self.dialling.take(), Some(attempt), "aborts what is not under way");
            }
            Action::Drop => {
                assert!(std::mem::take(&mut self.up), "drops what is not up");
            }
            Action::Recover | Action::Drain | Action::Close => {
                assert!(self.up, "{action:?} without a link");
            }
            Action::GiveUp(_) => {
                assert!(!self.up && self.dialling.is_none(), "gives up too early");
            }
        }
    }
}

pub(crate) fn failed(attempt: u64, retry: Retry) -> Event {
    Event::Failed { attempt, retry, cause: CAUSE }
}

/// A link in each state, and what it is called.
pub(crate) fn everywhere() -> [(State, Link); 9] {
    let recovering = {
        let mut link = Link::connected(policy());
        link.does(LOST);
        link.opened();
        link
    };
    let after = |mut link: Link, events: &[Event]| {
        events.iter().for_each(|event| link.does(*event));
        link
    };
    let up = || Link::connected(policy());
    [
        (State::Disconnected, Link::new(policy())),
        (State::Connecting, after(Link::new(policy()), &[Event::Connect])),
        (State::Connected, up()),
        (State::Degraded, after(up(), &[Event::Degrade(Reasons::LATE)])),
        (State::Reconnecting, after(up(), &[LOST])),
        (State::Recovering, recovering),
        (State::CircuitOpen, Link::failing(policy(), 3)),
        (State::Closing, after(up(), &[Event::Close])),
        (State::Closed, after(up(), &[Event::Close, Event::Drained, Event::Closed])),
    ]
}
