//! The supervisor, one behaviour per test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hopmq::fsm::supervisor::{
    Action, Backoff, End, Event, Hooks, Keeper, Kind, Policy, Reasons, Refusal, Resume, Retry,
    State,
};
use hopmq::fsm::{Behaviour, CauseId, Label, On, Supervisor, Time};

use crate::link::{CAUSE, LOST, LOST_FOR_GOOD, Link, SECOND, everywhere, failed, policy};

#[test]
fn the_table_is_whole() {
    assert_eq!(Keeper::TABLE.check(), Ok(()));
    assert_eq!(everywhere().map(|(state, _)| state), State::ALL);
}

#[test]
fn initial_state() {
    let link = Link::new(policy());
    link.is(State::Disconnected);
    assert_eq!(link.link.poll_timeout(), None);
    assert_eq!(link.link.end(), None);
}

#[test]
fn connect() {
    let mut link = Link::new(policy());
    link.does(Event::Connect);
    link.is(State::Connecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 1, probe: false }]);
}

#[test]
fn success() {
    let mut link = Link::new(policy());
    link.does(Event::Connect);
    link.opened();
    link.is(State::Connected);
    assert_eq!(link.actions, []);
    assert_eq!(link.link.poll_timeout(), None);
}

#[test]
fn first_failure_goes_back_to_disconnected() {
    let mut link = Link::new(policy());
    link.does(Event::Connect);
    link.failed();
    link.is(State::Disconnected);
    let end = End::FirstAttempt { retry: Retry::Can, cause: CAUSE };
    assert_eq!(link.actions, [Action::GiveUp(end)]);
    assert_eq!(link.transitions[0].cause, CAUSE);
    link.does(Event::Connect);
    link.is(State::Connecting);
    assert_eq!(link.link.end(), None);
}

#[test]
fn the_first_connect_retries_when_asked() {
    let mut link = Link::new(Policy { first_connect_retries: true, ..policy() });
    link.does(Event::Connect);
    link.failed();
    link.is(State::Reconnecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 2, probe: false }], "at once");
    link.failed();
    link.passes(SECOND);
    link.opened();
    link.is(State::Connected);
    assert_eq!(link.actions, [], "nothing was up before, so nothing has to be recovered");
}

#[test]
fn lost() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.is(State::Reconnecting);
    let seen = link.transitions[0];
    assert_eq!((seen.from, seen.to, seen.cause), (State::Connected, State::Reconnecting, CAUSE));
    assert_eq!(
        link.actions,
        [Action::Dial { attempt: 2, probe: false }],
        "the first retry at once"
    );
}

#[test]
fn losing_the_connection_is_seen_before_any_retry() {
    let mut link = Supervisor::new(policy(), 1);
    link.handle(Time::ZERO, Event::Connect).unwrap();
    link.poll_action();
    link.handle(Time::ZERO, Event::Opened { attempt: 1 }).unwrap();
    link.handle(Time::from_secs(9), LOST).unwrap();
    // Nothing is dialled before the driver fetches the action; the state has changed already.
    assert_eq!(link.state(), State::Reconnecting);
    assert_eq!(link.poll_action(), Some(Action::Dial { attempt: 2, probe: false }));
}

#[test]
fn without_reconnecting_a_loss_is_the_end() {
    let mut link = Link::connected(Policy { reconnect: false, ..policy() });
    link.does(LOST);
    link.is(State::Closed);
    assert_eq!(link.actions, [Action::GiveUp(End::Lost { cause: CAUSE })]);
}

#[test]
fn reconnect_success() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.passes(3 * SECOND);
    link.opened();
    link.is(State::Recovering);
    assert_eq!(link.actions, [Action::Recover]);
    link.does(Event::Recovered);
    link.is(State::Connected);
    let stats = link.link.stats(link.now);
    assert_eq!((stats.recoveries, stats.last_recovery), (1, Some(3 * SECOND)));
    assert_eq!(stats.failures_in_a_row, 0);
}

