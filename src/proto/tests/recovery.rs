//! A lost connection comes back with everything that was on it.

use std::collections::VecDeque;

use super::*;
use crate::fsm::supervisor::State;

pub(super) fn name(text: &str) -> ShortString {
    ShortString::new(text).unwrap()
}

fn declare_queue(text: &str) -> Request {
    Request::DeclareQueue(QueueSpec {
        name: name(text),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        arguments: Bytes::new(),
    })
}

pub(super) fn declared(text: &str) -> method::queue::DeclareOk<'_> {
    method::queue::DeclareOk {
        queue: ShortStr::new(text).unwrap(),
        message_count: 0,
        consumer_count: 0,
    }
}

/// A connection with a confirming channel, a queue, a binding and a consumer.
pub(super) fn populated(queue: &str, declared_as: &str) -> (Scripted, ConsumerKey) {
    populated_with(queue, declared_as, WhenCancelled::End)
}

pub(super) fn populated_with(
    queue: &str,
    declared_as: &str,
    when_cancelled: WhenCancelled,
) -> (Scripted, ConsumerKey) {
    let mut scripted = Scripted::open_with(reconnecting());
    let key = scripted.open_channel();
    scripted.request(key, Request::ConfirmSelect);
    scripted.receive(1, &method::confirm::SelectOk {});
    scripted.request(key, declare_queue(queue));
    scripted.receive(1, &declared(declared_as));
    let Request::BindQueue(mut binding) = bind() else { panic!() };
    binding.destination = name(declared_as);
    scripted.request(key, Request::BindQueue(binding));
    scripted.receive(1, &method::queue::BindOk {});
    let spec = ConsumeSpec {
        queue: name(declared_as),
        prefetch: Some(10),
        upkeep: Upkeep { when_cancelled, ..Upkeep::default() },
        ..consume()
    };
    let call = scripted.request(key, Request::Consume(spec));
    scripted.receive(1, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    let Poll::Ready(Ok(Reply::Consuming(consumer))) = scripted.answer(call) else { panic!() };
    scripted.sent();
    (scripted, consumer)
}

pub(super) fn lose(scripted: &mut Scripted) {
    scripted.connection.handle_lost(scripted.now, Loss::EndOfStream);
    assert_eq!(scripted.connection.supervisor().state(), State::Reconnecting);
    assert_eq!(scripted.ended(), None);
}

/// Dials again and shakes hands; what comes then is recovery's.
pub(super) fn redial(scripted: &mut Scripted) {
    while !matches!(scripted.connection.poll_action(), Some(Action::Dial { .. })) {
        scripted.now = scripted.connection.poll_timeout().expect("an attempt is due");
        scripted.connection.handle_timeout(scripted.now);
    }
    scripted.connection.handle_dialed(scripted.now, plain());
    scripted.receive(0, &Scripted::start());
    scripted.receive(0, &Scripted::tune());
    scripted.receive(0, &method::connection::OpenOk {});
    scripted.sent_bytes();
}

/// Redials, expecting these methods on the way to an open recovery channel.
fn redial_and_see(scripted: &mut Scripted) -> Vec<&'static str> {
    while !matches!(scripted.connection.poll_action(), Some(Action::Dial { .. })) {
        scripted.now = scripted.connection.poll_timeout().expect("an attempt is due");
        scripted.connection.handle_timeout(scripted.now);
    }
    scripted.connection.handle_dialed(scripted.now, plain());
    scripted.sent_bytes();
    scripted.receive(0, &Scripted::start());
    scripted.receive(0, &Scripted::tune());
    scripted.sent();
    scripted.receive(0, &method::connection::OpenOk {});
    scripted.sent()
}

pub(super) fn step(scripted: &mut Scripted, method: &impl MethodFrame) -> Vec<&'static str> {
    scripted.receive(1, method);
    scripted.sent()
}

