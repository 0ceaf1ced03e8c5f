//! What waits for all consumers of a connection together.

use std::collections::VecDeque;

use super::*;

/// Two consumers on one channel, and bounds for both together.
fn two_consumers(messages: usize, bytes: usize) -> (Scripted, [ConsumerKey; 2]) {
    consumers_within(Limits {
        inbound_messages: messages,
        inbound_bytes: bytes,
        ..Limits::default()
    })
}

fn consumers_within(limits: Limits) -> (Scripted, [ConsumerKey; 2]) {
    let mut scripted = Scripted::open_with(Settings { limits, ..settings() });
    let key = scripted.open_channel();
    let consumers = [1, 2].map(|number| {
        let spec = ConsumeSpec { automatic: true, ..consume() };
        let call = scripted.request(key, Request::Consume(spec));
        let consumer_tag = consumer_tag(number);
        scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: consumer_tag.as_short() });
        let Poll::Ready(Ok(Reply::Consuming(key))) = scripted.answer(call) else { panic!() };
        key
    });
    scripted.sent();
    (scripted, consumers)
}

fn take(scripted: &mut Scripted, key: ConsumerKey) -> (usize, Poll<Option<ConsumerEnd>>) {
    let mut taken = VecDeque::new();
    let polled = scripted.connection.poll_consumer(key, &mut taken, || waiter(3));
    (taken.len(), polled)
}

#[test]
fn too_many_messages_for_all_together_stop_reading_until_they_are_taken() {
    let (mut scripted, [one, other]) = two_consumers(5, usize::MAX);
    for tag in 1..=5 {
        scripted.deliver(1 + tag as u32 % 2, tag, b"x");
    }
    assert!(scripted.connection.wants_read(), "so many may wait");
    scripted.deliver(1, 6, b"x");
    assert!(!scripted.connection.wants_read());
    assert_eq!(take(&mut scripted, one).0, 3);
    assert!(scripted.connection.wants_read(), "one of them was enough");
    // What was taken counts no more.
    scripted.deliver(1, 7, b"x");
    assert!(scripted.connection.wants_read());
    assert_eq!(take(&mut scripted, other).0, 3);
}

#[test]
fn too_many_bytes_for_all_together_cancel_whoever_holds_the_most() {
    let (mut scripted, [one, other]) = two_consumers(usize::MAX, 100_000);
    scripted.deliver(1, 1, &[0; 30_000]);
    scripted.deliver(2, 2, &[0; 80_000]);
    assert!(!scripted.connection.wants_read());
    let stall = Limits::default().overrun_after;
    scripted.now = scripted.now + stall;
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(scripted.sent(), ["basic.cancel"]);
    assert!(scripted.connection.wants_read(), "the others go on");
    let tag = consumer_tag(2);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: tag.as_short() });
    assert_eq!(take(&mut scripted, other).0, 1, "what it had can be taken");
    assert_eq!(take(&mut scripted, other).1, Poll::Ready(Some(ConsumerEnd::Overrun)));
    assert_eq!(take(&mut scripted, one), (1, Poll::Ready(None)));
    scripted.deliver(1, 3, b"goes on");
    assert_eq!(take(&mut scripted, one), (1, Poll::Ready(None)));
}

#[test]
fn while_reading_has_stopped_heartbeats_go_on_and_silence_is_no_death() {
    let overrun_after = 3_600 * SECOND;
    let limits = Limits { inbound_messages: 1, overrun_after, ..Limits::default() };
    let (mut scripted, [one, _]) = consumers_within(limits);
    scripted.deliver(1, 1, b"x");
    scripted.deliver(1, 2, b"x");
    assert!(!scripted.connection.wants_read());
    let mut heartbeats = 0;
    for _ in 0..10 {
        scripted.now = scripted.now + 60 * SECOND;
        scripted.connection.handle_timeout(scripted.now);
        heartbeats += scripted.sent_bytes().len() / 8;
    }
    assert!(heartbeats >= 10, "{heartbeats}");
    assert_eq!(scripted.ended(), None);
    assert_eq!(take(&mut scripted, one).0, 2);
    assert!(scripted.connection.wants_read());
}

#[test]
fn whoever_is_gone_holds_nothing() {
    let (mut scripted, [one, _]) = two_consumers(1, usize::MAX);
    scripted.deliver(1, 1, b"x");
    scripted.deliver(1, 2, b"x");
    assert!(!scripted.connection.wants_read());
    scripted.connection.drop_consumer(scripted.now, one, VecDeque::new());
    assert!(scripted.connection.wants_read());
    // The deadline that is left over ends nobody.
    scripted.sent();
    scripted.now = scripted.now + Limits::default().overrun_after;
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(scripted.sent(), [""; 0]);
    assert!(scripted.connection.poll_timeout().is_none_or(|due| due > scripted.now));
}

/// Reads a block with one small message for a consumer that takes nothing, and much for one that does.
fn block(tag: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    for (number, tag, body) in [(1, tag, &b"small"[..]), (2, tag + 1, &[0; 60_000])] {
        let consumer = consumer_tag(number);
        let deliver = method::basic::Deliver {
            consumer_tag: consumer.as_short(),
            delivery_tag: tag,
            ..Default::default()
        };
        encode::message(&mut bytes, 1, &deliver, &[0, 0], body, 131_072);
    }
    bytes.freeze()
}

#[test]
fn small_messages_that_wait_for_long_do_not_pin_what_they_were_read_in() {
    let (mut scripted, [slow, fast]) = two_consumers(usize::MAX, usize::MAX);
    let blocks: Vec<Bytes> = (0..200).map(|number| block(1 + 2 * number)).collect();
    for block in &blocks {
        scripted.receive_bytes(block.clone());
        assert_eq!(take(&mut scripted, fast).0, 1);
    }
    let pinned = blocks.into_iter().filter(|block| !block.is_unique()).count();
    // What came within the last two looks.
    assert!((1..=80).contains(&pinned), "{pinned} blocks are pinned");
    let mut taken = VecDeque::new();
    let _ = scripted.connection.poll_consumer(slow, &mut taken, || waiter(3));
    assert_eq!(taken.len(), 200);
    assert!(taken.iter().all(|arrival| arrival.content.contiguous_body() == Some(b"small")));
}
