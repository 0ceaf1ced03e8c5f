//! Publishing on a confirming channel.

use super::*;

fn confirming() -> (Scripted, ChannelKey) {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.request(key, Request::ConfirmSelect);
    scripted.receive(1, &method::confirm::SelectOk {});
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    scripted.sent();
    (scripted, key)
}

fn publish(scripted: &mut Scripted, key: ChannelKey, body: &'static [u8]) -> Accepted {
    let body = [Bytes::from_static(body)];
    let outgoing = Outgoing { routing_key: ShortStr::new("inbox").unwrap(), ..message(&body) };
    scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || Some(waiter(9))).unwrap()
}

#[test]
fn a_publish_is_confirmed_under_its_own_tag() {
    let (mut scripted, key) = confirming();
    assert_eq!(publish(&mut scripted, key, b"one"), Accepted::Yes { tag: 1 });
    assert_eq!(publish(&mut scripted, key, b"two"), Accepted::Yes { tag: 2 });
    assert_eq!(scripted.sent(), ["basic.publish", "basic.publish"]);
    scripted.receive(1, &method::basic::Ack { delivery_tag: 2, multiple: false });
    assert_eq!(scripted.connection.poll_confirm(key, 1, || waiter(1)), Poll::Pending);
    assert_eq!(
        scripted.connection.poll_confirm(key, 2, || waiter(2)),
        Poll::Ready(Outcome::Confirmed)
    );
}

#[test]
fn outstanding_publishes_are_unknown_after_a_cut() {
    let (mut scripted, key) = confirming();
    publish(&mut scripted, key, b"one");
    scripted.connection.handle_lost(scripted.now, Loss::EndOfStream);
    let lost = Arc::new(Cause::Lost(Loss::EndOfStream));
    assert_eq!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Unknown(lost))
    );
}

#[test]
fn the_window_holds_publishers_back_until_confirms_arrive() {
    let (mut scripted, key) = confirming();
    let window = Limits::default().window_messages;
    for tag in 1..=window as u64 {
        assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Yes { tag });
    }
    assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Wait);
    scripted.woken();
    scripted.receive(1, &method::basic::Ack { delivery_tag: 10, multiple: true });
    assert_eq!(scripted.woken(), [waiter(9)]);
    assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Yes { tag: window as u64 + 1 });
}

#[test]
fn a_blocked_connection_holds_publishers_back_and_nothing_else() {
    let (mut scripted, key) = confirming();
    let reason = ShortStr::new("low on memory").unwrap();
    scripted.receive(0, &method::connection::Blocked { reason });
    assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Wait);
    assert_eq!(scripted.connection.blocked().map(|reason| &**reason), Some("low on memory"));
    scripted.request(key, bind());
    assert_eq!(scripted.sent(), ["queue.bind"]);
    scripted.receive(0, &method::connection::Unblocked {});
    assert_eq!(scripted.woken(), [waiter(9)]);
    assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Yes { tag: 1 });
}

#[test]
fn a_confirm_that_does_not_come_is_overdue_at_its_deadline() {
    let (mut scripted, key) = confirming();
    publish(&mut scripted, key, b"one");
    scripted.sent();
    scripted.now = scripted.now + 20 * SECOND;
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(scripted.connection.poll_confirm(key, 1, || waiter(1)), Poll::Pending);
    // A batch looks at the clock once, so that deadlines are a little late and never early.
    scripted.now = scripted.connection.poll_timeout().unwrap();
    assert!(scripted.now <= Time::ZERO + 20 * SECOND + SECOND / 20);
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Overdue)
    );
}

#[test]
fn a_confirm_for_what_was_never_published_ends_the_connection() {
    let (mut scripted, _) = confirming();
    scripted.receive(1, &method::basic::Ack { delivery_tag: 1, multiple: false });
    let ended = scripted.ended().expect("the peer broke the protocol");
    assert!(matches!(&*ended, Cause::Violation(Violation::UnknownConfirm { .. })), "{ended:?}");
}

