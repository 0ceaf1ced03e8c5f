//! Peers that go wrong on an open connection: it ends with what was found, and so does every call on it.

use std::time::{Duration, Instant};

use hopmq::{
    Conn, ConsumeError, Error, Queue,
    proto::Loss,
    wire::{ShortStr, method},
};

use crate::{
    memory::{Bounded, alone},
    peer::{
        Peer, SHORT, WATCHDOG, connected, deliver, end, ends_as_violation, frame, header,
        method_frame,
    },
};

/// On a connection with channel 1 open this breaks the protocol, in words that contain the others.
async fn breaks(bytes: impl AsRef<[u8]> + Send + 'static, words: &str) {
    let _memory = Bounded::by_two_frames();
    let (conn, chan) = connected(async move |mut peer: Peer| {
        peer.send(bytes).await;
        peer.drain().await;
    })
    .await;
    ends_as_violation(&conn, words).await;
    let error = chan.declare(Queue::server_named()).await.expect_err("it is dead");
    assert!(matches!(error, Error::Peer(_)), "{error:?}");
    assert!(conn.into_disconnected().is_ok());
}

#[tokio::test]
async fn an_unknown_method() {
    breaks(frame(1, 1, &[0, 99, 0, 99]), "unknown method").await;
}

#[tokio::test]
async fn an_unknown_frame_kind() {
    breaks(frame(7, 1, &[]), "unknown frame kind").await;
}

#[tokio::test]
async fn an_answer_to_nothing() {
    breaks(method_frame(1, &method::queue::BindOk {}), "unexpected").await;
    breaks(method_frame(1, &method::channel::OpenOk {}), "unexpected").await;
    breaks(method_frame(1, &method::channel::CloseOk {}), "unexpected").await;
    breaks(method_frame(0, &method::connection::OpenOk {}), "unexpected").await;
}

#[tokio::test]
async fn a_client_s_own_method() {
    breaks(method_frame(1, &method::channel::Open {}), "unexpected").await;
    breaks(method_frame(1, &method::tx::Commit {}), "unexpected").await;
}

#[tokio::test]
async fn an_answer_to_another_question() {
    let _memory = Bounded::by_two_frames();
    let (conn, chan) = connected(async |mut peer: Peer| {
        peer.answer("queue.declare", 1, &method::queue::BindOk {}).await;
        peer.drain().await;
    })
    .await;
    let error = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect_err("no answer");
    assert!(matches!(error, Error::Peer(_)), "{error:?}");
    ends_as_violation(&conn, "unexpected queue.bind-ok while awaiting queue.declare").await;
}

#[tokio::test]
async fn frames_for_channels_that_are_not_open() {
    for channel in [2, 2_047, 65_535] {
        let words = format!("channel {channel}");
        breaks(method_frame(channel, &method::queue::BindOk {}), &words).await;
    }
    breaks(frame(2, 9, &[0; 14]), "channel 9").await;
    breaks(frame(3, 9, &[0; 14]), "channel 9").await;
}

#[tokio::test]
async fn content_out_of_turn() {
    // A header or a body without a method; a method or a body in place of a header.
    breaks(header(1), "while awaiting").await;
    breaks(frame(3, 1, b"body"), "while awaiting").await;
    let mut bytes = returned();
    bytes.extend(frame(3, 1, b"body"));
    breaks(bytes, "while awaiting").await;
    let mut bytes = returned();
    bytes.extend(method_frame(1, &method::queue::BindOk {}));
    breaks(bytes, "while awaiting").await;
    // A header in place of a body.
    let mut bytes = returned();
    bytes.extend(header(10));
    bytes.extend(header(10));
    breaks(bytes, "while awaiting").await;
}