#[test]
fn recovery_can_be_left_out() {
    let mut link = Link::connected(Policy { recover: false, ..policy() });
    link.does(LOST);
    link.opened();
    link.is(State::Connected);
}

#[test]
fn reconnect_failure_counted() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.failed();
    link.is(State::Reconnecting);
    let seen = link.transitions[0];
    assert_eq!((seen.from, seen.to), (State::Reconnecting, State::Reconnecting));
    let stats = link.link.stats(link.now);
    assert_eq!((stats.failures, stats.failures_in_a_row, stats.attempts), (1, 1, 2));
    assert_eq!(stats.last_cause, CAUSE);
    assert_eq!(link.link.next_attempt(), Some(link.now + SECOND));
}

#[test]
fn maximum_attempts_ends_it() {
    let mut link = Link::failing(Policy { max_attempts: Some(3), breaker: None, ..policy() }, 3);
    link.is(State::Closed);
    let end = End::Exhausted { attempts: 3, cause: CAUSE };
    assert_eq!(link.actions, [Action::GiveUp(end)]);
    assert_eq!(link.link.end(), Some(end));
    link.refuses(Event::Connect);
}

#[test]
fn maximum_time_ends_it() {
    let max_time = Some(5 * SECOND);
    let mut link = Link::connected(Policy { max_time, breaker: None, ..policy() });
    let lost_at = link.now;
    link.does(LOST);
    while link.link.state() == State::Reconnecting {
        link.passes_until_dialling();
        link.failed();
    }
    link.is(State::Closed);
    assert!(link.now.saturating_since(lost_at) <= 5 * SECOND);
    assert!(matches!(link.link.end(), Some(End::Exhausted { attempts: 6, .. })));
}

#[test]
fn breaker_opens_at_its_threshold() {
    Link::failing(policy(), 2).is(State::Reconnecting);
    let link = Link::failing(policy(), 3);
    link.is(State::CircuitOpen);
    assert_eq!(link.actions, []);
    assert_eq!(link.link.stats(link.now).trips, 1);
}

#[test]
fn calls_fail_fast_while_it_is_open_with_the_time_of_the_probe() {
    let mut link = Link::failing(policy(), 3);
    let next_probe = link.now + 5 * SECOND;
    assert_eq!(link.link.next_probe(), Some(next_probe));
    assert!(link.link.is_circuit_open() && !link.link.can_attempt_connection());
    assert_eq!(link.refuses(Event::Connect), Refusal::CircuitOpen { next_probe });
}

#[test]
fn half_open_after_the_cool_down() {
    let mut link = Link::failing(policy(), 3);
    link.passes(5 * SECOND - Duration::from_nanos(1));
    link.is(State::CircuitOpen);
    link.passes(Duration::from_nanos(1));
    link.is(State::Reconnecting);
    assert_eq!(link.actions, [Action::Dial { attempt: 5, probe: true }]);
    assert!(link.link.is_circuit_open(), "until the probe has succeeded");
    assert_eq!(link.link.next_probe(), None);
}

#[test]
fn a_successful_probe_closes_it() {
    let mut link = Link::failing(policy(), 3);
    link.passes(5 * SECOND);
    link.opened();
    link.does(Event::Recovered);
    link.is(State::Connected);
    assert!(!link.link.is_circuit_open());
    // The next outage begins with a clean slate.
    link.passes(10 * SECOND);
    link.does(LOST);
    link.failed();
    link.is(State::Reconnecting);
}

#[test]
fn a_failed_probe_reopens_it_for_longer() {
    let mut link = Link::failing(policy(), 3);
    for cool_down in [5, 10, 20, 40, 60, 60] {
        link.is(State::CircuitOpen);
        assert_eq!(link.link.next_probe(), Some(link.now + cool_down * SECOND));
        link.passes_until_dialling();
        link.failed();
    }
}

