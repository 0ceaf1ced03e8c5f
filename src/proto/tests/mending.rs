//! What recovery could not declare is tried again; consumers wait for a queue that was taken away.

use std::collections::VecDeque;

use super::{
    recovery::{declared, lose, name, populated, populated_with, redial, step},
    *,
};
use crate::fsm::supervisor::{Reasons, State};

fn refused(code: u16) -> method::channel::Close<'static> {
    let reply_text = ShortStr::new("the home node is down").unwrap();
    method::channel::Close { reply_code: code, reply_text, class_id: 50, method_id: 10 }
}

/// The time passes until something is sent.
fn wait(scripted: &mut Scripted) -> Vec<&'static str> {
    for _ in 0..100 {
        scripted.now =
            scripted.connection.poll_timeout().expect("something is due").max(scripted.now);
        scripted.connection.handle_timeout(scripted.now);
        let sent: Vec<_> =
            scripted.sent().into_iter().filter(|name| *name != "heartbeat").collect();
        if !sent.is_empty() {
            return sent;
        }
    }
    panic!("nothing is tried");
}

fn reasons(scripted: &Scripted) -> Reasons {
    scripted.connection.supervisor().reasons()
}

/// The queue is refused in recovery, the binding is not.
fn degraded() -> Scripted {
    let (mut scripted, _) = populated("inbox", "inbox");
    lose(&mut scripted);
    redial(&mut scripted);
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &refused(404));
    step(&mut scripted, &method::channel::OpenOk {});
    step(&mut scripted, &method::queue::BindOk {});
    step(&mut scripted, &method::channel::CloseOk {});
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &method::confirm::SelectOk {});
    assert_eq!(scripted.connection.supervisor().state(), State::Degraded);
    scripted
}

/// A method on a channel of mending's; ids are used in turn.
fn on(scripted: &mut Scripted, id: u16, method: &impl MethodFrame) -> Vec<&'static str> {
    scripted.receive(id, method);
    scripted.sent()
}

#[test]
fn what_was_refused_is_tried_again_until_it_is_there() {
    let mut scripted = degraded();
    for id in 3..6 {
        assert_eq!(wait(&mut scripted), ["channel.open"]);
        assert_eq!(on(&mut scripted, id, &method::channel::OpenOk {}), ["queue.declare"]);
        assert_eq!(on(&mut scripted, id, &refused(404)), ["channel.close-ok", "channel.open"]);
        assert_eq!(on(&mut scripted, id, &method::channel::OpenOk {}), ["channel.close"]);
        on(&mut scripted, id, &method::channel::CloseOk {});
        assert_eq!(reasons(&scripted), Reasons::PARTIAL);
        assert_eq!(scripted.connection.not_recovered().len(), 1);
    }
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    on(&mut scripted, 6, &method::channel::OpenOk {});
    assert_eq!(on(&mut scripted, 6, &declared("inbox")), ["channel.close"]);
    assert!(scripted.connection.not_recovered().is_empty());
    on(&mut scripted, 6, &method::channel::CloseOk {});
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
}

#[test]
fn what_is_not_answered_in_time_is_tried_again_too() {
    let mut scripted = degraded();
    wait(&mut scripted);
    on(&mut scripted, 3, &method::channel::OpenOk {});
    let began = scripted.now;
    assert_eq!(wait(&mut scripted), ["channel.close"]);
    let within = Policy::default().recover_timeout.unwrap();
    assert!(scripted.now >= began + within, "{:?}", scripted.now);
    assert!(on(&mut scripted, 3, &declared("inbox")).is_empty(), "it is too late");
    on(&mut scripted, 3, &method::channel::CloseOk {});
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    assert_eq!(scripted.ended(), None);
}

#[test]
fn a_cut_leaves_the_rest_to_recovery() {
    let mut scripted = degraded();
    wait(&mut scripted);
    lose(&mut scripted);
    redial(&mut scripted);
    assert_eq!(step(&mut scripted, &method::channel::OpenOk {}), ["queue.declare"]);
    assert_eq!(step(&mut scripted, &declared("inbox")), ["queue.bind"]);
    step(&mut scripted, &method::queue::BindOk {});
    step(&mut scripted, &method::channel::CloseOk {});
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
}

/// Sent all the same, it would close the channel, or its consumer have ended and yet be served.
#[test]
fn who_asked_to_consume_from_what_was_not_recovered_is_told_so() {
    for when_cancelled in [WhenCancelled::End, WhenCancelled::Resubscribe] {
        let (mut scripted, consumer) = populated("inbox", "inbox");
        lose(&mut scripted);
        let asked = scripted.request(
            consumer.channel,
            Request::Consume(ConsumeSpec {
                automatic: true,
                upkeep: Upkeep { when_cancelled, ..Upkeep::default() },
                ..consume()
            }),
        );
        redial(&mut scripted);
        step(&mut scripted, &method::channel::OpenOk {});
        step(&mut scripted, &refused(406));
        let answer = scripted.answer(asked);
        assert!(matches!(answer, Poll::Ready(Err(CallError::Ended(_)))), "{answer:?}");
        step(&mut scripted, &method::channel::OpenOk {});
        step(&mut scripted, &method::queue::BindOk {});
        let resumed = step(&mut scripted, &method::channel::CloseOk {});
        assert_eq!(resumed, ["channel.open", "confirm.select"], "nothing is asked for");
        assert_eq!(scripted.ended(), None);
    }
}

fn cancelled(scripted: &mut Scripted, consumer: u32) -> Vec<&'static str> {
    let consumer_tag = consumer_tag(consumer);
    let cancel = method::basic::Cancel { consumer_tag: consumer_tag.as_short(), no_wait: true };
    step(scripted, &cancel)
}