/// basic.return, which needs no consumer to arrive for.
fn returned() -> Vec<u8> {
    let returned = method::basic::Return {
        reply_code: 312,
        reply_text: ShortStr::new("NO_ROUTE").expect("short"),
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    method_frame(1, &returned).to_vec()
}

#[tokio::test]
async fn a_body_longer_than_announced() {
    let mut bytes = returned();
    bytes.extend(header(2));
    bytes.extend(frame(3, 1, b"three"));
    breaks(bytes, "longer than its header announced").await;
}

#[tokio::test]
async fn a_malformed_content_header() {
    for payload in [&[0, 60][..], &[0; 13], &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff]] {
        let mut bytes = returned();
        bytes.extend(frame(2, 1, payload));
        breaks(bytes, "content header").await;
    }
}

#[tokio::test]
async fn a_delivery_for_nobody() {
    let mut bytes = deliver("hopmq-77", 1);
    bytes.extend_from_slice(&header(0));
    breaks(bytes, "unknown consumer").await;
    let mut bytes = deliver("somebody else's", 1);
    bytes.extend_from_slice(&header(0));
    breaks(bytes, "unknown consumer").await;
}

#[tokio::test]
async fn confirms_of_what_was_never_published() {
    for (delivery_tag, multiple) in [(1, false), (u64::MAX, false), (u64::MAX, true)] {
        let ack = method::basic::Ack { delivery_tag, multiple };
        breaks(method_frame(1, &ack), "never published").await;
        let nack = method::basic::Nack { delivery_tag, multiple, requeue: false };
        breaks(method_frame(1, &nack), "never published").await;
    }
}

#[tokio::test]
async fn a_frame_larger_than_agreed() {
    breaks([3, 0, 1, 0, 2, 0, 1], "exceeds frame_max").await;
    breaks([1, 0, 1, 0xff, 0xff, 0xff, 0xff], "exceeds frame_max").await;
}

#[tokio::test]
async fn truncated_frames() {
    // Each method of the broker's, cut short in a frame that is otherwise right.
    let methods = [
        deliver("hopmq-1", 1),
        method_frame(1, &method::basic::Ack { delivery_tag: 1, multiple: false }),
        method_frame(1, &method::channel::Flow { active: true }),
    ];
    for whole in methods {
        let payload = &whole[7..whole.len() - 1];
        for len in 4..payload.len() {
            breaks(frame(1, 1, &payload[..len]), "end early").await;
        }
    }
}

/// A stream that ends anywhere within a delivery is a lost connection.
#[tokio::test]
async fn a_stream_cut_anywhere() {
    let mut whole = returned();
    whole.extend(header(4));
    whole.extend(frame(3, 1, b"body"));
    for len in 0..whole.len() {
        let bytes = whole[..len].to_vec();
        let _memory = Bounded::by_two_frames();
        let (conn, _chan) = connected(async move |mut peer: Peer| peer.send(bytes).await).await;
        let error = end(&conn).await;
        assert!(matches!(error, Error::Network { .. }), "{len}: {error:?}");
    }
}

/// Every octet of a conversation changed, one at a time: it ends typed, or it goes on; it never panics or hangs.
#[tokio::test]
async fn every_octet_changed() {
    let mut whole = returned();
    whole.extend(header(4));
    whole.extend(frame(3, 1, b"body"));
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let _memory = Bounded::by_two_frames();
            let (conn, _chan) = connected(async move |mut peer: Peer| peer.send(bytes).await).await;
            let error = end(&conn).await;
            let typed = matches!(error, Error::Peer(_) | Error::Network { .. });
            assert!(typed, "octet {at}: {error:?}");
        }
    }
}

#[tokio::test]
async fn silence_ends_every_call_at_its_deadline() {
    let _memory = Bounded::by_two_frames();
    let (conn, chan) = connected(async |mut peer: Peer| peer.drain().await).await;
    let error = chan.declare(Queue::server_named()).await.expect_err("no answer");
    assert!(matches!(error, Error::Timeout { operation: "queue.declare", after: SHORT }));
    let error = conn.open_channel().await.expect_err("no answer");
    assert!(matches!(error, Error::Timeout { operation: "channel.open", .. }), "{error:?}");
    let confirming = tokio::time::timeout(WATCHDOG, chan.confirm_select()).await.expect("it ends");
    assert!(matches!(confirming.expect_err("no answer"), Error::Timeout { .. }));
    tokio::time::timeout(WATCHDOG, conn.close()).await.expect("it ends").expect("closed at last");
}

