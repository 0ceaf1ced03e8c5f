//! How channels and connections end, from either side.

use super::*;

fn not_found() -> method::channel::Close<'static> {
    method::channel::Close {
        reply_code: 404,
        reply_text: ShortStr::new("NOT_FOUND - no queue 'q' in vhost '/'").unwrap(),
        class_id: 50,
        method_id: 20,
    }
}

fn exception(cause: &Cause) -> &Exception {
    match cause {
        Cause::Exception(exception) => exception,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_channel_exception_is_told_to_every_later_call() {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.request(key, bind());
    scripted.sent();
    scripted.receive(1, &not_found());
    assert_eq!(scripted.sent(), ["channel.close-ok"]);
    let Poll::Ready(Err(CallError::Ended(cause))) = scripted.answer(call) else { panic!() };
    assert_eq!(exception(&cause).code.0, 404);
    assert_eq!(&*exception(&cause).text, "NOT_FOUND - no queue 'q' in vhost '/'");
    assert_eq!(exception(&cause).method.unwrap().to_string(), "queue.bind");
    for _ in 0..2 {
        let later = scripted.connection.request(scripted.now, key, bind(), SECOND);
        assert_eq!(later, Err(CallError::Ended(cause.clone())));
    }
    assert_eq!(scripted.ended(), None, "the connection lives");
}

#[test]
fn a_closed_channels_id_is_used_again_and_its_old_handle_stays_dead() {
    let (mut scripted, old) = Scripted::with_channel();
    scripted.receive(1, &not_found());
    scripted.connection.release_channel(scripted.now, old);
    let mut ids = Vec::new();
    for _ in 0..2047 {
        let call = scripted.connection.open_channel(scripted.now, SECOND).unwrap();
        ids.push(call);
    }
    assert_eq!(
        scripted.connection.open_channel(scripted.now, SECOND),
        Err(CallError::TooManyChannels { max: 2047 })
    );
    assert!(scripted.connection.channel_ended(old).is_some());
}

#[test]
fn closing_a_connection_says_goodbye_and_ends_its_channels() {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.connection.close(scripted.now);
    assert_eq!(scripted.sent(), ["connection.close"]);
    assert_eq!(scripted.answer(call), Poll::Pending);
    scripted.receive(0, &method::connection::CloseOk {});
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.connection.poll_action(), Some(Action::Shut));
    assert_eq!(scripted.connection.channel_ended(key), Some(Arc::new(Cause::ByUs)));
}

#[test]
fn closing_ends_at_its_deadline_when_the_broker_does_not_answer() {
    let mut scripted = Scripted::open();
    let call = scripted.connection.close(scripted.now);
    let deadline = scripted.connection.poll_timeout().expect("closing has a deadline");
    scripted.now = deadline;
    scripted.connection.handle_timeout(scripted.now);
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    assert!(scripted.ended().is_some());
}

#[test]
fn a_close_by_the_broker_is_answered_and_told() {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.request(key, bind());
    scripted.sent();
    scripted.receive(
        0,
        &method::connection::Close {
            reply_code: 320,
            reply_text: ShortStr::new("CONNECTION_FORCED - bye").unwrap(),
            class_id: 0,
            method_id: 0,
        },
    );
    assert_eq!(scripted.sent(), ["connection.close-ok"]);
    let Poll::Ready(Err(CallError::Ended(cause))) = scripted.answer(call) else { panic!() };
    assert_eq!(exception(&cause).code.0, 320);
    assert_eq!(exception(&cause).scope, Scope::Connection);
    assert_eq!(exception(&cause).method, None);
}

#[test]
fn a_lost_connection_resolves_every_waiter() {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.request(key, bind());
    assert_eq!(scripted.answer(call), Poll::Pending);
    scripted.connection.handle_lost(scripted.now, Loss::EndOfStream);
    assert_eq!(scripted.woken(), [waiter(0)]);
    let lost = Arc::new(Cause::Lost(Loss::EndOfStream));
    assert_eq!(scripted.answer(call), Poll::Ready(Err(CallError::Ended(lost))));
}

#[test]
fn a_silent_peer_is_dead_after_two_heartbeat_intervals() {
    let mut scripted = Scripted::open();
    let mut sent = Vec::new();
    while scripted.ended().is_none() {
        scripted.now = scripted.connection.poll_timeout().expect("a heartbeat is due");
        scripted.connection.handle_timeout(scripted.now);
        sent.push(scripted.sent_bytes().len());
    }
    assert_eq!(scripted.now, Time::ZERO + 120 * SECOND);
    assert_eq!(scripted.ended(), Some(Arc::new(Cause::Lost(Loss::Heartbeat(60 * SECOND)))));
    // In between it is noticed that the peer is late.
    assert_eq!(sent[..4], [8, 8, 0, 8], "heartbeats go out at half the interval");
}

#[test]
fn a_channel_that_was_opened_for_nobody_is_closed_again() {
    let mut scripted = Scripted::open();
    let call = scripted.connection.open_channel(scripted.now, SECOND).unwrap();
    scripted.connection.abandon_call(scripted.now, call);
    scripted.receive(1, &method::channel::OpenOk {});
    assert_eq!(scripted.sent(), ["channel.open", "channel.close"]);
    scripted.receive(1, &method::channel::CloseOk {});
    assert_eq!(scripted.ended(), None);
}

fn publishing() -> (Scripted, ChannelKey) {
    let (mut scripted, key) = Scripted::with_channel();
    scripted.request(key, Request::ConfirmSelect);
    scripted.receive(1, &method::confirm::SelectOk {});
    let accepted = publish(&mut scripted, key);
    assert_eq!(accepted, Ok(Accepted::Yes { tag: 1 }));
    scripted.sent();
    (scripted, key)
}

fn publish(scripted: &mut Scripted, key: ChannelKey) -> Result<Accepted, CallError> {
    let outgoing = message(&[]);
    scripted.connection.publish(key, &outgoing, || Time::ZERO, &mut || None)
}

#[test]
fn closing_waits_for_the_outcome_of_publishes() {
    let (mut scripted, key) = publishing();
    let call = scripted.connection.close(scripted.now);
    assert!(scripted.sent().is_empty(), "a confirm is outstanding");
    assert!(publish(&mut scripted, key).is_err(), "nothing new is taken");
    scripted.receive(1, &method::basic::Ack { delivery_tag: 1, multiple: false });
    assert_eq!(scripted.sent(), ["connection.close"]);
    scripted.receive(0, &method::connection::CloseOk {});
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Confirmed)
    );
}

