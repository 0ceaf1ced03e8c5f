//! What a supervised connection is held to, one behaviour per test: those of the seed that this grew from.

use std::sync::{Arc, Mutex};

use hopmq::fsm::supervisor::{Event, Kind, Refusal};
use hopmq::fsm::{CauseId, Label, Signal};
use hopmq::link::{
    End, Fault, Hooks, Link, Policy, Reasons, Retry, Settings, State, Transition, Unavailable,
};
use tokio::time::{Instant, sleep};

use crate::fake::{
    Does, Held, Oops, SECOND, begin, connected, failing, in_state, link, policy, settings, settle,
};

#[test]
fn initial_state() {
    // No runtime is needed to make one.
    let (fake, link) = link(policy());
    assert_eq!(link.state(), State::Disconnected);
    assert!(link.ended().is_none());
    assert!(fake.notes().dials.is_empty());
    assert_eq!(link.stats().attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn connect() {
    let (fake, link) = link(policy());
    let monitor = link.monitor();
    fake.dials_do(Does::Late(SECOND));
    let mut connecting = link.connect();
    settle().await;
    assert_eq!(monitor.state(), State::Disconnected, "nothing happens before it is polled");
    begin(&mut connecting).await;
    assert_eq!(monitor.state(), State::Connecting);
    settle().await;
    assert_eq!(fake.notes().under_way, 1);
    assert_eq!(connecting.await.unwrap().state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn success() {
    let (fake, link) = link(policy());
    let link = link.connect().await.unwrap();
    assert_eq!(link.state(), State::Connected);
    assert_eq!(link.session().unwrap().number, 1);
    assert_eq!(fake.notes().recovered, [0; 0], "the first session has nothing to recover");
}

#[tokio::test(start_paused = true)]
async fn first_failure_goes_back_to_disconnected() {
    let (fake, link) = link(policy());
    fake.next_dials(&[Does::Fail]);
    let (ended, link) = link.connect().await.unwrap_err().into_parts();
    assert!(matches!(ended.end, End::FirstAttempt { retry: Retry::Can, .. }));
    assert!(matches!(ended.fault.as_deref(), Some(Fault::Service(Oops::OutOfOrder))));
    assert_eq!(link.state(), State::Disconnected);
    sleep(60 * SECOND).await;
    assert_eq!(fake.notes().dials.len(), 1, "another attempt is the caller's to make");
    assert_eq!(link.connect().await.unwrap().state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn lost() {
    let (fake, link) = connected(policy()).await;
    fake.dials_do(Does::Hang);
    fake.cut();
    assert!(link.monitor().reaches(State::Reconnecting).await);
    let Err(Unavailable::Down { state, next_attempt, fault }) = link.session() else {
        panic!("there is a session")
    };
    assert_eq!((state, next_attempt), (State::Reconnecting, None));
    assert!(matches!(fault.as_deref(), Some(Fault::Service(Oops::OutOfOrder))));
    settle().await;
    assert_eq!(fake.notes().dropped, [1]);
    assert_eq!(link.stats().losses, 1);
}

#[tokio::test(start_paused = true)]
async fn reconnect_success() {
    let (fake, link) = connected(policy()).await;
    let first = link.session().unwrap();
    let mut transitions = link.transitions();
    fake.next_dials(&[Does::Fail]);
    fake.cut();
    let mut to = Vec::new();
    while to.last() != Some(&State::Connected) {
        to.push(transitions.next().await.unwrap().to);
    }
    use State::{Connected, Reconnecting, Recovering};
    assert_eq!(to, [Reconnecting, Reconnecting, Recovering, Connected]);
    assert_eq!(fake.notes().recovered, [2]);
    assert!(!first.is_current());
    assert_eq!(link.session().unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn reconnect_failure_counted() {
    let (fake, link) = failing(Policy { breaker: None, ..policy() }).await;
    let start = Instant::now();
    sleep(SECOND * 7 / 2).await;
    assert_eq!(link.stats().failures, 4);
    assert_eq!(link.stats().failures_in_a_row, 4);
    assert_eq!(fake.dialled_at(start)[1..], [0, 1, 2, 3]);
    fake.dials_do(Does::Work);
    link.ready().await.unwrap();
    assert_eq!(link.stats().failures, 4);
    assert_eq!(link.stats().failures_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn maximum_attempts_ends_it() {
    let policy = Policy { max_attempts: Some(3), breaker: None, ..policy() };
    let (fake, link) = failing(policy).await;
    let ended = link.closed().await;
    assert!(matches!(ended.end, End::Exhausted { attempts: 3, .. }));
    assert!(matches!(ended.fault.as_deref(), Some(Fault::Service(Oops::OutOfOrder))));
    assert_eq!(link.state(), State::Closed);
    assert!(matches!(link.session(), Err(Unavailable::Ended(_))));
    assert!(matches!(link.ready().await, Err(Unavailable::Ended(_))));
    sleep(60 * SECOND).await;
    assert_eq!(fake.notes().dials.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn breaker_opens_at_its_threshold() {
    let (fake, link) = failing(policy()).await;
    assert!(link.monitor().reaches(State::CircuitOpen).await);
    assert_eq!(link.stats().failures_in_a_row, 3);
    assert_eq!(link.stats().trips, 1);
    assert_eq!(fake.notes().dials.len(), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn calls_fail_fast_while_it_is_open_with_the_time_of_the_probe() {
    let (fake, link) = failing(policy()).await;
    link.monitor().reaches(State::CircuitOpen).await;
    let open = Instant::now();
    let Err(Unavailable::CircuitOpen { next_probe, fault }) = link.session() else {
        panic!("the breaker is not open")
    };
    assert_eq!((Instant::now(), next_probe), (open, open + 5 * SECOND));
    assert_eq!(link.monitor().next_probe(), Some(next_probe));
    assert!(matches!(fault.as_deref(), Some(Fault::Service(Oops::OutOfOrder))));
    let error = link.session().unwrap_err().to_string();
    assert_eq!(error, "the circuit breaker is open, for 5.0s yet");
    assert_eq!(fake.notes().dials.len(), 4, "asking dials nothing");
}

#[tokio::test(start_paused = true)]
async fn half_open_after_the_cool_down() {
    let (fake, link) = failing(policy()).await;
    link.monitor().reaches(State::CircuitOpen).await;
    fake.dials_do(Does::Hang);
    sleep(5 * SECOND - SECOND / 1000).await;
    assert_eq!((link.state(), fake.notes().under_way), (State::CircuitOpen, 0));
    sleep(SECOND / 500).await;
    assert_eq!((link.state(), fake.notes().under_way), (State::Reconnecting, 1));
    assert!(link.monitor().supervisor().is_circuit_open(), "half open until the link is back");
}

#[tokio::test(start_paused = true)]
async fn a_successful_probe_closes_it() {
    let (fake, link) = failing(policy()).await;
    link.monitor().reaches(State::CircuitOpen).await;
    fake.dials_do(Does::Work);
    assert_eq!(link.ready().await.unwrap().number, 2);
    assert_eq!(link.state(), State::Connected);
    assert!(!link.monitor().supervisor().is_circuit_open());
    assert_eq!(link.stats().failures_in_a_row, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_reopens_it_for_longer() {
    let (_, link) = failing(policy()).await;
    let monitor = link.monitor();
    monitor.reaches(State::CircuitOpen).await;
    monitor.reaches(State::Reconnecting).await;
    monitor.reaches(State::CircuitOpen).await;
    assert_eq!(monitor.next_probe(), Some(Instant::now() + 10 * SECOND));
    assert_eq!(link.stats().trips, 2);
}

#[tokio::test(start_paused = true)]
async fn one_probe_only() {
    let (fake, link) = failing(policy()).await;
    link.monitor().reaches(State::CircuitOpen).await;
    let open = Instant::now();
    sleep(100 * SECOND).await;
    // After 5, 10 and 20 and 40 seconds; each fails at once.
    assert_eq!(fake.dialled_at(open)[4..], [5, 15, 35, 75]);
    assert_eq!(fake.notes().most_under_way, 1);
    assert_eq!(link.state(), State::CircuitOpen);
}

#[tokio::test(start_paused = true)]
async fn degraded_on_late_pings() {
    let (fake, link) = connected(policy()).await;
    let start = Instant::now();
    fake.probes_do(Does::Hang);
    assert!(link.monitor().reaches(State::Degraded).await);
    // Probed after ten seconds, of which five had passed, and late after two.
    assert_eq!(Instant::now(), start + 7 * SECOND);
    assert_eq!(link.monitor().reasons(), Reasons::LATE);
    assert_eq!(link.session().unwrap().number, 1, "a link that is late still serves");
}

#[tokio::test(start_paused = true)]
async fn degraded_and_back() {
    let (fake, link) = connected(policy()).await;
    fake.probes_do(Does::Late(4 * SECOND));
    let mut transitions = link.transitions();
    let late = transitions.next().await.unwrap();
    let back = transitions.next().await.unwrap();
    assert_eq!((late.to, back.to), (State::Degraded, State::Connected));
    assert_eq!(back.at.saturating_since(late.at), 2 * SECOND);
    fake.probes_do(Does::Work);
    sleep(61 * SECOND).await;
    assert_eq!((link.stats().losses, transitions.try_next()), (0, None));
    assert_eq!(fake.notes().probes, 1 + 6);
}

#[tokio::test(start_paused = true)]
async fn degraded_and_lost() {
    let (fake, link) = connected(policy()).await;
    fake.probes_do(Does::Hang);
    fake.dials_do(Does::Hang);
    let monitor = link.monitor();
    monitor.reaches(State::Degraded).await;
    let late = Instant::now();
    monitor.reaches(State::Reconnecting).await;
    assert_eq!(Instant::now(), late + 3 * SECOND);
    let Err(Unavailable::Down { fault, .. }) = link.session() else { panic!("it is up") };
    assert!(matches!(fault.as_deref(), Some(Fault::Silent { after }) if *after == 5 * SECOND));
    assert!(monitor.reasons().is_empty(), "the lateness went with the session");
}

#[tokio::test(start_paused = true)]
async fn close_from_every_state() {
    for state in State::ALL.iter().copied() {
        let (fake, monitor, held) = in_state(state).await;
        let start = Instant::now();
        let (sessions, dropped) = match held {
            Held::Down(link) => {
                drop(link);
                // There is nothing to close.
                assert_eq!(monitor.state(), State::Disconnected);
                (0, 0)
            }
            Held::Connecting(connecting) => {
                drop(connecting);
                assert!(monitor.reaches(State::Closed).await);
                (0, 0)
            }
            Held::Up(link) => {
                let link = link.close().await;
                assert_eq!(link.state(), State::Disconnected, "{state}");
                let clean = matches!(link.ended().unwrap().end, End::ByUs { clean: true });
                assert_eq!(clean, !matches!(state, State::Closed), "{state}");
                // Only where a session was up it has to be closed.
                let up = matches!(state, State::Connected | State::Degraded | State::Recovering);
                (usize::from(up), fake.notes().dropped.len())
            }
            Held::Closing(closing) => {
                let closed = tokio::spawn(closing);
                assert!(monitor.reaches(State::Closed).await);
                assert_eq!(closed.await.unwrap().state(), State::Disconnected);
                (0, 1)
            }
        };
        settle().await;
        let notes = fake.notes();
        assert_eq!((notes.closed.len(), notes.under_way), (sessions, 0), "{state}");
        assert!(notes.dropped.len() >= dropped, "{state}");
        let hangs = matches!(state, State::Closing).then_some(5 * SECOND).unwrap_or_default();
        assert_eq!(start.elapsed(), hangs, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_second_attempt_while_one_is_under_way() {
    let (fake, link) = connected(policy()).await;
    fake.dials_do(Does::Late(3 * SECOND));
    for _ in 0..10 {
        fake.cut();
        // Whoever asks, and however often it is lost, one attempt is under way.
        let ready: Vec<_> = (0..10).map(|_| tokio::spawn(link.ready())).collect();
        for ready in ready {
            ready.await.unwrap().unwrap();
        }
    }
    assert_eq!(fake.notes().most_under_way, 1);
    assert_eq!(fake.notes().dials.len(), 11);

    // An attempt that is called off is gone before there is another.
    let (fake, monitor, held) = in_state(State::Connecting).await;
    drop(held);
    monitor.reaches(State::Closed).await;
    settle().await;
    assert_eq!(fake.notes().under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn can_attempt_connection_in_every_state() {
    for state in State::ALL.iter().copied() {
        let (_, monitor, _held) = in_state(state).await;
        assert_eq!(monitor.can_attempt_connection(), state == State::Disconnected, "{state}");
    }
}

/// What the types do not forbid already: see `types` for those.
#[tokio::test(start_paused = true)]
async fn every_illegal_transition_refused() {
    use Kind::{Clear, Closed, Connect, Degrade, Drained, Lost, Recovered, Reset};
    let nothing_up: &[Kind] = &[Degrade, Clear, Lost, Recovered, Drained, Closed, Reset];
    for state in State::ALL.iter().copied() {
        let (_, monitor, _held) = in_state(state).await;
        let illegal: &[Kind] = match state {
            State::Disconnected => nothing_up,
            State::Connecting => &[&[Connect], nothing_up].concat(),
            State::Connected | State::Degraded => &[Connect, Recovered, Drained, Closed, Reset],
            State::Reconnecting | State::Recovering | State::CircuitOpen => {
                &[Connect, Drained, Closed, Reset]
            }
            State::Closing => &[Connect, Reset],
            State::Closed => &[Connect],
        };
        for event in events() {
            let mut machine = monitor.supervisor();
            let now = hopmq::fsm::Time::MAX;
            let refused = machine.handle(now, event);
            let of_no_attempt = matches!(event, Event::Opened { .. } | Event::Failed { .. });
            if !of_no_attempt && !illegal.contains(&event.kind()) {
                assert!(refused.is_ok(), "{event:?} in {state}: {refused:?}");
                continue;
            }
            match refused.unwrap_err() {
                Refusal::CircuitOpen { .. } => assert_eq!(state, State::CircuitOpen),
                Refusal::Illegal(refusal) => {
                    assert_eq!((refusal.state, refusal.event), (state, event.kind()));
                }
                other => panic!("{event:?} in {state}: {other}"),
            }
            assert_eq!(machine, monitor.supervisor(), "a refusal changes nothing");
        }
    }
}

/// One of each kind; those of attempts are of one that was never made.
fn events() -> [Event; 11] {
    let (attempt, retry, cause) = (99, Retry::Can, CauseId(1));
    [
        Event::Connect,
        Event::Opened { attempt },
        Event::Failed { attempt, retry, cause },
        Event::Degrade(Reasons::own(2)),
        Event::Clear(Reasons::own(1)),
        Event::Lost { retry, cause },
        Event::Recovered,
        Event::Close,
        Event::Drained,
        Event::Closed,
        Event::Reset,
    ]
}

#[tokio::test(start_paused = true)]
async fn order_of_hooks() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let say = |what: &'static str| {
        let log = log.clone();
        move |transition: &Transition| log.lock().unwrap().push(format!("{what}: {transition}"))
    };
    let mut hooks = Hooks::new();
    hooks.after_any(say("after any"));
    hooks.after_entering(State::Connected, say("entered"));
    hooks.before_leaving(State::Connecting, say("leaving"));
    hooks.before_any(say("before any"));
    let (fake, _) = link(policy());
    let link = Link::with(fake, Settings { hooks, ..settings(policy()) });
    let link = link.connect().await.unwrap();
    sleep(SECOND).await;
    let order = [
        "before any: Disconnected --connect--> Connecting",
        "after any: Disconnected --connect--> Connecting",
        "before any: Connecting --opened--> Connected",
        "leaving: Connecting --opened--> Connected",
        "entered: Connecting --opened--> Connected",
        "after any: Connecting --opened--> Connected",
    ];
    assert_eq!(*log.lock().unwrap(), order);
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn statistics() {
    let (fake, link) = connected(policy()).await;
    fake.next_dials(&[Does::Fail, Does::Fail, Does::Fail]);
    fake.cut();
    link.monitor().reaches(State::Reconnecting).await;
    link.ready().await.unwrap();
    sleep(3 * SECOND).await;
    let stats = link.stats();
    assert_eq!(stats.state, State::Connected);
    assert_eq!(stats.time_in_state, 3 * SECOND);
    assert_eq!((stats.attempts, stats.failures, stats.failures_in_a_row), (5, 3, 0));
    assert_eq!((stats.losses, stats.trips, stats.recoveries), (1, 1, 1));
    // One failure at once, two after a second each, and five seconds of cool-down.
    assert_eq!(stats.last_recovery, Some(7 * SECOND));
    assert_eq!((stats.longest_recovery, stats.total_recovery), (7 * SECOND, 7 * SECOND));
    assert_eq!(stats.machine.in_state(State::CircuitOpen).time, 5 * SECOND);
    assert_eq!(stats.machine.in_state(State::Connected).entered, 2);
    assert_eq!(stats.machine.transitions, 9);
    let spent = State::ALL.iter().map(|state| stats.machine.in_state(*state).time);
    assert_eq!(spent.sum::<std::time::Duration>(), 15 * SECOND);
    assert_eq!(stats.machine.unobserved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_no_retry_can_mend() {
    let (fake, link) = connected(policy()).await;
    fake.dials_do(Does::Refuse);
    fake.cut();
    let ended = link.closed().await;
    assert!(matches!(ended.end, End::Fatal { .. }));
    assert!(matches!(ended.fault.as_deref(), Some(Fault::Service(Oops::NoEntry))));
    assert_eq!(fake.notes().dials.len(), 2);

    // On the first connect too, whatever the policy says of retries.
    let (fake, link) = crate::fake::link(Policy { first_connect_retries: true, ..policy() });
    fake.dials_do(Does::Refuse);
    let failed = link.connect().await.unwrap_err();
    assert!(matches!(failed.ended().end, End::FirstAttempt { retry: Retry::Never, .. }));
    assert_eq!(fake.notes().dials.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn deadline_while_connecting() {
    let (fake, link) = link(policy());
    fake.dials_do(Does::Hang);
    let start = Instant::now();
    let failed = link.connect().await.unwrap_err();
    assert_eq!(start.elapsed(), 4 * SECOND);
    assert!(matches!(failed.fault(), Some(Fault::TimedOut)));
    settle().await;
    assert_eq!(fake.notes().under_way, 0, "the attempt is gone");
}

#[tokio::test(start_paused = true)]
async fn dialled_again_after_the_end() {
    let (fake, link) = connected(policy()).await;
    let link = link.into_disconnected().expect_err("it has not ended");
    fake.dials_do(Does::Refuse);
    fake.cut();
    link.closed().await;
    let id = link.id().to_owned();
    let link = link.into_disconnected().expect("it has ended");
    assert!(matches!(link.ended().unwrap().end, End::Fatal { .. }));
    fake.dials_do(Does::Work);
    let link = link.connect().await.unwrap();
    assert_eq!((link.state(), link.id()), (State::Connected, &*id));
    assert!(link.ended().is_none());

    // After a close in order too. What was on a link ends with its life: nothing is recovered.
    let link = link.close().await;
    let mut connecting = link.connect();
    begin(&mut connecting).await;
    let link = connecting.await.unwrap();
    assert_eq!(link.session().unwrap().number, 3);
    assert_eq!(link.stats().attempts, 4);
    assert_eq!(fake.notes().recovered, [0; 0]);
}
