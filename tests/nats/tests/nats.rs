//! A supervised NATS connection, against a real server that is killed, frozen and restarted.

use std::time::Duration;

use hopmq::link::{
    Backoff, Breaker, Connected, End, Fault, Link, Policy, Pulse, Reasons, Settings, State,
    Unavailable,
};
use hopmq_nats::{CallError, Nats, NatsError, NatsLink, Subscription};
use server::Server;
use tokio::time::{Instant, sleep, timeout};

mod server;

const LONG: Duration = Duration::from_secs(10);

fn settings() -> Settings {
    let millis = Duration::from_millis;
    let breaker = Breaker { threshold: 3, cool_down: millis(500), growth: 2, ..Breaker::default() };
    Settings {
        policy: Policy {
            backoff: Backoff::fixed(millis(50)),
            breaker: Some(breaker),
            connect_timeout: Some(Duration::from_secs(2)),
            ..Policy::default()
        },
        pulse: Some(Pulse {
            every: millis(100),
            late_after: millis(300),
            lost_after: millis(2_000),
        }),
        ..Settings::default()
    }
}

async fn connect(server: &Server) -> Link<Connected, Nats> {
    Link::with(Nats::new(server.url()), settings()).connect().await.unwrap()
}

async fn reaches(link: &Link<Connected, Nats>, state: State) {
    let reached = timeout(LONG, link.monitor().reaches(state)).await;
    assert!(reached.unwrap_or_else(|_| panic!("{} instead of {state}", link.state())));
}

async fn body(subscription: &mut Subscription) -> String {
    let message = timeout(LONG, subscription.next()).await.expect("a message in time").unwrap();
    String::from_utf8(message.payload.to_vec()).unwrap()
}

#[tokio::test]
async fn publishes_and_subscribes() {
    let server = Server::start();
    let link = connect(&server).await;
    let mut orders = link.subscribe("orders.*").await.unwrap();
    let mut all = link.subscribe("orders.>").await.unwrap();
    link.publish("orders.eu", "one").await.unwrap();
    assert_eq!((body(&mut orders).await, body(&mut all).await), ("one".into(), "one".into()));
    let link = link.close().await;
    assert!(matches!(link.ended().unwrap().end, End::ByUs { clean: true }));
    assert_eq!(link.stats().losses, 0);
}

#[tokio::test]
async fn a_killed_server_is_found_again_and_the_subscriptions_with_it() {
    let mut server = Server::start();
    let link = connect(&server).await;
    let mut orders = link.subscribe("orders.*").await.unwrap();
    drop(link.subscribe("dropped").await.unwrap());
    server.kill();
    reaches(&link, State::Reconnecting).await;
    let Err(CallError::Unavailable(down)) = link.publish("orders.eu", "lost").await else {
        panic!("published to nobody")
    };
    assert!(matches!(down, Unavailable::Down { .. } | Unavailable::CircuitOpen { .. }), "{down}");
    server.restart();
    let session = timeout(LONG, link.ready()).await.unwrap().unwrap();
    assert_eq!(session.epoch(), 2);
    link.publish("orders.eu", "two").await.unwrap();
    assert_eq!(body(&mut orders).await, "two");
    let stats = link.stats();
    assert_eq!((stats.losses, stats.recoveries), (1, 1));
    assert!(stats.last_recovery.is_some());
    assert_eq!(stats.machine.in_state(State::Recovering).entered, 1);
}

#[tokio::test]
async fn a_subscription_made_while_the_server_is_away_is_there_when_it_is_back() {
    let mut server = Server::start();
    let link = connect(&server).await;
    server.kill();
    reaches(&link, State::Reconnecting).await;
    let back = async {
        sleep(Duration::from_millis(200)).await;
        server.restart();
    };
    let (orders, ()) = tokio::join!(link.subscribe("orders.*"), back);
    let mut orders = orders.unwrap();
    link.publish("orders.eu", "once").await.unwrap();
    link.publish("orders.eu", "twice").await.unwrap();
    // Recovery and the call both wanted to make it: nothing comes double.
    assert_eq!((body(&mut orders).await, body(&mut orders).await), ("once".into(), "twice".into()));
}