#[test]
fn topology_channels_and_consumers_come_back_in_order() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    lose(&mut scripted);
    assert_eq!(redial_and_see(&mut scripted), ["channel.open"]);
    assert_eq!(scripted.connection.supervisor().state(), State::Recovering);
    assert_eq!(step(&mut scripted, &method::channel::OpenOk {}), ["queue.declare"]);
    assert_eq!(step(&mut scripted, &declared("inbox")), ["queue.bind"]);
    assert_eq!(step(&mut scripted, &method::queue::BindOk {}), ["channel.close"]);
    assert_eq!(
        step(&mut scripted, &method::channel::CloseOk {}),
        ["channel.open", "confirm.select", "basic.qos", "basic.consume"]
    );
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
    // The recovery channel had id 1; the channel is number 2 now, under the same handle.
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &method::confirm::SelectOk {});
    scripted.receive(2, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(2, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    assert_eq!(scripted.ended(), None);
    assert_eq!(scripted.connection.channel_ended(consumer.channel), None);
    assert_eq!(scripted.connection.channel_id(consumer.channel), Some(2));
}

#[test]
fn a_delivery_from_before_is_stale_and_its_consumer_lives() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    scripted.deliver(1, 1, b"before");
    let mut taken = VecDeque::new();
    let _ = scripted.connection.poll_consumer(consumer, &mut taken, || waiter(3));
    scripted.deliver(1, 2, b"not taken");
    lose(&mut scripted);
    let settled = scripted.connection.settle(consumer.channel, taken[0].epoch, 1, Settlement::Ack);
    assert_eq!(settled, Err(SettleError::Stale));
    taken.clear();
    assert!(scripted.connection.poll_consumer(consumer, &mut taken, || waiter(3)).is_pending());
}

#[test]
fn a_server_named_queue_takes_its_binding_and_consumer_to_its_new_name() {
    let (mut scripted, _) = populated("", "amq.gen-1");
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    scripted.receive(1, &declared("amq.gen-2"));
    let bytes = scripted.sent_bytes();
    let frame = Decoder::new(4096).next(&bytes, &mut 0).unwrap().unwrap();
    let Method::QueueBind(bind) = Method::decode(&bytes[frame.payload]).unwrap() else { panic!() };
    assert_eq!(bind.queue.to_str(), Ok("amq.gen-2"));
    scripted.receive(1, &method::queue::BindOk {});
    scripted.sent_bytes();
    scripted.receive(1, &method::channel::CloseOk {});
    assert!(String::from_utf8_lossy(&scripted.sent_bytes()).contains("amq.gen-2"));
    let renamed = scripted.connection.poll_renamed();
    assert_eq!(renamed, Some((name("amq.gen-1"), name("amq.gen-2"))));
}

/// Through recovery, in which the queue is declared under this name.
fn come_back(scripted: &mut Scripted, queue: &str) {
    redial(scripted);
    step(scripted, &method::channel::OpenOk {});
    step(scripted, &declared(queue));
    step(scripted, &method::queue::BindOk {});
    scripted.receive(1, &method::channel::CloseOk {});
}

#[test]
fn a_publish_that_waited_for_recovery_goes_to_the_queue_under_its_new_name() {
    for keep in [false, true] {
        let (mut scripted, consumer) = populated("", "amq.gen-1");
        let once = name("amq.gen-1");
        let outgoing = Outgoing { routing_key: once.as_short(), keep, ..message(&[]) };
        let publish = |scripted: &mut Scripted| {
            let (key, now) = (consumer.channel, || Time::ZERO);
            scripted.connection.publish(key, &outgoing, now, &mut || Some(waiter(8))).unwrap()
        };
        lose(&mut scripted);
        if !keep {
            assert_eq!(publish(&mut scripted), Accepted::Wait);
        }
        come_back(&mut scripted, "amq.gen-2");
        lose(&mut scripted);
        if keep {
            // What is kept has its key from now on.
            assert_eq!(publish(&mut scripted), Accepted::Yes { tag: 1 });
        }
        come_back(&mut scripted, "amq.gen-3");
        if !keep {
            assert_eq!(publish(&mut scripted), Accepted::Yes { tag: 1 });
        }
        assert_eq!(published_to(&scripted.sent_bytes()), ["amq.gen-3"], "kept: {keep}");
    }
}