#[test]
fn a_probe_that_is_lost_before_it_has_recovered_has_failed() {
    let mut link = Link::failing(policy(), 3);
    link.passes_until_dialling();
    link.opened();
    link.is(State::Recovering);
    link.does(LOST);
    link.is(State::CircuitOpen);
    assert_eq!(link.link.next_probe(), Some(link.now + 10 * SECOND));
}

#[test]
fn one_probe_only() {
    let mut link = Link::failing(policy(), 3);
    link.passes_until_dialling();
    let probes = |link: &Link| {
        link.actions.iter().filter(|action| matches!(action, Action::Dial { .. })).count()
    };
    assert_eq!(probes(&link), 1);
    link.refuses(Event::Connect);
    link.ignores(LOST);
    // When it takes too long, it is aborted before anything else begins.
    link.next_deadline();
    link.is(State::CircuitOpen);
    assert_eq!(link.actions, [Action::AbortDial { attempt: 5 }]);
}

#[test]
fn degraded_on_late_pings() {
    let mut link = Link::connected(policy());
    link.does(Event::Degrade(Reasons::LATE));
    link.is(State::Degraded);
    assert_eq!(link.link.reasons(), Reasons::LATE);
    link.ignores(Event::Degrade(Reasons::LATE));
    link.does(Event::Degrade(Reasons::BLOCKED));
    assert_eq!(link.link.reasons().to_string(), "blocked, late");
}

#[test]
fn degraded_and_back() {
    let mut link = Link::connected(policy());
    link.does(Event::Degrade(Reasons::LATE | Reasons::BLOCKED));
    link.does(Event::Clear(Reasons::LATE));
    link.is(State::Degraded);
    link.ignores(Event::Clear(Reasons::LATE));
    link.does(Event::Clear(Reasons::BLOCKED));
    link.is(State::Connected);
    link.ignores(Event::Clear(Reasons::BLOCKED));
    link.ignores(Event::Degrade(Reasons::NONE));
}

#[test]
fn degraded_and_lost() {
    let mut link = Link::connected(policy());
    link.does(Event::Degrade(Reasons::LATE));
    link.does(LOST);
    link.is(State::Reconnecting);
    link.opened();
    link.does(Event::Recovered);
    link.is(State::Connected);
    assert_eq!(link.link.reasons(), Reasons::NONE, "lateness was the lost link's");
}

#[test]
fn recovery_returns_to_the_state_it_left() {
    let mut link = Link::connected(policy());
    link.does(Event::Degrade(Reasons::own(3) | Reasons::LATE));
    link.does(LOST);
    link.opened();
    link.does(Event::Recovered);
    link.is(State::Degraded);
    assert_eq!(link.link.reasons(), Reasons::own(3), "this reason outlives the link");
}

#[test]
fn recovery_goes_where_the_policy_says() {
    let connected = Policy { resume: Resume::Connected, ..policy() };
    let missed = Policy { resume: Resume::Degraded(Reasons::MISSED), ..policy() };
    for (policy, state) in [(connected, State::Connected), (missed, State::Degraded)] {
        let mut link = Link::connected(policy);
        link.does(Event::Degrade(Reasons::own(3)));
        link.does(LOST);
        link.opened();
        link.does(Event::Recovered);
        link.is(state);
    }
}

#[test]
fn what_was_not_recovered_degrades() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.opened();
    link.does(Event::Degrade(Reasons::PARTIAL));
    link.does(Event::Recovered);
    link.is(State::Degraded);
    link.does(Event::Clear(Reasons::PARTIAL));
    link.is(State::Connected);
}

#[test]
fn what_was_not_recovered_is_forgotten_when_the_link_is_lost_again() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.opened();
    link.does(Event::Degrade(Reasons::PARTIAL));
    link.does(LOST);
    assert_eq!(link.link.reasons(), Reasons::NONE);
    link.passes_until_dialling();
    link.opened();
    link.does(Event::Recovered);
    link.is(State::Connected);
}

