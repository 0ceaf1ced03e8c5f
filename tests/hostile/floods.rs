//! Floods of what costs the peer nothing: memory stays where it was, and the rest of the program gets its turn.

use hopmq::{
    Blame, Error, Exchange, Limits, Queue,
    wire::{ReplyCode, ShortStr, method},
};

use crate::{
    memory::alone,
    peer::{Peer, WATCHDOG, connected, deliver, end, frame, header, method_frame},
};

/// Floods an idle client with so many of these: the client hangs up on it, and has not grown.
async fn is_refused(unit: impl AsRef<[u8]>, what: &str) {
    let error = flood(unit, 1_000_000, 0).await;
    assert_eq!(error.blame(), Blame::Peer, "{error:?}");
    let Error::Peer(violation) = error else { panic!("{error:?}") };
    assert_eq!(violation.to_string(), format!("a flood of {what}"));
}

/// Floods an idle client with so many of these, and hangs up; it ends, and has not grown.
async fn flood(unit: impl AsRef<[u8]>, times: usize, waiting: usize) -> Error {
    let alone = alone();
    let block = unit.as_ref().repeat(1_000);
    let _memory = alone.two_frames_and(waiting);
    let (conn, _chan) = connected(async move |mut peer: Peer| {
        for _ in 0..times / 1_000 {
            peer.send(&block).await;
        }
    })
    .await;
    end(&conn).await
}

#[tokio::test]
async fn heartbeats() {
    is_refused(frame(8, 0, &[]), "heartbeats").await;
}

#[tokio::test]
async fn blocked_and_unblocked() {
    let reason = ShortStr::new("low on memory").expect("short");
    let mut unit = method_frame(0, &method::connection::Blocked { reason });
    unit.extend_from_slice(&method_frame(0, &method::connection::Unblocked {}));
    is_refused(unit, "connection.blocked").await;
}

#[tokio::test]
async fn flow_off_and_on() {
    let mut unit = method_frame(1, &method::channel::Flow { active: false });
    unit.extend_from_slice(&method_frame(1, &method::channel::Flow { active: true }));
    is_refused(unit, "channel.flow").await;
}

#[tokio::test]
async fn cancels_of_nobody() {
    let consumer_tag = ShortStr::new("hopmq-9").expect("short");
    let cancel = method::basic::Cancel { consumer_tag, no_wait: false };
    is_refused(method_frame(1, &cancel), "basic.cancel").await;
}

#[tokio::test]
async fn unblocked_and_nothing_else() {
    is_refused(method_frame(0, &method::connection::Unblocked {}), "connection.unblocked").await;
}

/// Not of what was never published, which ends the connection at once.
#[tokio::test]
async fn confirms_of_what_was_confirmed() {
    let alone = alone();
    let ack = method_frame(1, &method::basic::Ack { delivery_tag: 1, multiple: false });
    let block = ack.repeat(1_000);
    let _memory = alone.two_frames_and(0);
    let (conn, chan) = connected(async move |mut peer: Peer| {
        peer.answer("confirm.select", 1, &method::confirm::SelectOk {}).await;
        peer.expect("basic.publish").await;
        for _ in 0..1_000 {
            peer.send(&block).await;
        }
    })
    .await;
    let chan = chan.confirm_select().await.expect("answered");
    let route = Exchange::default_exchange();
    chan.publish(&route, "inbox", b"x").await.expect("room").await.expect("confirmed");
    let Error::Peer(violation) = end(&conn).await else { panic!("a flood") };
    assert_eq!(violation.to_string(), "a flood of confirms of what has its outcome");
}

/// For a consumer that is gone, and of which the broker does not say that it knows.
#[tokio::test]
async fn deliveries_for_a_consumer_that_is_gone() {
    let alone = alone();
    let content = [header(50_000).to_vec(), frame(3, 1, &[0; 50_000])].concat();
    let _memory = alone.two_frames_and(0);
    let (conn, chan) = connected(async move |mut peer: Peer| {
        crate::open::consume(&mut peer).await;
        peer.expect("basic.cancel").await;
        for tag in 1..1_000 {
            peer.send(deliver("hopmq-1", tag)).await;
            peer.send(&content).await;
        }
    })
    .await;
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
    drop(chan.consume(&queue).await.expect("consuming"));
    // It goes on as long as the peer does, and keeps nothing of it.
    let error = end(&conn).await;
    assert!(matches!(error, Error::Network { .. }), "{error:?}");
}

#[tokio::test]
async fn the_peer_is_told_why_with_the_right_code() {
    let alone = alone();
    let block = frame(8, 0, &[]).repeat(20_000);
    let _memory = alone.two_frames_and(0);
    let (told, is_told) = tokio::sync::oneshot::channel();
    let (_conn, _chan) = connected(async move |mut peer: Peer| {
        peer.send(&block).await;
        let _ = told.send(peer.close_code().await);
    })
    .await;
    let code = tokio::time::timeout(WATCHDOG, is_told).await.expect("in time").expect("told");
    assert_eq!(code, ReplyCode::RESOURCE_ERROR.0);
}

#[tokio::test]
async fn returns_that_nobody_reads() {
    let returned = method::basic::Return {
        reply_code: 312,
        reply_text: ShortStr::new("NO_ROUTE").expect("short"),
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    let mut unit = method_frame(1, &returned);
    unit.extend_from_slice(&header(0));
    flood(unit, 100_000, Limits::default().event_bytes).await;
}

#[tokio::test]
async fn empty_bodies() {
    let returned = method::basic::Return {
        reply_code: 312,
        reply_text: ShortStr::new("NO_ROUTE").expect("short"),
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    let mut start = method_frame(1, &returned);
    start.extend_from_slice(&header(1));
    let alone = alone();
    let block = frame(3, 1, &[]).repeat(1_000);
    let _memory = alone.two_frames_and(0);
    let (conn, _chan) = connected(async move |mut peer: Peer| {
        peer.send(start).await;
        for _ in 0..300 {
            peer.send(&block).await;
        }
    })
    .await;
    assert!(matches!(end(&conn).await, Error::Peer(_)));
}

/// Deliveries beyond all prefetch for a consumer that takes none: the peer is no longer read.
#[tokio::test]
async fn deliveries_that_nobody_takes() {
    let alone = alone();
    let mut body = header(60_000);
    body.extend_from_slice(&frame(3, 1, &[0; 60_000]));
    let _memory = alone.two_frames_and(Limits::default().consumer_bytes);
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (conn, chan) = connected(async move |mut peer: Peer| {
        crate::open::consume(&mut peer).await;
        let mut tag = 0;
        // What fits into the buffers of two sockets and of one consumer is far less than this.
        let all = async {
            for _ in 0..2_000 {
                tag += 1;
                peer.send(deliver("hopmq-1", tag)).await;
                peer.send(&body).await;
            }
        };
        // It is held back, so that it does not come to its end while nobody takes anything.
        let held_back = tokio::time::timeout(std::time::Duration::from_secs(1), all).await.is_err();
        let _ = held.send(held_back);
    })
    .await;
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
    let consumer = chan.consume(&queue).await.expect("consuming");
    assert!(is_held.await.expect("the peer tells"), "the client reads on for ever");
    drop(consumer);
    end(&conn).await;
}