/// A half-open connection: the peer is gone, and its system does not say so. Until that is found heartbeats go out, a
/// few and not hundreds, also while the broker has blocked the connection.
#[tokio::test]
async fn a_peer_that_vanished_is_found_within_two_intervals() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let _memory = Bounded::by_two_frames();
    let (heard, is_heard) = tokio::sync::oneshot::channel();
    let (config, _) = crate::peer::peer(async move |mut peer: Peer| {
        peer.shake_hands(131_072).await;
        let reason = ShortStr::new("low on memory").expect("short");
        peer.send_method(0, &method::connection::Blocked { reason }).await;
        let _ = heard.send(peer.heartbeats().await);
    })
    .await;
    let conn = Conn::new(config.connection_timeout(WATCHDOG).heartbeat(INTERVAL));
    let conn = conn.connect().await.expect("the peer shakes hands");
    let began = Instant::now();
    let error = end(&conn).await;
    let took = began.elapsed();
    let Error::Network { loss: Loss::Heartbeat(INTERVAL), .. } = error else { panic!("{error:?}") };
    // From the last octet on, which was there when counting began; a busy machine is late.
    assert!(took > INTERVAL && took < 12 * INTERVAL, "{took:?}");
    let heartbeats = is_heard.await.expect("told");
    assert!((1..=30).contains(&heartbeats), "{heartbeats} heartbeats");
}

/// No heartbeat at all means no limit to silence.
#[tokio::test]
async fn without_heartbeats_silence_ends_nothing() {
    let _memory = Bounded::by_two_frames();
    let (config, _) = crate::peer::peer(async |mut peer: Peer| {
        peer.shake_hands(131_072).await;
        peer.drain().await;
    })
    .await;
    let conn = Conn::new(config.connection_timeout(WATCHDOG).heartbeat(Duration::ZERO));
    let conn = conn.connect().await.expect("the peer shakes hands");
    let ended = tokio::time::timeout(Duration::from_secs(2), conn.closed()).await;
    assert!(ended.is_err(), "{ended:?}");
}

/// The answer comes when nobody waits for it any more.
#[tokio::test]
async fn a_late_answer_is_nobody_else_s() {
    let (late, is_late) = tokio::sync::oneshot::channel();
    let _memory = Bounded::by_two_frames();
    let (conn, chan) = connected(async |mut peer: Peer| {
        peer.expect("exchange.delete").await;
        is_late.await.expect("told");
        peer.send_method(1, &method::exchange::DeleteOk {}).await;
        peer.expect("queue.declare").await;
        let ok = method::queue::DeclareOk {
            queue: ShortStr::new("chosen").expect("short"),
            message_count: 7,
            consumer_count: 0,
        };
        peer.send_method(1, &ok).await;
        peer.drain().await;
    })
    .await;
    let exchange = hopmq::Exchange::<hopmq::Topic>::by_name("x").expect("a name");
    let error = chan.delete_exchange(&exchange).await.expect_err("it is late");
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    late.send(()).expect("the peer waits");
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("answered");
    assert_eq!((queue.name().as_str(), queue.counts_when_declared().messages), ("chosen", 7));
    assert!(conn.close_reason().is_none());
}