#[test]
fn an_answer_that_waited_across_a_recovery_tells_the_new_name() {
    let (mut scripted, consumer) = populated("", "amq.gen-1");
    let call = scripted.request(consumer.channel, declare_queue(""));
    scripted.receive(1, &declared("amq.gen-a"));
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("amq.gen-2"));
    step(&mut scripted, &declared("amq.gen-b"));
    let Poll::Ready(Ok(Reply::Declared { name, .. })) = scripted.answer(call) else { panic!() };
    assert_eq!(name, "amq.gen-b");
}

#[test]
fn a_request_made_before_the_recovery_names_the_queue_by_its_new_name() {
    let (mut scripted, consumer) = populated("", "amq.gen-1");
    lose(&mut scripted);
    come_back(&mut scripted, "amq.gen-2");
    scripted.sent();
    scripted.request(consumer.channel, Request::PurgeQueue { name: name("amq.gen-1") });
    let bytes = scripted.sent_bytes();
    let frame = Decoder::new(4096).next(&bytes, &mut 0).unwrap().unwrap();
    let Method::QueuePurge(purge) = Method::decode(&bytes[frame.payload]).unwrap() else {
        panic!()
    };
    assert_eq!(purge.queue.to_str(), Ok("amq.gen-2"));
}

/// The routing keys of what was published.
fn published_to(bytes: &[u8]) -> Vec<String> {
    let (mut decoder, mut at, mut keys) = (Decoder::new(131_072), 0, Vec::new());
    while let Some(frame) = decoder.next(bytes, &mut at).unwrap() {
        if frame.kind == FrameKind::Method
            && let Method::BasicPublish(publish) = Method::decode(&bytes[frame.payload]).unwrap()
        {
            keys.push(publish.routing_key.to_string());
        }
    }
    keys
}

#[test]
fn an_entity_that_is_refused_is_reported_by_name_and_the_others_recover() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    let refused = method::channel::Close {
        reply_code: 406,
        reply_text: ShortStr::new("PRECONDITION_FAILED - inequivalent arg").unwrap(),
        class_id: 50,
        method_id: 10,
    };
    assert_eq!(step(&mut scripted, &refused), ["channel.close-ok", "channel.open"]);
    assert_eq!(step(&mut scripted, &method::channel::OpenOk {}), ["queue.bind"]);
    step(&mut scripted, &method::queue::BindOk {});
    let resumed = step(&mut scripted, &method::channel::CloseOk {});
    assert_eq!(resumed, ["channel.open", "confirm.select"], "its consumer is not asked for");
    assert_eq!(scripted.connection.supervisor().state(), State::Degraded);
    let reported = &scripted.connection.not_recovered()[0];
    assert_eq!(&*reported.entity, "queue 'inbox'");
    assert_eq!(reported.reason.code.0, 406);
    let end = scripted.connection.poll_consumer(consumer, &mut VecDeque::new(), || waiter(3));
    assert!(matches!(end, Poll::Ready(Some(ConsumerEnd::Ended(_)))), "{end:?}");
}

#[test]
fn calls_made_meanwhile_wait_and_are_sent_afterwards() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    lose(&mut scripted);
    let kept = scripted.request(consumer.channel, bind());
    let given_up =
        scripted.request(consumer.channel, Request::Limit { prefetch: 1, global: false });
    scripted.connection.abandon_call(scripted.now, given_up);
    let opening = scripted.connection.open_channel(scripted.now, SECOND).unwrap();
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    assert_eq!(
        step(&mut scripted, &method::channel::CloseOk {}),
        [
            "channel.open",
            "confirm.select",
            "basic.qos",
            "basic.consume",
            "queue.bind",
            "channel.open"
        ]
    );
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &method::confirm::SelectOk {});
    scripted.receive(2, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(2, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    scripted.receive(2, &method::queue::BindOk {});
    scripted.receive(3, &method::channel::OpenOk {});
    assert_eq!(scripted.answer(kept), Poll::Ready(Ok(Reply::Done)));
    assert!(matches!(scripted.answer(opening), Poll::Ready(Ok(Reply::Opened(_)))));
}

#[test]
fn a_cut_during_recovery_starts_it_again() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    lose(&mut scripted);
    redial(&mut scripted);
    assert_eq!(step(&mut scripted, &method::channel::OpenOk {}), ["queue.declare"]);
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    step(&mut scripted, &method::channel::CloseOk {});
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    let resumed = step(&mut scripted, &method::channel::CloseOk {});
    assert_eq!(resumed, ["channel.open", "confirm.select", "basic.qos", "basic.consume"]);
    assert_eq!(scripted.connection.channel_ended(consumer.channel), None);
}

