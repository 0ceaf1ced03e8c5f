//! Deliveries: their way to the consumer, and back as settlements.

use std::collections::VecDeque;

use super::*;

fn consuming(automatic: bool) -> (Scripted, ConsumerKey) {
    let (mut scripted, key) = Scripted::with_channel();
    let prefetch = (!automatic).then_some(10);
    let spec = ConsumeSpec { automatic, prefetch, ..consume() };
    let call = scripted.request(key, Request::Consume(spec));
    if !automatic {
        scripted.receive(1, &method::basic::QosOk {});
    }
    let consumer_tag = consumer_tag(1);
    scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: consumer_tag.as_short() });
    let Poll::Ready(Ok(Reply::Consuming(consumer))) = scripted.answer(call) else { panic!() };
    scripted.sent();
    (scripted, consumer)
}

fn taken(scripted: &mut Scripted, key: ConsumerKey) -> VecDeque<Arrival> {
    let mut taken = VecDeque::new();
    let _ = scripted.connection.poll_consumer(key, &mut taken, || waiter(3));
    taken
}

fn settle(scripted: &mut Scripted, key: ConsumerKey, tag: u64, how: Settlement) {
    scripted.connection.settle(key.channel, 1, tag, how).unwrap();
}

#[test]
fn a_delivery_in_one_piece_is_a_slice_of_what_was_read() {
    let (mut scripted, key) = consuming(false);
    let mut bytes = BytesMut::new();
    let consumer = consumer_tag(1);
    let deliver = method::basic::Deliver {
        consumer_tag: consumer.as_short(),
        delivery_tag: 1,
        ..Default::default()
    };
    encode::message(&mut bytes, 1, &deliver, &[0, 0], b"hello", 4096);
    let block = bytes.freeze();
    scripted.receive_bytes(block.clone());
    let arrival = taken(&mut scripted, key).pop_front().unwrap();
    assert_eq!(arrival.content.contiguous_body(), Some(&b"hello"[..]));
    let body = arrival.content.into_body().into_bytes();
    assert_eq!(body, "hello");
    assert!(block.as_ptr_range().contains(&body.as_ptr()), "the body was copied");
}

#[test]
fn a_delivery_that_comes_in_single_bytes_is_the_same() {
    let (mut scripted, key) = consuming(false);
    let mut bytes = BytesMut::new();
    let consumer = consumer_tag(1);
    let deliver = method::basic::Deliver {
        consumer_tag: consumer.as_short(),
        delivery_tag: 1,
        redelivered: true,
        exchange: ShortStr::empty(),
        routing_key: ShortStr::new("key").unwrap(),
    };
    encode::message(&mut bytes, 1, &deliver, &[0, 0], &[5; 10_000], 4096);
    let mut rest = BytesMut::new();
    for byte in bytes {
        rest.extend_from_slice(&[byte]);
        let block = rest.split().freeze();
        let used = scripted.connection.handle_input(scripted.now, &block);
        rest.extend_from_slice(&block[used..]);
    }
    assert!(rest.is_empty());
    let arrival = taken(&mut scripted, key).pop_front().unwrap();
    assert!(arrival.redelivered());
    assert_eq!(arrival.content.into_body().into_bytes(), vec![5; 10_000]);
}

#[test]
fn acks_in_order_go_out_as_one_and_before_what_follows_on_the_channel() {
    let (mut scripted, key) = consuming(false);
    for tag in 1..=3 {
        scripted.deliver(1, tag, b"x");
    }
    settle(&mut scripted, key, 1, Settlement::Ack);
    settle(&mut scripted, key, 2, Settlement::Ack);
    scripted.request(key.channel, bind());
    settle(&mut scripted, key, 3, Settlement::Ack);
    assert_eq!(scripted.sent(), ["basic.ack", "queue.bind", "basic.ack"]);
}

#[test]
fn an_ack_out_of_order_does_not_settle_what_is_below() {
    let (mut scripted, key) = consuming(false);
    for tag in 1..=2 {
        scripted.deliver(1, tag, b"x");
    }
    settle(&mut scripted, key, 2, Settlement::Ack);
    let bytes = scripted.sent_bytes();
    let frame = Decoder::new(4096).next(&bytes, &mut 0).unwrap().unwrap();
    let ack = method::basic::Ack { delivery_tag: 2, multiple: false };
    assert_eq!(Method::decode(&bytes[frame.payload]).unwrap(), Method::BasicAck(ack));
}

#[test]
fn a_delivery_settles_once() {
    let (mut scripted, key) = consuming(false);
    scripted.deliver(1, 1, b"x");
    settle(&mut scripted, key, 1, Settlement::Reject);
    assert_eq!(
        scripted.connection.settle(key.channel, 1, 1, Settlement::Ack),
        Err(SettleError::Stale)
    );
    assert_eq!(scripted.sent(), ["basic.reject"]);
}

