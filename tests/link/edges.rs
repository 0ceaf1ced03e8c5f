//! Transitions that are dropped or cut short, sessions that go at the wrong moment, services that break.

use std::time::Duration;

use hopmq::fsm::Reaction;
use hopmq::link::{End, Fault, Link, Policy, Reasons, Resume, Settings, State, Unavailable};
use tokio::time::{Instant, sleep, timeout};

use crate::fake::{
    Does, Fake, Oops, SECOND, begin, connected, failing, in_state, link, policy, settings, settle,
};

// --- connecting ---

#[tokio::test(start_paused = true)]
async fn before_the_first_poll_the_link_can_be_taken_back() {
    let (fake, link) = link(policy());
    let link = link.connect().take_back().unwrap();
    assert!(fake.notes().dials.is_empty());
    let mut connecting = link.connect();
    begin(&mut connecting).await;
    let connecting = connecting.take_back().unwrap_err();
    assert_eq!(connecting.await.unwrap().state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_does_not_take_the_link_along() {
    let (fake, link) = link(policy());
    fake.dials_do(Does::Late(3 * SECOND));
    let mut connecting = link.connect();
    timeout(SECOND, &mut connecting).await.expect_err("too early");
    assert_eq!(connecting.await.unwrap().state(), State::Connected);
    assert_eq!(fake.notes().dials.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn dropped_in_flight_the_attempt_is_called_off() {
    let (fake, link) = link(policy());
    let monitor = link.monitor();
    fake.dials_do(Does::Late(SECOND));
    let mut connecting = link.connect();
    begin(&mut connecting).await;
    settle().await;
    assert_eq!(fake.notes().under_way, 1);
    drop(connecting);
    monitor.reaches(State::Closed).await;
    sleep(5 * SECOND).await;
    assert_eq!((fake.notes().under_way, fake.notes().dropped.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_connect_retries_when_the_policy_says_so() {
    let (fake, link) = link(Policy { first_connect_retries: true, ..policy() });
    fake.next_dials(&[Does::Fail; 4]);
    let start = Instant::now();
    let monitor = link.monitor();
    let link = link.connect().await.unwrap();
    // At once, after one second, then through the open breaker after five and after ten.
    assert_eq!(fake.dialled_at(start), [0, 0, 1, 6, 16]);
    assert_eq!((link.state(), monitor.stats().trips), (State::Connected, 2));

    let policy = Policy { first_connect_retries: true, max_attempts: Some(2), ..policy() };
    let (fake, link) = crate::fake::link(policy);
    fake.dials_do(Does::Fail);
    let (ended, link) = link.connect().await.unwrap_err().into_parts();
    assert!(matches!(ended.end, End::Exhausted { attempts: 2, .. }));
    assert_eq!(link.state(), State::Disconnected);
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let (fake, link) = link(policy());
    let waker = std::task::Waker::noop();
    let mut connecting = link.connect();
    let polled =
        std::pin::Pin::new(&mut connecting).poll(&mut std::task::Context::from_waker(waker));
    let std::task::Poll::Ready(Err(failed)) = polled else { panic!("it began") };
    assert!(matches!(failed.fault(), Some(Fault::NoRuntime)));
    assert_eq!(failed.into_link().state(), State::Disconnected);
    assert!(fake.notes().dials.is_empty());
}

// --- closing ---

#[tokio::test(start_paused = true)]
async fn closing_drains_first_then_closes_then_drops() {
    let (fake, link) = connected(policy()).await;
    fake.drain_does(Does::Late(SECOND));
    fake.close_does(Does::Late(SECOND));
    let start = Instant::now();
    let mut closing = link.close();
    begin(&mut closing).await;
    sleep(SECOND * 3 / 2).await;
    assert_eq!((fake.notes().drained, fake.notes().closed), (vec![1], vec![]));
    let link = closing.await;
    assert_eq!(start.elapsed(), 2 * SECOND);
    assert!(matches!(link.ended().unwrap().end, End::ByUs { clean: true }));
    settle().await;
    assert_eq!((fake.notes().closed, fake.notes().dropped), (vec![1], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_answer_does_not_keep_the_link_from_closing() {
    let (fake, link) = connected(policy()).await;
    fake.drain_does(Does::Hang);
    fake.close_does(Does::Hang);
    let start = Instant::now();
    let link = link.close().await;
    assert_eq!(start.elapsed(), 15 * SECOND, "ten for draining, five for closing");
    assert!(matches!(link.ended().unwrap().end, End::ByUs { clean: false }));
    settle().await;
    assert_eq!(fake.notes().dropped, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_link_closes_in_order() {
    let (fake, link) = connected(policy()).await;
    let monitor = link.monitor();
    drop(link);
    assert!(monitor.reaches(State::Closed).await);
    settle().await;
    assert_eq!((fake.notes().drained, fake.notes().closed), (vec![1], vec![1]));
    assert_eq!(fake.notes().dropped, [1]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_lost_while_closing_is_closed() {
    let (fake, link) = connected(policy()).await;
    fake.close_does(Does::Hang);
    let mut closing = link.close();
    begin(&mut closing).await;
    settle().await;
    fake.cut();
    let start = Instant::now();
    let link = closing.await;
    assert_eq!((start.elapsed(), link.state()), (Duration::ZERO, State::Disconnected));
}

#[tokio::test(start_paused = true)]
async fn while_closing_there_is_no_session() {
    let (_, monitor, held) = in_state(State::Closing).await;
    let crate::fake::Held::Closing(closing) = held else { panic!("not closing") };
    assert_eq!(monitor.state(), State::Closing);
    drop(closing);
    assert!(monitor.reaches(State::Closed).await, "dropped, it closes all the same");
}

// --- sessions ---

#[tokio::test(start_paused = true)]
async fn a_caller_can_report_a_dead_session_once() {
    let (fake, link) = connected(policy()).await;
    let first = link.session().unwrap();
    assert!(first.is_current());
    assert!(first.lost(Oops::OutOfOrder));
    assert!(!first.lost(Oops::OutOfOrder), "the second report is no news");
    let second = link.ready().await.unwrap();
    assert_eq!((first.epoch(), second.epoch()), (1, 2));
    assert!(!first.lost(Oops::OutOfOrder), "nor may it hurt the session after");
    assert!(second.is_current());
    assert_eq!(fake.notes().dropped, [0; 0], "the lease keeps the value");
    drop(first);
    assert_eq!(fake.notes().dropped, [1]);
}

#[tokio::test(start_paused = true)]
async fn what_was_recovered_in_part_degrades_until_it_is_cleared() {
    let (fake, link) = connected(policy()).await;
    fake.recovery_does(Does::Partly);
    fake.cut();
    assert!(link.monitor().reaches(State::Degraded).await);
    assert_eq!(link.monitor().reasons(), Reasons::PARTIAL);
    assert_eq!(link.clear(Reasons::PARTIAL), Ok(Reaction::Changed));
    assert_eq!(link.clear(Reasons::PARTIAL), Ok(Reaction::Ignored));
    assert_eq!(link.state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn nobody_gets_a_session_that_is_not_recovered() {
    let (fake, link) = connected(policy()).await;
    fake.recovery_does(Does::Late(3 * SECOND));
    fake.cut();
    link.monitor().reaches(State::Recovering).await;
    assert!(matches!(link.session(), Err(Unavailable::Down { state: State::Recovering, .. })));
    let start = Instant::now();
    assert_eq!(link.ready().await.unwrap().number, 2);
    assert_eq!(start.elapsed(), 3 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_fails_is_a_failed_attempt() {
    let (fake, link) = connected(policy()).await;
    fake.recovery_does(Does::Fail);
    fake.cut();
    assert!(link.monitor().reaches(State::CircuitOpen).await);
    assert_eq!(link.stats().failures, 3);
    settle().await;
    assert_eq!(fake.notes().dropped, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_hangs_is_cut_off() {
    let (fake, link) = connected(Policy { recover_timeout: Some(SECOND), ..policy() }).await;
    fake.recovery_does(Does::Hang);
    fake.cut();
    link.monitor().reaches(State::Recovering).await;
    let start = Instant::now();
    fake.recovery_does(Does::Work);
    link.monitor().reaches(State::Reconnecting).await;
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(link.ready().await.unwrap().number, 3);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_may_have_missed_something_waits_for_the_caller() {
    let policy = Policy { resume: Resume::Degraded(Reasons::MISSED), ..policy() };
    let (fake, link) = connected(policy).await;
    fake.cut();
    assert!(link.monitor().reaches(State::Degraded).await);
    sleep(60 * SECOND).await;
    assert_eq!(link.state(), State::Degraded, "probes that are answered do not clear that");
    link.clear(Reasons::MISSED).unwrap();
    assert_eq!(link.state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn waiting_has_a_bound() {
    let (_, link) = failing(policy()).await;
    settle().await;
    let start = Instant::now();
    let timed_out = link.ready().within(3 * SECOND).await.unwrap_err();
    assert_eq!(start.elapsed(), 3 * SECOND);
    let Unavailable::TimedOut { after, state } = timed_out else { panic!("{timed_out}") };
    assert_eq!((after, state), (3 * SECOND, State::CircuitOpen));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_loses_the_session() {
    let (fake, link) = connected(policy()).await;
    fake.probes_do(Does::Fail);
    assert!(link.monitor().reaches(State::Reconnecting).await);
    fake.probes_do(Does::Work);
    assert_eq!(link.ready().await.unwrap().number, 2);
}

// --- services and runtimes that break ---

#[tokio::test(start_paused = true)]
async fn a_service_that_panics_ends_the_link_and_leaves_nobody_waiting() {
    let (fake, link) = connected(policy()).await;
    fake.probes_do(Does::Panic);
    let ended = link.closed().await;
    assert!(matches!(ended.fault.as_deref(), Some(Fault::Stopped)));
    assert!(matches!(link.ready().await, Err(Unavailable::Ended(_))));
    fake.probes_do(Does::Work);
    let link = link.into_disconnected().unwrap().connect().await.unwrap();
    assert_eq!(link.session().unwrap().number, 2);
    assert!(link.ended().is_none());

    let (fake, link) = crate::fake::link(policy());
    fake.dials_do(Does::Panic);
    let failed = link.connect().await.unwrap_err();
    assert!(matches!(failed.fault(), Some(Fault::Stopped)));
}

#[test]
fn a_runtime_that_is_shut_down_ends_its_links() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (fake, link) = link(policy());
    let first = runtime();
    let link = first.block_on(link.connect()).unwrap();
    drop(first);
    assert_eq!(link.state(), State::Closed);
    assert!(matches!(link.ended().unwrap().fault.as_deref(), Some(Fault::Stopped)));
    assert_eq!(fake.notes().dropped, [1]);
    let link = link.into_disconnected().unwrap();
    let second = runtime();
    let link = second.block_on(link.connect()).unwrap();
    assert_eq!(second.block_on(async { link.ready().await }).unwrap().number, 2);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_accepts_and_drops_does_not_starve_the_runtime() {
    let policy = Policy {
        backoff: hopmq::link::Backoff::fixed(Duration::ZERO),
        breaker: None,
        recover: false,
        ..policy()
    };
    let fake = Fake::new();
    let link = Link::with(fake.clone(), Settings { pulse: None, ..settings(policy) });
    let link = link.connect().await.unwrap();
    fake.dials_do(Does::Fail);
    fake.cut();
    // Neither wait nor breaker, and every attempt fails at once: others still get their turn.
    settle().await;
    assert!(fake.notes().dials.len() > 10);
    drop(link);
    settle().await;
    let dials = fake.notes().dials.len();
    settle().await;
    assert_eq!(fake.notes().dials.len(), dials);
}

#[tokio::test(start_paused = true)]
async fn without_a_pulse_nothing_is_probed() {
    let fake = Fake::new();
    let link = Link::with(fake.clone(), Settings { pulse: None, ..settings(policy()) });
    let link = link.connect().await.unwrap();
    sleep(600 * SECOND).await;
    assert_eq!((fake.notes().probes, link.state()), (0, State::Connected));
}

/// On the real clock and several threads: callers, the task and the loss of sessions race, and still one
/// attempt is under way at a time, every session is dropped once, and everybody comes to an end.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_threads_at_once() {
    let policy = Policy {
        backoff: hopmq::link::Backoff::fixed(Duration::ZERO),
        breaker: None,
        steady_after: Duration::ZERO,
        ..policy()
    };
    let fake = Fake::new();
    let link = Link::with(fake.clone(), settings(policy)).connect().await.unwrap();
    let link = std::sync::Arc::new(link);
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let (fake, link) = (fake.clone(), link.clone());
            tokio::spawn(async move {
                for round in 0..200 {
                    let session = link.ready().within(10 * SECOND).await.unwrap();
                    match (caller + round) % 4 {
                        0 => drop(session.lost(Oops::OutOfOrder)),
                        1 => fake.cut(),
                        2 => drop(link.degrade(Reasons::own(caller))),
                        _ => drop(link.clear(Reasons::own(caller))),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        timeout(30 * SECOND, caller).await.expect("nobody waits for ever").unwrap();
    }
    let stats = link.stats();
    assert!(stats.losses > 100, "{stats:?}");
    assert_eq!(stats.machine.unobserved, 0);
    let link = std::sync::Arc::into_inner(link).unwrap();
    let link = timeout(10 * SECOND, link.close()).await.expect("it closes");
    assert_eq!(link.state(), State::Disconnected);
    drop(link);
    let all_dropped = async {
        while fake.notes().dropped.len() != fake.sessions() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(10 * SECOND, all_dropped).await.expect("no session is kept");
    assert_eq!(fake.notes().most_under_way, 1);
}