#[test]
fn publishes_outstanding_at_the_cut_are_unknown_and_later_ones_wait_for_recovery() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    let key = consumer.channel;
    let body = [Bytes::from_static(b"x")];
    let outgoing = message(&body);
    let publish = |scripted: &mut Scripted| {
        scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || Some(waiter(8))).unwrap()
    };
    assert_eq!(publish(&mut scripted), Accepted::Yes { tag: 1 });
    lose(&mut scripted);
    assert!(matches!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Unknown(_))
    ));
    assert_eq!(publish(&mut scripted), Accepted::Wait);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    scripted.woken();
    step(&mut scripted, &method::channel::CloseOk {});
    assert!(scripted.woken().contains(&waiter(8)));
    assert_eq!(publish(&mut scripted), Accepted::Yes { tag: 2 });
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &method::confirm::SelectOk {});
    scripted.receive(2, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(2, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    scripted.receive(2, &method::basic::Ack { delivery_tag: 1, multiple: false });
    let outcome = scripted.connection.poll_confirm(key, 2, || waiter(1));
    assert_eq!(outcome, Poll::Ready(Outcome::Confirmed), "the broker counts from 1 again");
}

#[test]
fn a_transaction_that_was_cut_is_lost_until_it_is_rolled_back() {
    let mut scripted = Scripted::open_with(reconnecting());
    let key = scripted.open_channel();
    scripted.request(key, Request::TxSelect);
    scripted.receive(1, &method::tx::SelectOk {});
    let outgoing = message(&[]);
    scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None).unwrap();
    lose(&mut scripted);
    let commit = scripted.connection.request(scripted.now, key, Request::TxCommit, SECOND);
    assert_eq!(commit, Err(CallError::TransactionLost));
    assert_eq!(
        scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None),
        Err(CallError::TransactionLost)
    );
    redial(&mut scripted);
    let rollback = scripted.request(key, Request::TxRollback);
    let id = scripted.connection.channel_id(key).expect("it is opened again");
    scripted.receive(id, &method::channel::OpenOk {});
    scripted.receive(id, &method::tx::SelectOk {});
    assert_eq!(scripted.answer(rollback), Poll::Pending);
    scripted.receive(id, &method::tx::RollbackOk {});
    assert_eq!(scripted.answer(rollback), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
    assert!(scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None).is_ok());
}

#[test]
fn what_was_asked_right_behind_channel_open_is_not_answered_before_it() {
    for early in ["confirm.select-ok", "basic.get-ok"] {
        let mut scripted = Scripted::open_with(reconnecting());
        let key = scripted.open_channel();
        lose(&mut scripted);
        scripted.request(
            key,
            match early {
                "confirm.select-ok" => Request::ConfirmSelect,
                _ => Request::Get { queue: name("q"), automatic: true },
            },
        );
        redial(&mut scripted);
        let id = scripted.connection.channel_id(key).expect("it is opened again");
        match early {
            "confirm.select-ok" => scripted.receive(id, &method::confirm::SelectOk {}),
            _ => scripted.got(id),
        }
        let cause = scripted.connection.last_cause().expect("it is lost").to_string();
        assert!(cause.contains("channel.open") && cause.contains(early), "{cause}");
        assert_eq!(scripted.connection.supervisor().state(), State::Reconnecting);
    }
}