#[test]
fn closing_does_not_wait_for_ever() {
    let (mut scripted, key) = publishing();
    let call = scripted.connection.close(scripted.now);
    while scripted.answer(call).is_pending() {
        scripted.now = scripted.connection.poll_timeout().expect("closing has deadlines");
        scripted.connection.handle_timeout(scripted.now);
    }
    assert!(matches!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Unknown(_))
    ));
}

#[test]
fn a_connection_that_is_lost_while_closing_is_closed() {
    let (mut scripted, key) = publishing();
    let call = scripted.connection.close(scripted.now);
    scripted.connection.handle_lost(scripted.now, Loss::EndOfStream);
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    assert!(matches!(
        scripted.connection.poll_confirm(key, 1, || waiter(1)),
        Poll::Ready(Outcome::Unknown(_))
    ));
}

#[test]
fn nothing_follows_a_close_on_its_channel() {
    let (mut scripted, key) = Scripted::with_channel();
    let consuming = scripted.request(key, Request::Consume(consume()));
    let tag = consumer_tag(1);
    scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
    let Poll::Ready(Ok(Reply::Consuming(consumer))) = scripted.answer(consuming) else { panic!() };
    scripted.deliver(1, 1, b"x");
    scripted.sent();
    let close = scripted.request(key, Request::CloseChannel);
    scripted.connection.abandon_call(scripted.now, close);
    let refused = scripted.connection.request(scripted.now, key, bind(), SECOND);
    assert_eq!(refused, Err(CallError::Ended(Arc::new(Cause::ByUs))));
    let settled = scripted.connection.settle(key, 1, 1, Settlement::Ack);
    assert_eq!(settled, Err(SettleError::Ended(Arc::new(Cause::ByUs))));
    scripted.connection.drop_consumer(scripted.now, consumer, Default::default());
    scripted.connection.release_channel(scripted.now, key);
    assert_eq!(scripted.sent(), ["channel.close"]);
    scripted.receive(1, &method::channel::CloseOk {});
    assert_eq!(scripted.ended(), None);
}