/// A message that drips in, each octet in a segment of its own, takes no more than it is.
#[tokio::test]
async fn a_message_that_drips_in() {
    let alone = alone();
    let mut bytes = deliver("hopmq-1", 1).to_vec();
    bytes.extend_from_slice(&header(5_000));
    for piece in [1, 999, 4_000] {
        bytes.extend_from_slice(&frame(3, 1, &vec![7; piece]));
    }
    let _memory = alone.two_frames_and(0);
    let (conn, chan) = connected(async move |mut peer: Peer| {
        consume(&mut peer).await;
        for byte in bytes {
            peer.send([byte]).await;
            tokio::task::yield_now().await;
        }
        peer.drain().await;
    })
    .await;
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
    let mut consumer = chan.consume(&queue).await.expect("consuming");
    let next = tokio::time::timeout(WATCHDOG, consumer.next()).await.expect("it arrives");
    let delivery = next.expect("a delivery").expect("no error");
    assert_eq!(delivery.body().into_bytes(), vec![7; 5_000]);
    drop(delivery);
    assert!(conn.close_reason().is_none());
}

/// A body that is announced as endless takes no memory, and its channel is left as it is.
#[tokio::test]
async fn a_body_announced_as_endless() {
    for size in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let alone = alone();
        let piece = frame(3, 1, &[0; 100_000]);
        let _memory = alone.two_frames_and(0);
        let (conn, chan) = connected(async move |mut peer: Peer| {
            consume(&mut peer).await;
            peer.send(deliver("hopmq-1", 1)).await;
            peer.send(header(size)).await;
            for _ in 0..100 {
                peer.send(&piece).await;
            }
        })
        .await;
        let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
        let mut consumer = chan.consume(&queue).await.expect("consuming");
        let ended = tokio::time::timeout(WATCHDOG, consumer.next()).await.expect("it ends");
        let error = ended.expect("with a reason").expect_err("the peer hangs up");
        assert!(matches!(error, ConsumeError::Ended(_)), "{error:?}");
        end(&conn).await;
    }
}

/// A message whose headers nest 15,000 deep, as an honest broker passes it on: delivered, so that it can be rejected.
#[tokio::test]
async fn headers_nested_15_000_deep() {
    let alone = alone();
    let mut bytes = deliver("hopmq-1", 1);
    let mut table = Vec::new();
    for depth in 0..15_000_u32 {
        table.extend([1, b't', b'F']);
        table.extend(((14_999 - depth) * 7).to_be_bytes());
    }
    // The flag of the headers property, then its table.
    let mut properties = vec![0x20, 0];
    properties.extend((table.len() as u32).to_be_bytes());
    properties.extend(table);
    hopmq::wire::encode::content_header(&mut bytes, 1, 1, &properties);
    bytes.extend_from_slice(&frame(3, 1, b"x"));
    let _memory = alone.two_frames_and(0);
    let (conn, chan) = connected(async move |mut peer: Peer| {
        consume(&mut peer).await;
        peer.send(bytes).await;
        peer.expect("basic.reject").await;
        peer.drain().await;
    })
    .await;
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
    let mut consumer = chan.consume(&queue).await.expect("consuming");
    let next = tokio::time::timeout(WATCHDOG, consumer.next()).await.expect("it arrives");
    let delivery = next.expect("a delivery").expect("no error");
    let error = delivery.properties().headers().expect_err("too deep");
    assert!(error.to_string().contains("32"), "{error}");
    assert_eq!(delivery.properties().header("t"), None);
    delivery.reject().expect("it can be rejected");
    assert!(conn.close_reason().is_none());
}

/// Serves a declaration and a consume.
pub(crate) async fn consume(peer: &mut Peer) {
    let ok = method::queue::DeclareOk {
        queue: ShortStr::new("inbox").expect("short"),
        message_count: 0,
        consumer_count: 0,
    };
    peer.answer("queue.declare", 1, &ok).await;
    peer.answer("basic.qos", 1, &method::basic::QosOk {}).await;
    let consumer_tag = ShortStr::new("hopmq-1").expect("short");
    peer.answer("basic.consume", 1, &method::basic::ConsumeOk { consumer_tag }).await;
}
