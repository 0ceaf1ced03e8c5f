//! What a link shows of itself: state, transitions, hooks, log.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hopmq::link::{Hooks, Link, Reasons, Settings, State};
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

use crate::fake::{Does, Fake, SECOND, connected, failing, link, policy, settings, settle};
use crate::log;

#[tokio::test(start_paused = true)]
async fn the_stream_shows_every_transition_and_ends_with_the_link() {
    let (fake, link) = link(policy());
    let transitions = link.transitions();
    let link = link.connect().await.unwrap();
    fake.cut();
    link.monitor().reaches(State::Reconnecting).await;
    link.ready().await.unwrap();
    drop(link.close().await);
    let all: Vec<_> = transitions.map(|transition| transition.to_string()).collect().await;
    let expected = [
        "Disconnected --connect--> Connecting",
        "Connecting --opened--> Connected",
        "Connected --lost--> Reconnecting",
        "Reconnecting --opened--> Recovering",
        "Recovering --recovered--> Connected",
        "Connected --close--> Closing",
        "Closing --closed--> Closed",
        "Closed --reset--> Disconnected",
    ];
    assert_eq!(all, expected);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_skips_and_is_told_so() {
    let (_, link) = connected(policy()).await;
    let mut transitions = link.transitions();
    for _ in 0..200 {
        link.degrade(Reasons::own(1)).unwrap();
        link.clear(Reasons::own(1)).unwrap();
    }
    let first = transitions.next().await.unwrap();
    assert_eq!(transitions.missed(), 400 - 256);
    assert_eq!(first.number(), 2 + 400 - 256 + 1);
    let rest = std::iter::from_fn(|| transitions.try_next()).count();
    assert_eq!((rest, transitions.missed()), (255, 400 - 256));
    assert_eq!(link.stats().machine.unobserved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_was_only_passed_through_is_seen() {
    let (fake, link) = connected(policy()).await;
    let degraded = link.monitor().reaches(State::Degraded);
    link.degrade(Reasons::own(1)).unwrap();
    link.clear(Reasons::own(1)).unwrap();
    assert!(degraded.await);
    let never = link.monitor().reaches(State::CircuitOpen);
    drop(link);
    assert!(!never.await, "it ends with the link");
    assert_eq!(fake.notes().closed, [1]);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_next_attempt_is_known() {
    let (_, link) = failing(policy()).await;
    settle().await;
    // The first retry came at once and failed; the second waits.
    let next = link.monitor().next_attempt().unwrap();
    assert_eq!(next, tokio::time::Instant::now() + SECOND);
    let text = link.session().unwrap_err().to_string();
    assert_eq!(text, "the link is down (Reconnecting)");
}

/// On the real clock: while a hook blocks its thread, a paused one would stand still.
#[tokio::test]
async fn a_hook_cannot_block_the_machine() {
    let (release, blocked) = mpsc::channel::<()>();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut hooks = Hooks::new();
    let log = seen.clone();
    hooks.after_any(move |transition| {
        let _ = blocked.recv();
        log.lock().unwrap().push(transition.number());
    });
    let fake = Fake::new();
    let link = Link::with(fake.clone(), Settings { hooks, ..settings(policy()) });
    let link = timeout(5 * SECOND, link.connect()).await.expect("the hook does not hold it up");
    let link = link.unwrap();
    fake.cut();
    link.monitor().reaches(State::Reconnecting).await;
    timeout(5 * SECOND, link.ready()).await.expect("nor does it now").unwrap();
    assert_eq!(*seen.lock().unwrap(), [0; 0]);
    drop(release);
    let all = async {
        while seen.lock().unwrap().len() < 5 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(5 * SECOND, all).await.expect("it sees everything nevertheless");
    assert_eq!(*seen.lock().unwrap(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_panics_does_not_harm_the_link() {
    let mut hooks = Hooks::new();
    hooks.after_any(|_| panic!("as the test wants it"));
    let link = Link::with(Fake::new(), Settings { hooks, ..settings(policy()) });
    let link = link.connect().await.unwrap();
    sleep(60 * SECOND).await;
    assert_eq!(link.state(), State::Connected);
}

#[tokio::test(start_paused = true)]
async fn every_transition_is_logged_with_the_id_and_its_cause() {
    let fake = Fake::new();
    let settings = Settings { id: Some("the-cache".into()), ..settings(policy()) };
    let link = Link::with(fake.clone(), settings).connect().await.unwrap();
    fake.dials_do(Does::Refuse);
    fake.cut();
    link.closed().await;
    let link = link.into_disconnected().unwrap();
    settle().await;
    let lines = log::lines_with("the-cache");
    let expect = [
        ("INFO", "Disconnected", "connect", "Connecting"),
        ("INFO", "Connecting", "opened", "Connected"),
        ("WARN", "Connected", "lost", "Reconnecting"),
        ("WARN", "Reconnecting", "failed", "Closed"),
        ("INFO", "Closed", "reset", "Disconnected"),
    ];
    assert_eq!(lines.len(), expect.len(), "{lines:#?}");
    for (line, (level, from, event, to)) in lines.iter().zip(expect) {
        let fields = format!("from=\"{from}\" event=\"{event}\" to=\"{to}\"");
        for part in [level, "hopmq::link", "id=\"the-cache\"", &fields] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
    assert!(lines[2].contains("cause=out of order"), "{}", lines[2]);
    assert!(lines[3].contains("cause=no entry"), "{}", lines[3]);
    drop(link);
}

#[test]
fn links_have_ids_of_their_own() {
    let (one, two) = (Link::new(Fake::new()), Link::new(Fake::new()));
    assert!(one.id().starts_with("link-") && one.id() != two.id());
    assert_eq!(format!("{one:?}"), format!("Link<Disconnected>({})", one.id()));
    // A service can be asked for what it knows, whatever the state.
    assert!(one.service().notes().dials.is_empty());
}