#[test]
fn what_comes_on_a_channel_that_was_asked_for_meanwhile_is_of_the_epoch_in_which_it_comes() {
    let mut scripted = Scripted::open_with(reconnecting());
    lose(&mut scripted);
    let call = scripted.connection.open_channel(scripted.now, SECOND).unwrap();
    redial(&mut scripted);
    // Number 1 is the recovery's.
    scripted.receive(2, &method::channel::OpenOk {});
    let Poll::Ready(Ok(Reply::Opened(key))) = scripted.answer(call) else { panic!() };
    let get = scripted.request(key, Request::Get { queue: name("q"), automatic: false });
    scripted.got(2);
    let Poll::Ready(Ok(Reply::Got(_, Some(arrival)))) = scripted.answer(get) else { panic!() };
    assert_eq!((arrival.epoch, scripted.connection.epoch()), (2, 2));
    assert_eq!(scripted.connection.settle(key, arrival.epoch, 1, Settlement::Ack), Ok(()));
}

#[test]
fn a_consumer_that_is_dropped_meanwhile_is_not_asked_for_again() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    lose(&mut scripted);
    scripted.connection.drop_consumer(scripted.now, consumer, VecDeque::new());
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    let resumed = step(&mut scripted, &method::channel::CloseOk {});
    assert_eq!(resumed, ["channel.open", "confirm.select"]);
}

fn publish(scripted: &mut Scripted, key: ChannelKey, keep: bool) -> Result<Accepted, CallError> {
    let outgoing = Outgoing { keep, ..message(&[]) };
    scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None)
}

/// The broker has put such a delivery back, and counts from 1 again: its tag is another's.
#[test]
fn what_a_dropped_consumer_still_held_of_an_earlier_epoch_is_not_returned() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    scripted.deliver(1, 1, b"old");
    let mut rest = VecDeque::new();
    let _ = scripted.connection.poll_consumer(consumer, &mut rest, || waiter(1));
    assert_eq!(rest.len(), 1);
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    step(&mut scripted, &method::channel::CloseOk {});
    scripted.connection.drop_consumer(scripted.now, consumer, rest);
    let id = scripted.connection.channel_id(consumer.channel).unwrap();
    scripted.receive(id, &method::channel::OpenOk {});
    scripted.receive(id, &method::confirm::SelectOk {});
    scripted.receive(id, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(id, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    scripted.receive(id, &method::basic::CancelOk { consumer_tag: tag.as_short() });
    assert_eq!(scripted.sent(), ["basic.cancel"]);
}

#[test]
fn what_is_kept_for_the_next_connection_asks_for_no_timer_meanwhile() {
    let (mut scripted, consumer) = populated("inbox", "inbox");
    publish(&mut scripted, consumer.channel, true).unwrap();
    lose(&mut scripted);
    scripted.now = Time::ZERO + 21 * SECOND;
    scripted.connection.handle_timeout(scripted.now);
    let due = scripted.connection.poll_timeout();
    assert!(due.is_none_or(|due| due > scripted.now), "{due:?} would be due for ever");
}

#[test]
fn recoverys_own_channel_may_be_closed_from_both_sides_at_once() {
    let (mut scripted, _) = populated("inbox", "inbox");
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &declared("inbox"));
    step(&mut scripted, &method::queue::BindOk {});
    let close = method::channel::Close {
        reply_code: 406,
        reply_text: ShortStr::empty(),
        class_id: 0,
        method_id: 0,
    };
    assert_eq!(step(&mut scripted, &close), ["channel.close-ok"]);
    let resumed = step(&mut scripted, &method::channel::CloseOk {});
    assert_eq!(resumed[0], "channel.open");
}

#[test]
fn what_was_published_behind_a_rollback_is_lost_with_the_connection_whether_or_not_it_was_answered()
{
    for answered in [true, false] {
        let mut scripted = Scripted::open_with(reconnecting());
        let key = scripted.open_channel();
        scripted.request(key, Request::TxSelect);
        scripted.receive(1, &method::tx::SelectOk {});
        scripted.request(key, Request::TxRollback);
        publish(&mut scripted, key, false).unwrap();
        if answered {
            scripted.receive(1, &method::tx::RollbackOk {});
        }
        lose(&mut scripted);
        let again = publish(&mut scripted, key, false);
        assert_eq!(again, Err(CallError::TransactionLost), "answered: {answered}");
    }
}
