//! What a broker tells its listeners.

use std::{
    sync::mpsc,
    time::{Duration, Instant},
};

use hopmq::{
    broker::{Broker, Budget, Ending, Event, Events, Listening, Names, Permissions},
    wire::{
        FieldTable, ReplyCode,
        method::{connection, tx},
    },
};

use crate::raw::Raw;

/// The next event, which is on its way.
async fn next(events: &mut Events) -> Event {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    next.await.expect("an event").expect("the broker is there")
}

/// The next event that is of interest.
async fn until(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = next(events).await;
        if wanted(&event) {
            return event;
        }
    }
}

async fn broker() -> (Broker<Listening>, Events) {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let events = broker.events();
    (broker, events)
}

#[tokio::test]
async fn a_connections_life_is_told_in_order() {
    let broker = Broker::builder().build();
    let mut events = broker.events();
    let broker = broker.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    raw.publish(1, "", "q", b"hello").await;
    assert_eq!(raw.get(1, "q", true).await.unwrap().body, b"hello");
    raw.send(
        0,
        &connection::Close {
            reply_code: 200,
            reply_text: hopmq::wire::ShortStr::empty(),
            class_id: 0,
            method_id: 0,
        },
    )
    .await;
    raw.expect(0, connection::CloseOk {}).await;

    let Event::Accepted { connection: id, port, from } = next(&mut events).await else { panic!() };
    assert_eq!(port, broker.address());
    assert!(from.ip().is_loopback());
    let (size, key) = (5, "q".to_owned());
    let message = (id, 1, String::new(), key, size);
    let guest = "guest".to_owned();
    assert_eq!(next(&mut events).await, Event::Authenticated { connection: id, user: guest });
    assert_eq!(next(&mut events).await, Event::Opened { connection: id, vhost: "/".into() });
    assert_eq!(next(&mut events).await, Event::ChannelOpened { connection: id, channel: 1 });
    for arrives in [true, false] {
        let told = match next(&mut events).await {
            Event::Arrived { connection, channel, exchange, routing_key, size } if arrives => {
                (connection, channel, exchange, routing_key, size)
            }
            Event::Sent { connection, channel, exchange, routing_key, size } if !arrives => {
                (connection, channel, exchange, routing_key, size)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(told, message);
    }
    assert_eq!(next(&mut events).await, Event::ChannelClosed { connection: id, channel: 1 });
    let ending = Ending::ByPeer;
    assert_eq!(next(&mut events).await, Event::Disconnected { connection: id, ending });
    let counts = broker.counts();
    assert_eq!((counts.accepted, counts.arrived, counts.disconnected), (1, 1, 1));
    drop(broker);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn every_way_to_end_is_told_apart() {
    let (broker, mut events) = broker().await;
    let is_end = |event: &Event| matches!(event, Event::Disconnected { .. });
    let ending = |event| match event {
        Event::Disconnected { ending, .. } => ending,
        other => panic!("{other:?}"),
    };

    let raw = Raw::connect(&broker).await;
    drop(raw);
    assert_eq!(ending(until(&mut events, is_end).await), Ending::Lost);

    let mut raw = Raw::connect(&broker).await;
    broker.faults().cut_connections();
    raw.ends().await;
    assert_eq!(ending(until(&mut events, is_end).await), Ending::Forced);

    // It keeps its socket, and shows no life for two intervals.
    let silent = Raw::dial(&broker).await.tuned(1).await;
    assert_eq!(ending(until(&mut events, is_end).await), Ending::TimedOut);
    drop(silent);

    let mut raw = Raw::connect(&broker).await;
    raw.open_channel(2).await;
    raw.send(2, &hopmq::wire::method::channel::Open {}).await;
    let text = "CHANNEL_ERROR - second 'channel.open' seen";
    raw.connection_closes(504, text).await;
    let code = ReplyCode::CHANNEL_ERROR;
    let told = ending(until(&mut events, is_end).await);
    assert_eq!(told, Ending::ByBroker { code, text: text.into() });
}

#[tokio::test]
async fn denied_logins_and_refused_permissions_are_counted_and_told() {
    let reader = Permissions::all().write(Names::None);
    let broker = Broker::builder()
        .user("admin", "secret")
        .user_with("reader", "secret", reader)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut events = broker.events();
    let mut raw = Raw::dial(&broker).await;
    raw.write(&hopmq::wire::PROTOCOL_HEADER).await;
    raw.start_ok(b"\0reader\0wrong").await;
    let denied = until(&mut events, |event| matches!(event, Event::LoginDenied { .. })).await;
    assert!(matches!(denied, Event::LoginDenied { user, .. } if user == "reader"));

    let mut raw = Raw::dial(&broker).await.tuned_as(b"\0reader\0secret", 0).await;
    raw.open_channel(1).await;
    raw.publish(1, "amq.fanout", "", b"no").await;
    let refused = "ACCESS_REFUSED - write access to exchange 'amq.fanout' in vhost '/' refused for user 'reader'";
    raw.channel_closes(1, 403, refused).await;
    let told = until(&mut events, |event| matches!(event, Event::PermissionRefused { .. })).await;
    assert!(
        matches!(told, Event::PermissionRefused { user, text, .. } if user == "reader" && text == refused)
    );
    assert!(matches!(next(&mut events).await, Event::Refused { channel: 1, .. }));
    let counts = broker.counts();
    assert_eq!((counts.logins_denied, counts.permissions_refused, counts.refused), (1, 1, 1));
}

/// The next budget that is used up.
async fn budget(events: &mut Events) -> Budget {
    match until(events, |event| matches!(event, Event::BudgetExhausted { .. })).await {
        Event::BudgetExhausted { budget, .. } => budget,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn exhausted_budgets_are_counted_and_told() {
    let broker = Broker::builder()
        .max_message_size(100)
        .channel_max(1)
        .acknowledgement_timeout(Duration::from_millis(100))
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut events = broker.events();

    let mut raw = Raw::connect(&broker).await;
    raw.publish(1, "", "q", &[0; 101]).await;
    assert_eq!(budget(&mut events).await, Budget::MessageSize);

    let mut raw = Raw::connect(&broker).await;
    raw.send(2, &hopmq::wire::method::channel::Open {}).await;
    assert_eq!(budget(&mut events).await, Budget::Channels);

    let mut raw = Raw::connect(&broker).await;
    // The header of a method on channel 1 that goes on for 1 GiB.
    raw.write(&[1, 0, 1, 0x40, 0, 0, 0]).await;
    assert_eq!(budget(&mut events).await, Budget::FrameSize);

    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    raw.publish(1, "", "q", b"slow").await;
    assert!(raw.get(1, "q", false).await.is_some());
    assert_eq!(budget(&mut events).await, Budget::AcknowledgementTime);
    assert_eq!(broker.counts().budgets_exhausted, 4);
}

#[tokio::test]
async fn a_transaction_that_is_too_large_closes_its_channel_and_leaves_nothing_behind() {
    let builder = Broker::builder().max_transaction_size(10_000);
    let broker = builder.bind("127.0.0.1:0").await.unwrap();
    let mut events = broker.events();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    raw.open_channel(2).await;
    raw.call(2, &tx::Select {}, tx::SelectOk {}).await;
    // Twice what it may hold, but never at once: each transaction has it anew.
    for _ in 0..4 {
        raw.publish(2, "", "q", &[0; 5_000]).await;
        raw.call(2, &tx::Rollback {}, tx::RollbackOk {}).await;
    }
    for _ in 0..2 {
        raw.publish(2, "", "q", &[0; 5_000]).await;
    }
    let text = "PRECONDITION_FAILED - transaction is larger than configured max size 10000";
    raw.channel_closes(2, 406, text).await;
    assert_eq!(budget(&mut events).await, Budget::Transaction);
    let refused = until(&mut events, |event| matches!(event, Event::Refused { .. })).await;
    assert!(matches!(
        refused,
        Event::Refused { channel: 2, code: ReplyCode::PRECONDITION_FAILED, text: told, .. }
            if told == text
    ));

    // The connection's other channel goes on, and what was not committed is gone.
    assert_eq!(broker.queue_depth("/", "q"), Some(0));
    raw.publish(1, "", "q", b"well").await;
    assert_eq!(raw.get(1, "q", true).await.unwrap().body, b"well");
    raw.open_channel(2).await;
    assert_eq!(broker.counts().budgets_exhausted, 1);
}

#[tokio::test]
async fn what_is_used_up_before_a_login_is_counted_and_told() {
    let patience = Duration::from_millis(200);
    let broker = Broker::builder().handshake_timeout(patience).bind("127.0.0.1:0").await.unwrap();
    let mut events = broker.events();
    let mut silent = Raw::dial(&broker).await;
    assert_eq!(budget(&mut events).await, Budget::HandshakeTime);
    silent.ends().await;

    let mut chatty = Raw::dial(&broker).await;
    chatty.write(&hopmq::wire::PROTOCOL_HEADER).await;
    chatty.write(&[8, 0, 0, 0, 0, 0, 0, 0xCE].repeat(10_000)).await;
    assert_eq!(budget(&mut events).await, Budget::HandshakeSize);
    assert_eq!(broker.counts().budgets_exhausted, 2);
}

#[tokio::test]
async fn alarms_and_refused_connections_are_told() {
    let (broker, mut events) = broker().await;
    broker.faults().refuse_connections();
    let mut raw = Raw::dial(&broker).await;
    raw.ends().await;
    assert!(matches!(next(&mut events).await, Event::TurnedAway { .. }));
    broker.faults().block();
    assert_eq!(next(&mut events).await, Event::AlarmRaised);
    broker.faults().unblock();
    assert_eq!(next(&mut events).await, Event::AlarmCleared);
    assert_eq!(broker.counts().turned_away, 1);
}

/// On one thread: a hook that held the broker's up would hold this test up for good.
#[tokio::test]
async fn a_hook_that_blocks_blocks_nobody_and_is_told_what_it_missed() {
    let broker = Broker::builder().event_buffer(8).build();
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    broker
        .on_event(move |event| {
            // Holds the first event until the test lets it go.
            let _ = wait.recv();
            let _ = tell.send(event);
        })
        .unwrap();
    let broker = broker.listen("127.0.0.1:0").await.unwrap();
    let mut raw = Raw::connect(&broker).await;
    raw.declare(1, "q", &FieldTable::new()).await;
    for _ in 0..100 {
        raw.publish(1, "", "q", b"m").await;
    }
    for _ in 0..100 {
        assert!(raw.get(1, "q", true).await.is_some());
    }
    drop(go);
    let mut seen = Vec::new();
    let late = Instant::now() + Duration::from_secs(10);
    while !seen.iter().any(|event| matches!(event, Event::Lagged(_))) {
        seen.push(told.recv_timeout(late - Instant::now()).expect("the hook goes on"));
    }
    assert!(matches!(seen[0], Event::Accepted { .. } | Event::Lagged(_)), "{seen:?}");
    drop(broker);
    // The hook ends with the broker: so does its end of this channel.
    while told.recv_timeout(late - Instant::now()).is_ok() {}
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}