#[test]
fn a_large_body_is_split_at_frame_max_and_not_copied() {
    let (mut scripted, key) = confirming();
    let body = [Bytes::from(vec![7; 300_000])];
    let outgoing = message(&body);
    scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None).unwrap();
    let mut batch = Batch::default();
    scripted.connection.take_batch(scripted.now, &mut batch);
    assert_eq!(batch.splices.len(), 3);
    let bytes: Vec<u8> = batch.slices(0).flatten().copied().collect();
    let (mut decoder, mut at, mut sizes) = (Decoder::new(131_072), 0, Vec::new());
    while let Some(frame) = decoder.next(&bytes, &mut at).unwrap() {
        if frame.kind == FrameKind::Body {
            sizes.push(frame.payload.len());
        }
    }
    assert_eq!(sizes, [131_064, 131_064, 300_000 - 2 * 131_064]);
}

#[test]
fn a_confirm_is_due_from_its_publish_however_long_the_connection_was_idle() {
    let (mut scripted, key) = confirming();
    let later = scripted.now + 25 * SECOND;
    let outgoing = message(&[]);
    scripted.connection.publish(key, &outgoing, || later, &mut || None).unwrap();
    scripted.connection.handle_timeout(later);
    scripted.sent();
    assert_eq!(scripted.connection.poll_confirm(key, 1, || waiter(1)), Poll::Pending);
    scripted.connection.handle_timeout(later + 20 * SECOND + SECOND / 20);
    assert_eq!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Overdue)
    );
}

#[test]
fn whoever_gives_up_waiting_leaves_no_trace_in_the_line() {
    let (mut scripted, key) = confirming();
    let reason = ShortStr::new("low on memory").unwrap();
    scripted.receive(0, &method::connection::Blocked { reason });
    scripted.woken();
    assert_eq!(publish(&mut scripted, key, b"x"), Accepted::Wait);
    scripted.connection.forget_waiter(waiter(9));
    scripted.receive(0, &method::connection::Unblocked {});
    assert!(scripted.woken().is_empty());
}

/// Publishes an empty message when the clock, if it is read, shows `now`.
fn publish_at(scripted: &mut Scripted, key: ChannelKey, now: Time) -> u64 {
    let outgoing = message(&[]);
    match scripted.connection.publish(key, &outgoing, || now, &mut || None) {
        Ok(Accepted::Yes { tag }) => tag,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_confirm_is_overdue_early_when_its_batch_waits_for_the_socket() {
    let (mut scripted, key) = Scripted::with_channel();
    scripted.request(key, Request::ConfirmSelect);
    scripted.receive(1, &method::confirm::SelectOk {});
    scripted.sent();
    // One batch, which nobody takes; a publish every second.
    let mut tags = Vec::new();
    let mut due = std::collections::BTreeMap::new();
    let after = settings().confirm_timeout;
    let heard = |scripted: &mut Scripted,
                 tags: &[(u64, Time)],
                 due: &mut std::collections::BTreeMap<u64, Time>| {
        for (tag, _) in tags {
            let polled = scripted.connection.poll_confirm(key, *tag, || waiter(1));
            if polled.is_ready() {
                due.entry(*tag).or_insert(scripted.now);
            }
        }
    };
    for second in 0..40_u64 {
        let now = Time::from_secs(second);
        while scripted.connection.poll_timeout().is_some_and(|at| at <= now) {
            scripted.now = scripted.connection.poll_timeout().unwrap().max(scripted.now);
            scripted.connection.handle_timeout(scripted.now);
            heard(&mut scripted, &tags, &mut due);
        }
        scripted.now = now;
        if second < 10 {
            tags.push((publish_at(&mut scripted, key, now), now));
        }
    }
    for (tag, published) in tags {
        let waited = due[&tag].saturating_since(published);
        assert!(waited >= after, "{tag} after {waited:?}");
        assert!(waited <= after + 200 * Duration::from_millis(1), "{tag} after {waited:?}");
    }
}