#[test]
fn a_cancelled_consumer_that_was_told_to_declares_its_queue_with_its_binding() {
    let (mut scripted, consumer) = populated_with("inbox", "inbox", WhenCancelled::Redeclare);
    cancelled(&mut scripted, 1);
    assert_eq!(scripted.connection.supervisor().state(), State::Degraded);
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    scripted.receive(2, &method::channel::OpenOk {});
    assert_eq!(scripted.sent(), ["queue.declare"]);
    scripted.receive(2, &declared("inbox"));
    assert_eq!(scripted.sent(), ["queue.bind"]);
    scripted.receive(2, &method::queue::BindOk {});
    assert_eq!(scripted.sent(), ["queue.declare"], "is it there to stay?");
    scripted.receive(2, &declared("inbox"));
    assert_eq!(scripted.sent(), ["basic.qos", "basic.consume", "channel.close"]);
    scripted.receive(1, &method::basic::QosOk {});
    let tag = consumer_tag(1);
    scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    scripted.receive(2, &method::channel::CloseOk {});
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
    let mut cursor = 0;
    let Poll::Ready(Some(interruption)) =
        scripted.connection.poll_interruption(consumer, &mut cursor, || None)
    else {
        panic!()
    };
    let cancelled = ConsumerEnd::CancelledByBroker;
    assert_eq!((interruption.by, interruption.missed), (cancelled, Missed::Queue));
    assert!(scripted.connection.poll_interruption(consumer, &mut cursor, || None).is_pending());
    let mut taken = VecDeque::new();
    assert!(scripted.connection.poll_consumer(consumer, &mut taken, || waiter(1)).is_pending());
}

/// As RabbitMQ 4.0 does it with quorum queues.
#[test]
fn a_queue_that_is_still_being_deleted_is_declared_again_when_it_is_gone() {
    let (mut scripted, consumer) = populated_with("inbox", "inbox", WhenCancelled::Redeclare);
    let began = scripted.now;
    cancelled(&mut scripted, 1);
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    assert!(scripted.now >= began + Duration::from_millis(250), "it is not asked for at once");
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &declared("inbox"));
    // Now it is gone.
    scripted.receive(2, &refused(404));
    scripted.receive(2, &method::channel::OpenOk {});
    assert_eq!(scripted.sent().last(), Some(&"queue.declare"), "is it there to stay?");
    scripted.receive(2, &refused(404));
    scripted.receive(2, &method::channel::OpenOk {});
    scripted.receive(2, &method::channel::CloseOk {});
    let sent = scripted.sent();
    assert!(!sent.contains(&"basic.consume"), "that would cost the channel: {sent:?}");
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    assert_eq!(on(&mut scripted, 3, &method::channel::OpenOk {}), ["queue.declare"]);
    assert_eq!(on(&mut scripted, 3, &declared("inbox")), ["queue.bind"]);
    assert_eq!(on(&mut scripted, 3, &method::queue::BindOk {}), ["queue.declare"]);
    let sent = on(&mut scripted, 3, &declared("inbox"));
    assert_eq!(sent, ["basic.qos", "basic.consume", "channel.close"]);
    on(&mut scripted, 3, &method::channel::CloseOk {});
    assert_eq!(scripted.connection.supervisor().state(), State::Connected);
    assert_eq!(scripted.connection.channel_ended(consumer.channel), None);
}

#[test]
fn a_consumer_that_waits_for_its_queue_can_be_cancelled() {
    let (mut scripted, consumer) = populated_with("inbox", "inbox", WhenCancelled::Resubscribe);
    cancelled(&mut scripted, 1);
    let cancel = scripted.request(consumer.channel, Request::Cancel { consumer: 1 });
    assert_eq!(scripted.answer(cancel), Poll::Ready(Ok(Reply::Done)));
    let end = scripted.connection.poll_consumer(consumer, &mut VecDeque::new(), || waiter(1));
    assert_eq!(end, Poll::Ready(Some(ConsumerEnd::Cancelled)));
    // Nobody waits for the queue any more.
    scripted.now = scripted.connection.poll_timeout().unwrap();
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(reasons(&scripted), Reasons::NONE);
    assert!(scripted.sent().iter().all(|name| *name != "channel.open"));
}

#[test]
fn a_delivery_that_waits_can_be_settled_while_the_queue_is_away() {
    let (mut scripted, consumer) = populated_with("inbox", "inbox", WhenCancelled::Resubscribe);
    scripted.deliver(1, 1, b"before");
    cancelled(&mut scripted, 1);
    let mut taken = VecDeque::new();
    let _ = scripted.connection.poll_consumer(consumer, &mut taken, || waiter(1));
    let settled = scripted.connection.settle(consumer.channel, taken[0].epoch, 1, Settlement::Ack);
    assert_eq!(settled, Ok(()));
    assert!(scripted.sent().contains(&"basic.ack"));
}

#[test]
fn a_queue_that_is_deleted_here_is_not_brought_back() {
    let (mut scripted, consumer) = populated_with("inbox", "inbox", WhenCancelled::Redeclare);
    cancelled(&mut scripted, 1);
    let delete = Request::DeleteQueue { name: name("inbox"), if_unused: false, if_empty: false };
    scripted.request(consumer.channel, delete);
    scripted.receive(1, &method::queue::DeleteOk { message_count: 0 });
    scripted.sent();
    assert_eq!(wait(&mut scripted), ["channel.open"]);
    scripted.receive(2, &method::channel::OpenOk {});
    let bytes = scripted.sent_bytes();
    let frame = Decoder::new(4096).next(&bytes, &mut 0).unwrap().unwrap();
    let Method::QueueDeclare(probe) = Method::decode(&bytes[frame.payload]).unwrap() else {
        panic!()
    };
    assert!(probe.passive, "it is only looked for");
}