#[tokio::test]
async fn the_breaker_opens_calls_fail_fast_and_one_probe_finds_the_server() {
    let mut server = Server::start();
    let link = connect(&server).await;
    server.kill();
    reaches(&link, State::CircuitOpen).await;
    let asked = Instant::now();
    let Err(CallError::Unavailable(Unavailable::CircuitOpen { next_probe, .. })) =
        link.publish("orders.eu", "lost").await
    else {
        panic!("the breaker is not open")
    };
    assert!(asked.elapsed() < Duration::from_millis(100), "fails fast");
    assert!(next_probe > asked && next_probe < asked + LONG);
    let attempts = link.stats().attempts;
    server.restart();
    timeout(LONG, link.ready()).await.unwrap().unwrap();
    assert_eq!(link.stats().attempts, attempts + 1, "one probe");
    assert!(!link.monitor().supervisor().is_circuit_open());
}

#[tokio::test]
async fn missed_pings_degrade_and_late_answers_clear_that() {
    let server = Server::start();
    let link = connect(&server).await;
    server.freeze();
    reaches(&link, State::Degraded).await;
    assert_eq!(link.monitor().reasons(), Reasons::LATE);
    server.thaw();
    reaches(&link, State::Connected).await;
    assert_eq!(link.stats().losses, 0);
    assert_eq!(link.session().unwrap().epoch(), 1);
}

#[tokio::test]
async fn a_server_that_stays_frozen_is_lost() {
    let server = Server::start();
    let link = connect(&server).await;
    let mut orders = link.subscribe("orders.*").await.unwrap();
    server.freeze();
    reaches(&link, State::Degraded).await;
    reaches(&link, State::Reconnecting).await;
    let Err(Unavailable::Down { fault, .. } | Unavailable::CircuitOpen { fault, .. }) =
        link.session()
    else {
        panic!("there is a session")
    };
    assert!(matches!(fault.as_deref(), Some(Fault::Silent { .. })), "{fault:?}");
    server.thaw();
    timeout(LONG, link.ready()).await.unwrap().unwrap();
    link.publish("orders.eu", "thawed").await.unwrap();
    assert_eq!(body(&mut orders).await, "thawed");
}

#[tokio::test]
async fn the_client_does_not_reconnect_by_itself() {
    let mut server = Server::start();
    let policy = Policy { reconnect: false, ..settings().policy };
    let link = Link::with(Nats::new(server.url()), Settings { policy, ..settings() });
    let link = link.connect().await.unwrap();
    // A clone that outlives the session, with which the client could do as it likes.
    let client = link.session().unwrap().client().clone();
    server.kill();
    let ended = timeout(LONG, link.closed()).await.unwrap();
    assert!(matches!(ended.end, End::Lost { .. }));
    assert!(matches!(ended.fault.as_deref(), Some(Fault::Service(NatsError::Gone))));
    server.restart();
    sleep(Duration::from_secs(1)).await;
    assert_ne!(client.connection_state(), async_nats::connection::State::Connected);
    assert_eq!(client.statistics().connects.load(std::sync::atomic::Ordering::Relaxed), 1);

    // The link does, when it is told to.
    let link = link.into_disconnected().unwrap().connect().await.unwrap();
    assert_eq!(link.state(), State::Connected);
}

#[tokio::test]
async fn a_server_that_does_not_want_us_is_not_asked_again() {
    let server = Server::with(&["--user", "somebody", "--pass", "something"]);
    let policy = Policy { first_connect_retries: true, ..settings().policy };
    let link = Link::with(Nats::new(server.url()), Settings { policy, ..settings() });
    let failed = timeout(LONG, link.connect()).await.unwrap().unwrap_err();
    let Some(Fault::Service(NatsError::Connect(error))) = failed.fault() else {
        panic!("{failed:?}")
    };
    assert_eq!(error.kind(), async_nats::ConnectErrorKind::AuthorizationViolation);
    let link = failed.into_link();
    assert_eq!((link.stats().attempts, link.state()), (1, State::Disconnected));
}

#[tokio::test]
async fn without_a_server_the_first_connect_comes_back_to_the_caller() {
    let mut server = Server::start();
    server.kill();
    let link = Link::with(Nats::new(server.url()), settings());
    let link = link.connect().await.unwrap_err().into_link();
    server.restart();
    assert_eq!(link.connect().await.unwrap().state(), State::Connected);
}