#[test]
fn only_what_outlives_a_link_is_news_while_there_is_none() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.ignores(Event::Degrade(Reasons::BLOCKED));
    link.does(Event::Degrade(Reasons::MISSED));
    link.opened();
    link.does(Event::Recovered);
    link.is(State::Degraded);
}

#[test]
fn no_second_attempt_while_one_is_under_way() {
    let mut link = Link::new(policy());
    link.does(Event::Connect);
    link.refuses(Event::Connect);
    link.does(Event::Close);
    assert_eq!(link.actions[0], Action::AbortDial { attempt: 1 });
    link.does(Event::Reset);
    link.does(Event::Connect);
    // The answers to the first attempt come late: they are not taken for those to the second.
    link.ignores(Event::Opened { attempt: 1 });
    link.ignores(failed(1, Retry::Never));
    link.is(State::Connecting);
    link.opened();
    link.is(State::Connected);
}

#[test]
fn an_answer_to_an_attempt_that_was_never_made_is_refused() {
    for (_, mut link) in everywhere() {
        let next = link.attempt + 1;
        link.refuses(Event::Opened { attempt: next });
        link.refuses(failed(next, Retry::Can));
        link.refuses(Event::Opened { attempt: 0 });
    }
}

#[test]
fn can_attempt_connection_in_every_state() {
    for (state, mut link) in everywhere() {
        let can = link.link.can_attempt_connection();
        assert_eq!(can, state == State::Disconnected, "{state}");
        assert_eq!(can, link.gives(Event::Connect).is_ok(), "{state}: the answer is true");
    }
}

#[test]
fn every_illegal_transition_refused() {
    let mut refused = 0;
    for (state, link) in everywhere() {
        for kind in Kind::ALL {
            if Keeper::TABLE.rows(state, On::Event(*kind)).next().is_some() {
                continue;
            }
            let refusal = link.clone().refuses(example(*kind, link.attempt));
            assert!(!refusal.to_string().is_empty());
            refused += 1;
        }
    }
    assert!(refused > 20, "{refused}");
}

fn example(kind: Kind, attempt: u64) -> Event {
    match kind {
        Kind::Connect => Event::Connect,
        Kind::Opened => Event::Opened { attempt },
        Kind::Failed => failed(attempt, Retry::Can),
        Kind::Degrade => Event::Degrade(Reasons::LATE),
        Kind::Clear => Event::Clear(Reasons::LATE),
        Kind::Lost => LOST,
        Kind::Recovered => Event::Recovered,
        Kind::Close => Event::Close,
        Kind::Drained => Event::Drained,
        Kind::Closed => Event::Closed,
        Kind::Reset => Event::Reset,
    }
}

#[test]
fn a_refusal_names_state_and_event() {
    let mut link = Link::connected(policy());
    let refusal = link.refuses(Event::Connect);
    assert_eq!(refusal.to_string(), "`connect` is not legal in state Connected");
    let refusal = link.refuses(Event::Opened { attempt: 2 });
    let words = "`opened` is not legal in state Connected unless the attempt is known";
    assert_eq!(refusal.to_string(), words);
}

#[test]
fn order_of_hooks() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let say = |what: &'static str| {
        let log = Arc::clone(&log);
        move |_: &_| log.lock().unwrap().push(what)
    };
    let mut hooks = Hooks::new();
    hooks.before_any(say("before any"));
    hooks.before_leaving(State::Disconnected, say("leaving"));
    hooks.after_entering(State::Connecting, say("entered"));
    hooks.after_any(say("after any"));
    let mut link = Supervisor::new(policy(), 1);
    link.handle_with(Time::ZERO, Event::Connect, &mut hooks).unwrap();
    assert_eq!(*log.lock().unwrap(), ["before any", "leaving", "entered", "after any"]);
}