#[test]
fn a_delivery_of_another_epoch_is_stale_and_sends_nothing() {
    let (mut scripted, key) = consuming(false);
    scripted.deliver(1, 1, b"x");
    assert_eq!(
        scripted.connection.settle(key.channel, 0, 1, Settlement::Ack),
        Err(SettleError::Stale)
    );
    assert!(scripted.sent().is_empty());
}

#[test]
fn a_dropped_consumer_is_cancelled_first_and_returns_its_buffer_afterwards() {
    let (mut scripted, key) = consuming(false);
    scripted.deliver(1, 1, b"taken");
    let rest = taken(&mut scripted, key);
    scripted.deliver(1, 2, b"waiting");
    scripted.connection.drop_consumer(scripted.now, key, rest);
    assert_eq!(scripted.sent(), ["basic.cancel"]);
    scripted.deliver(1, 3, b"on its way");
    let consumer = consumer_tag(1);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: consumer.as_short() });
    assert_eq!(scripted.sent(), ["basic.reject", "basic.reject", "basic.reject"]);
}

#[test]
fn a_cancel_by_the_broker_is_not_an_ordinary_end() {
    let (mut scripted, key) = consuming(false);
    let consumer = consumer_tag(1);
    scripted
        .receive(1, &method::basic::Cancel { consumer_tag: consumer.as_short(), no_wait: true });
    let end = scripted.connection.poll_consumer(key, &mut VecDeque::new(), || waiter(3));
    assert_eq!(end, Poll::Ready(Some(ConsumerEnd::CancelledByBroker)));
}

#[test]
fn a_consumer_that_does_not_keep_up_stops_reading_and_is_cancelled_after_a_while() {
    let (mut scripted, key) = consuming(true);
    let body = vec![0; 100_000];
    let mut tag = 0;
    while scripted.connection.wants_read() {
        tag += 1;
        scripted.deliver(1, tag, &body);
    }
    assert!(tag < 20, "about a mebibyte is taken");
    scripted.now = scripted.now + Limits::default().overrun_after;
    scripted.connection.handle_timeout(scripted.now);
    assert!(scripted.connection.wants_read(), "the other channels go on");
    assert_eq!(scripted.sent(), ["basic.cancel"]);
    assert_eq!(scripted.ended(), None, "silence while nothing was read says nothing of the peer");
    let consumer = consumer_tag(1);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: consumer.as_short() });
    assert_eq!(taken(&mut scripted, key).len() as u64, tag);
    let end = scripted.connection.poll_consumer(key, &mut VecDeque::new(), || waiter(3));
    assert_eq!(end, Poll::Ready(Some(ConsumerEnd::Overrun)));
}

#[test]
fn a_body_over_the_limit_is_discarded_and_the_channel_survives() {
    let mut small = settings();
    small.limits.body_bytes = 10;
    let mut scripted = Scripted::open_with(small);
    let key = scripted.open_channel();
    let spec = consume();
    let call = scripted.request(key, Request::Consume(spec));
    let consumer = consumer_tag(1);
    scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: consumer.as_short() });
    let Poll::Ready(Ok(Reply::Consuming(key))) = scripted.answer(call) else { panic!() };
    scripted.deliver(1, 1, &[0; 11]);
    scripted.deliver(1, 2, &[0; 10]);
    let taken = taken(&mut scripted, key);
    assert_eq!(taken[0].content.discarded(), Some(Discarded::Body(11)));
    assert_eq!(taken[0].content.body_len(), 0);
    assert_eq!(taken[1].content.body_len(), 10);
}

#[test]
fn answers_of_queues_may_be_overtaken() {
    let (mut scripted, key) = consuming(false);
    let cancel = scripted.request(key.channel, Request::Cancel { consumer: 1 });
    let get = Request::Get { queue: ShortString::new("inbox").unwrap(), automatic: false };
    let get = scripted.request(key.channel, get);
    let bound = scripted.request(key.channel, bind());
    scripted.receive(1, &method::basic::GetEmpty {});
    assert_eq!(scripted.answer(get), Poll::Ready(Ok(Reply::Got(key.channel, None))));
    scripted.receive(1, &method::queue::BindOk {});
    assert_eq!(scripted.answer(bound), Poll::Ready(Ok(Reply::Done)));
    assert!(scripted.answer(cancel).is_pending());
    let consumer_tag = consumer_tag(1);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: consumer_tag.as_short() });
    assert_eq!(scripted.answer(cancel), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.ended(), None);
}

#[test]
fn a_close_overtakes_a_cancel() {
    let (mut scripted, key) = consuming(false);
    scripted.connection.drop_consumer(scripted.now, key, VecDeque::new());
    let close = scripted.request(key.channel, Request::CloseChannel);
    scripted.receive(1, &method::channel::CloseOk {});
    assert_eq!(scripted.answer(close), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.ended(), None);
}

