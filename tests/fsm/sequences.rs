//! Every sequence of events up to a depth: whatever is thrown at a supervisor, and in whatever
//! order, what must hold holds.
//!
//! [`Link`] checks at every step that one attempt at most is under way, that none begins while a
//! link is up, that attempts are numbered once, and that actions fit what there is.

use std::collections::HashSet;

use hopmq::fsm::supervisor::{Event, Keeper, Policy, Reasons, Resume, Retry, State};
use hopmq::fsm::{Behaviour, Reaction};

use crate::link::{LOST, LOST_FOR_GOOD, Link, SECOND, failed, policy};

const DEPTH: u32 = 12;

/// What may happen next; `None` lets time pass to the next deadline.
fn alphabet(link: &Link) -> Vec<Option<Event>> {
    let (last, before) = (link.attempt, link.attempt.saturating_sub(1));
    let events = [
        Event::Connect,
        Event::Opened { attempt: last },
        Event::Opened { attempt: before },
        Event::Opened { attempt: last + 1 },
        failed(last, Retry::Can),
        failed(last, Retry::Never),
        failed(before, Retry::Can),
        Event::Degrade(Reasons::LATE),
        Event::Degrade(Reasons::MISSED),
        Event::Clear(Reasons::LATE | Reasons::MISSED),
        LOST,
        LOST_FOR_GOOD,
        Event::Recovered,
        Event::Close,
        Event::Drained,
        Event::Closed,
        Event::Reset,
    ];
    let mut all: Vec<_> = events.into_iter().map(Some).collect();
    all.extend(link.link.poll_timeout().map(|_| None));
    all
}

fn explore(policy: Policy) -> usize {
    let mut frontier = vec![Link::new(policy)];
    let mut seen = HashSet::new();
    let mut reached = HashSet::new();
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for link in &frontier {
            for event in alphabet(link) {
                let after = step(link, event);
                reached.insert(after.link.state());
                // The driver's view follows from the supervisor's, but for whether it is up.
                if seen.insert((after.link.clone(), after.now, after.up)) {
                    next.push(after);
                }
            }
        }
        frontier = next;
    }
    assert!(reached.len() >= 7, "{reached:?}");
    seen.len()
}

/// One event, and all that must hold after it.
fn step(link: &Link, event: Option<Event>) -> Link {
    let mut after = link.clone();
    let reaction = match event {
        Some(event) => after.gives(event),
        None => {
            after.next_deadline();
            Ok(Reaction::Changed)
        }
    };
    match reaction {
        Ok(Reaction::Changed) => assert!(after.link != link.link, "{event:?} changed nothing"),
        Ok(Reaction::Ignored) => quiet(link, &after),
        Err(_) => assert_eq!(after.link, link.link, "a refusal of {event:?} changed something"),
    }
    for transition in &after.transitions {
        let steps = || Keeper::TABLE.steps();
        let known = steps().any(|step| {
            (step.from, step.to) == (transition.from, transition.to)
                && step.on == Some(transition.on)
        });
        assert!(known, "{transition} is not in the table");
    }
    invariants(&after);
    let mut again = link.clone();
    let _ = match event {
        Some(event) => again.gives(event),
        None => {
            again.next_deadline();
            Ok(Reaction::Changed)
        }
    };
    assert_eq!(again.link, after.link, "the same event gives the same state");
    after
}

/// An event without effect leaves no trace but in the context.
fn quiet(before: &Link, after: &Link) {
    assert_eq!(before.link.state(), after.link.state());
    assert_eq!(before.link.poll_timeout(), after.link.poll_timeout());
    assert_eq!(before.link.reasons(), after.link.reasons());
    assert!(after.actions.is_empty() && after.transitions.is_empty());
}

fn invariants(link: &Link) {
    let supervisor = &link.link;
    let state = supervisor.state();
    let lasts =
        matches!(state, State::Disconnected | State::Connected | State::Degraded | State::Closed);
    assert_eq!(supervisor.poll_timeout().is_none(), lasts, "nothing hangs: {state}");
    let up = matches!(state, State::Connected | State::Degraded | State::Recovering);
    assert!(!up || supervisor.attempt().is_none());
    let dials = matches!(state, State::Connecting | State::Reconnecting);
    assert!(dials || supervisor.attempt().is_none());
    assert_eq!(supervisor.can_attempt_connection(), state == State::Disconnected);
    assert_eq!(supervisor.next_probe().is_some(), state == State::CircuitOpen);
    assert!(supervisor.next_probe().is_none() || supervisor.is_circuit_open());
    match state {
        State::Degraded => assert!(!supervisor.reasons().is_empty()),
        State::Connected => assert!(supervisor.reasons().is_empty()),
        State::Closed => assert!(supervisor.end().is_some()),
        State::Connecting => assert!(supervisor.end().is_none()),
        _ => {}
    }
}

#[test]
fn every_sequence_with_the_common_policy() {
    let states = explore(policy());
    assert!(states > 1_000, "{states}");
}

#[test]
fn every_sequence_with_retries_from_the_first_and_a_touchy_breaker() {
    let breaker =
        policy().breaker.map(|breaker| hopmq::fsm::supervisor::Breaker { threshold: 1, ..breaker });
    explore(Policy {
        first_connect_retries: true,
        breaker,
        max_attempts: Some(3),
        resume: Resume::Degraded(Reasons::MISSED),
        ..policy()
    });
}

#[test]
fn every_sequence_without_recovery_and_breaker() {
    explore(Policy {
        first_connect_retries: true,
        recover: false,
        breaker: None,
        max_time: Some(3 * SECOND),
        resume: Resume::Connected,
        ..policy()
    });
}