#[test]
fn a_new_secret_is_told_to_the_broker() {
    let mut scripted = Scripted::open();
    let secret = Secret(Bytes::from_static(b"token 2"));
    let call = scripted.connection.update_secret(scripted.now, &secret, SECOND);
    assert_eq!(scripted.sent(), ["connection.update-secret"]);
    scripted.receive(0, &method::connection::UpdateSecretOk {});
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn a_channel_that_both_sides_closed_at_once_and_nobody_holds_awaits_its_answer() {
    let (mut scripted, key) = Scripted::with_channel();
    let call = scripted.request(key, Request::CloseChannel);
    scripted.receive(1, &not_found());
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
    scripted.connection.release_channel(scripted.now, key);
    scripted.receive(1, &method::channel::CloseOk {});
    assert_eq!(scripted.connection.last_cause(), None, "nothing was wrong");
    assert_eq!(scripted.sent(), ["channel.close", "channel.close-ok"]);
}

/// Found by fuzzing: RabbitMQ closes the connection for a frame on a channel that is closed.
#[test]
fn what_the_broker_asks_of_a_closing_channel_is_not_answered() {
    let (mut scripted, key) = Scripted::with_channel();
    scripted.request(key, Request::CloseChannel);
    scripted.receive(1, &method::channel::Flow { active: false });
    let consumer_tag = consumer_tag(1);
    let cancel = method::basic::Cancel { consumer_tag: consumer_tag.as_short(), no_wait: false };
    scripted.receive(1, &cancel);
    assert_eq!(scripted.sent(), ["channel.close"]);
    scripted.receive(1, &method::channel::CloseOk {});
    assert_eq!(scripted.ended(), None);
}

#[test]
fn a_late_sign_of_life_degrades_before_it_kills() {
    use crate::fsm::supervisor::{Reasons, State};
    let mut hasty = settings();
    hasty.heartbeat = 8 * SECOND;
    let mut scripted = Scripted::open_with(hasty);
    let seconds = |seconds| Time::from_secs(seconds);
    let state = |scripted: &Scripted| scripted.connection.supervisor().state();
    for _ in 0..2 {
        let heard = scripted.now;
        let pass = |scripted: &mut Scripted, until: Time| {
            while scripted.connection.poll_timeout().is_some_and(|due| due <= until) {
                scripted.now = scripted.connection.poll_timeout().unwrap();
                scripted.connection.handle_timeout(scripted.now);
                scripted.sent_bytes();
            }
            scripted.now = until;
        };
        let late = heard + seconds(10).saturating_since(Time::ZERO);
        pass(&mut scripted, heard + 9 * SECOND);
        assert_eq!(state(&scripted), State::Connected);
        pass(&mut scripted, late);
        assert_eq!(state(&scripted), State::Degraded);
        assert_eq!(scripted.connection.supervisor().reasons(), Reasons::LATE);
        let mut heartbeat = BytesMut::new();
        encode::heartbeat(&mut heartbeat);
        scripted.receive_bytes(heartbeat.freeze());
        assert_eq!(state(&scripted), State::Connected);
    }
}
