//! How a queue is bound: the eight steps of the low-level design that the project began with.

use super::*;

#[test]
fn the_eight_steps_by_which_a_queue_is_bound() {
    // 1. The client calls bind.
    let (mut scripted, key) = Scripted::with_channel();
    scripted.channel_states();
    // 2. The library provides a future (a reply slot) and hands the command to the machine.
    let call = scripted.request(key, bind());
    assert_eq!(scripted.answer(call), Poll::Pending);
    // 3. The machine, in an open state, takes the command and goes to `Binding`.
    assert_eq!(scripted.channel_states(), ["Open --bind--> Binding"]);
    // 4. The bind request is sent.
    assert_eq!(scripted.sent(), ["queue.bind"]);
    // 5. RabbitMQ responds with bind-ok. 6. The library puts the event to the machine.
    scripted.receive(1, &method::queue::BindOk {});
    // 7. The machine, in `Binding`, takes it and sets the future's result.
    assert_eq!(scripted.channel_states(), ["Binding --answer--> Open"]);
    assert_eq!(scripted.woken(), [waiter(0)]);
    // 8. The client's call receives the result.
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn calls_go_out_in_their_order_and_answers_find_their_own() {
    let (mut scripted, key) = Scripted::with_channel();
    let first = scripted.request(key, bind());
    let second = scripted.request(key, Request::Limit { prefetch: 5, global: false });
    let third = scripted.request(key, bind());
    assert_eq!(scripted.sent(), ["queue.bind", "basic.qos", "queue.bind"]);
    scripted.receive(1, &method::queue::BindOk {});
    assert_eq!(scripted.answer(first), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.answer(second), Poll::Pending);
    scripted.receive(1, &method::basic::QosOk {});
    scripted.receive(1, &method::queue::BindOk {});
    assert_eq!(scripted.answer(second), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.answer(third), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn a_dropped_call_keeps_its_place_in_line() {
    let (mut scripted, key) = Scripted::with_channel();
    let dropped = scripted.request(key, bind());
    let kept = scripted.request(key, Request::Limit { prefetch: 5, global: false });
    scripted.connection.abandon_call(scripted.now, dropped);
    scripted.receive(1, &method::queue::BindOk {});
    assert_eq!(scripted.answer(kept), Poll::Pending, "that answer was the other's");
    scripted.receive(1, &method::basic::QosOk {});
    assert_eq!(scripted.answer(kept), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline_and_its_late_answer_is_discarded() {
    let (mut scripted, key) = Scripted::with_channel();
    let late = scripted.request(key, bind());
    scripted.now = scripted.now + SECOND;
    assert_eq!(scripted.connection.poll_timeout(), Some(scripted.now));
    scripted.connection.handle_timeout(scripted.now);
    let timeout = CallError::Timeout { operation: "queue.bind", after: SECOND };
    assert_eq!(scripted.answer(late), Poll::Ready(Err(timeout)));
    let next = scripted.request(key, Request::Limit { prefetch: 5, global: false });
    scripted.receive(1, &method::queue::BindOk {});
    scripted.receive(1, &method::basic::QosOk {});
    assert_eq!(scripted.answer(next), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn an_answer_that_nobody_awaits_ends_the_connection() {
    let (mut scripted, _) = Scripted::with_channel();
    scripted.receive(1, &method::queue::BindOk {});
    let ended = scripted.ended().expect("the peer broke the protocol");
    assert!(matches!(&*ended, Cause::Violation(Violation::UnexpectedMethod { .. })), "{ended:?}");
}