#[test]
fn statistics() {
    let mut link = Link::failing(policy(), 2);
    link.passes_until_dialling();
    link.opened();
    link.does(Event::Recovered);
    link.passes(7 * SECOND);
    link.refuses(Event::Connect);
    let stats = link.link.stats(link.now);
    assert_eq!((stats.state, stats.time_in_state), (State::Connected, 7 * SECOND));
    assert_eq!((stats.attempts, stats.failures, stats.losses), (4, 2, 1));
    assert_eq!((stats.recoveries, stats.last_recovery), (1, Some(2 * SECOND)));
    assert_eq!((stats.longest_recovery, stats.total_recovery), (2 * SECOND, 2 * SECOND));
    assert_eq!((stats.machine.refused, stats.trips), (1, 0));
    assert_eq!(stats.machine.in_state(State::Connected).time, 17 * SECOND);
    let total: Duration = State::ALL.iter().map(|state| stats.machine.in_state(*state).time).sum();
    assert_eq!(total, link.now.saturating_since(Time::ZERO), "every moment counts once");
}

#[test]
fn a_failure_that_no_retry_can_mend() {
    let mut link = Link::connected(policy());
    link.does(LOST);
    link.does(failed(2, Retry::Never));
    link.is(State::Closed);
    assert_eq!(link.actions, [Action::GiveUp(End::Fatal { cause: CAUSE })]);
    let mut link = Link::connected(policy());
    link.does(LOST_FOR_GOOD);
    link.is(State::Closed);
    let mut link = Link::new(Policy { first_connect_retries: true, ..policy() });
    link.does(Event::Connect);
    link.does(failed(1, Retry::Never));
    link.is(State::Disconnected);
    assert_eq!(link.link.end(), Some(End::FirstAttempt { retry: Retry::Never, cause: CAUSE }));
}

#[test]
fn deadline_while_connecting() {
    let mut link = Link::new(Policy { connect_timeout: Some(4 * SECOND), ..policy() });
    link.does(Event::Connect);
    link.passes(4 * SECOND);
    link.is(State::Disconnected);
    let end = End::FirstAttempt { retry: Retry::Can, cause: CauseId::NONE };
    assert_eq!(link.actions, [Action::AbortDial { attempt: 1 }, Action::GiveUp(end)]);
    link.ignores(Event::Opened { attempt: 1 });
}

#[test]
fn deadline_while_recovering() {
    let mut link = Link::connected(Policy { recover_timeout: Some(4 * SECOND), ..policy() });
    link.does(LOST);
    link.opened();
    link.passes(4 * SECOND);
    link.is(State::Reconnecting);
    assert_eq!(link.actions, [Action::Drop]);
    link.ignores(Event::Recovered);
}

#[test]
fn a_peer_that_accepts_and_drops_is_not_dialled_in_a_circle() {
    let mut link = Link::connected(Policy { backoff: Backoff::fixed(SECOND), ..policy() });
    link.does(LOST);
    let mut waits = Vec::new();
    for _ in 0..4 {
        link.passes_until_dialling();
        link.opened();
        link.does(Event::Recovered);
        let lost_at = link.now;
        link.does(LOST);
        link.passes_until_dialling();
        waits.push(link.now.saturating_since(lost_at));
    }
    assert_eq!(waits, [SECOND; 4], "only the first retry of the outage was at once");
    assert_eq!(link.link.stats(link.now).failures_in_a_row, 4);
    // A link that lasts ends the outage.
    link.opened();
    link.does(Event::Recovered);
    link.passes(SECOND);
    link.does(LOST);
    assert!(link.dialling.is_some());
}

#[test]
fn a_forgotten_timer_does_no_harm() {
    let mut link = Link::failing(policy(), 1);
    link.now = link.now + 1000 * SECOND;
    link.next_deadline();
    link.opened();
    link.is(State::Recovering);
    // Time that goes back is taken as it is.
    link.now = Time::ZERO;
    link.does(Event::Recovered);
    link.does(LOST);
    link.is(State::Reconnecting);
}