#[test]
fn an_answer_to_nobodys_question_is_a_violation() {
    let (mut scripted, key) = consuming(false);
    scripted.request(key.channel, Request::Cancel { consumer: 1 });
    let other = consumer_tag(2);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: other.as_short() });
    assert!(matches!(scripted.ended().as_deref(), Some(Cause::Violation(_))));
}

#[test]
fn reading_goes_on_for_a_consumer_that_ended_while_it_was_behind() {
    let (mut scripted, key) = consuming(true);
    for tag in 1..=3 {
        scripted.deliver(1, tag, &[0; 500_000]);
    }
    assert!(!scripted.connection.wants_read());
    // It was behind them in the same block.
    let tag = consumer_tag(1);
    let cancel = method::basic::Cancel { consumer_tag: tag.as_short(), no_wait: true };
    scripted.receive(1, &cancel);
    scripted.now = scripted.now + Limits::default().overrun_after;
    scripted.connection.handle_timeout(scripted.now);
    assert!(scripted.connection.wants_read());
    assert_eq!(taken(&mut scripted, key).len(), 3, "what had arrived can be taken");
    assert!(scripted.connection.wants_read());
}

/// Found by fuzzing: octet by octet, five of the six were delivered before the sixth arrived.
#[test]
fn a_body_longer_than_announced_is_not_delivered_however_it_arrives() {
    let mut bytes = BytesMut::new();
    let consumer = consumer_tag(1);
    let deliver = method::basic::Deliver {
        consumer_tag: consumer.as_short(),
        delivery_tag: 1,
        ..Default::default()
    };
    encode::method(&mut bytes, 1, &deliver);
    encode::content_header(&mut bytes, 1, 5, &[0, 0]);
    encode::body(&mut bytes, 1, b"123456", 4096);
    for step in [1, 2, 3, bytes.len()] {
        let (mut scripted, key) = consuming(false);
        let mut rest = Vec::new();
        for block in bytes.chunks(step) {
            rest.extend_from_slice(block);
            let used = scripted.connection.handle_input(scripted.now, &rest.clone().into());
            rest.drain(..used);
        }
        assert!(taken(&mut scripted, key).is_empty(), "in blocks of {step}");
        let ended = scripted.ended().map(|cause| (*cause).clone());
        assert_eq!(ended, Some(Cause::Violation(Violation::BodyTooLong(1))));
    }
}

/// Found by fuzzing: the deadline stayed due, and the driver went round and round.
#[test]
fn a_channel_that_ends_while_its_consumer_is_behind_leaves_no_deadline() {
    let (mut scripted, key) = consuming(true);
    let mut tag = 0;
    while scripted.connection.wants_read() {
        tag += 1;
        scripted.deliver(1, tag, &[0; 100_000]);
    }
    scripted.receive(1, &method::channel::Close { reply_code: 406, ..Default::default() });
    assert!(scripted.connection.channel_ended(key.channel).is_some() && scripted.ended().is_none());
    assert!(scripted.connection.wants_read());
    scripted.now = scripted.now + Limits::default().overrun_after;
    scripted.connection.handle_timeout(scripted.now);
    assert!(scripted.connection.poll_timeout().is_none_or(|due| due > scripted.now));
}

#[test]
fn what_arrives_for_an_overrun_consumer_goes_back_and_is_not_kept() {
    let (mut scripted, key) = consuming(false);
    for tag in 1..=3 {
        scripted.deliver(1, tag, &[0; 500_000]);
    }
    scripted.now = scripted.now + Limits::default().overrun_after;
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(scripted.sent(), ["basic.cancel"]);
    // The broker has not seen it yet.
    for tag in 4..=100 {
        scripted.deliver(1, tag, &[0; 500_000]);
        assert!(scripted.connection.wants_read());
    }
    assert_eq!(scripted.sent(), [""; 0], "not before the broker has answered: it would come again");
    let consumer = consumer_tag(1);
    scripted.receive(1, &method::basic::CancelOk { consumer_tag: consumer.as_short() });
    assert_eq!(scripted.sent(), ["basic.reject"; 97]);
    assert_eq!(taken(&mut scripted, key).len(), 3, "what it had can still be taken");
    let end = scripted.connection.poll_consumer(key, &mut VecDeque::new(), || waiter(3));
    assert_eq!(end, Poll::Ready(Some(ConsumerEnd::Overrun)));
}

#[test]
fn deliveries_without_end_for_a_cancelled_consumer_are_a_flood() {
    let (mut scripted, key) = consuming(false);
    scripted.connection.drop_consumer(scripted.now, key, VecDeque::new());
    for tag in 1.. {
        if let Some(cause) = scripted.ended() {
            assert!(matches!(*cause, Cause::Violation(Violation::Flood(_))), "{cause:?}");
            assert!(tag > 65_536, "that many may be on their way");
            break;
        }
        scripted.deliver(1, tag, b"");
    }
}
