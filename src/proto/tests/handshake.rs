//! From the protocol header to connection.open-ok.

use super::*;

fn ended(scripted: &mut Scripted, call: CallId) -> Arc<Cause> {
    match scripted.answer(call) {
        Poll::Ready(Err(CallError::Ended(cause))) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_handshake_goes_step_by_step() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted.receive(0, &Scripted::start());
    assert_eq!(scripted.sent(), ["connection.start-ok"]);
    scripted.receive(0, &Scripted::tune());
    assert_eq!(scripted.sent(), ["connection.tune-ok", "connection.open"]);
    assert_eq!(scripted.answer(call), Poll::Pending);
    scripted.receive(0, &method::connection::OpenOk {});
    assert_eq!(scripted.answer(call), Poll::Ready(Ok(Reply::Done)));
}

#[test]
fn negotiation_takes_the_lower_limit_that_is_not_zero() {
    let (mut scripted, _) = Scripted::dialed(settings());
    scripted.receive(0, &Scripted::start());
    let tune = method::connection::Tune { channel_max: 0, frame_max: 8192, heartbeat: 0 };
    scripted.receive(0, &tune);
    scripted.receive(0, &method::connection::OpenOk {});
    let negotiated = scripted.connection.negotiated().unwrap();
    assert_eq!(negotiated.channel_max, 2047);
    assert_eq!(negotiated.frame_max, 8192);
    assert_eq!(negotiated.heartbeat, 60 * SECOND);
}

#[test]
fn no_limit_on_either_side_means_our_own_cap() {
    let mut unlimited = settings();
    (unlimited.frame_max, unlimited.channel_max) = (0, 0);
    unlimited.heartbeat = Duration::ZERO;
    let (mut scripted, _) = Scripted::dialed(unlimited);
    scripted.receive(0, &Scripted::start());
    scripted.receive(0, &method::connection::Tune { channel_max: 0, frame_max: 0, heartbeat: 0 });
    scripted.receive(0, &method::connection::OpenOk {});
    let negotiated = scripted.connection.negotiated().unwrap();
    assert_eq!(negotiated.channel_max, u16::MAX);
    assert_eq!(negotiated.frame_max, FRAME_MAX_CAP);
    assert_eq!(negotiated.heartbeat, Duration::ZERO);
}

#[test]
fn a_frame_max_below_the_protocols_minimum_is_refused() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted.receive(0, &Scripted::start());
    scripted.receive(0, &method::connection::Tune { channel_max: 0, frame_max: 16, heartbeat: 0 });
    let refused = Cause::Violation(Violation::FrameMaxTooSmall(16));
    assert_eq!(*ended(&mut scripted, call), refused);
}

#[test]
fn refused_credentials_are_told_in_the_brokers_words() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted.receive(0, &Scripted::start());
    scripted.receive(
        0,
        &method::connection::Close {
            reply_code: 403,
            reply_text: ShortStr::new("ACCESS_REFUSED - Login was refused").unwrap(),
            class_id: 0,
            method_id: 0,
        },
    );
    let cause = ended(&mut scripted, call);
    let Cause::Exception(exception) = &*cause else { panic!("{cause:?}") };
    assert_eq!((exception.code.0, exception.scope), (403, Scope::Connection));
}

#[test]
fn a_silent_end_during_authentication_means_the_credentials() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted.receive(0, &Scripted::start());
    scripted.connection.handle_lost(scripted.now, Loss::EndOfStream);
    assert_eq!(*ended(&mut scripted, call), Cause::Lost(Loss::DuringAuthentication));
}

#[test]
fn a_broker_without_an_allowed_mechanism_is_refused_with_its_list() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted
        .receive(0, &method::connection::Start { mechanisms: b"EXTERNAL", ..Scripted::start() });
    let offered = Arc::from("EXTERNAL");
    let refused = Cause::Violation(Violation::NoMechanism { offered });
    assert_eq!(*ended(&mut scripted, call), refused);
}

#[test]
fn a_peer_that_says_nothing_is_given_up_at_the_deadline() {
    let (mut scripted, call) = Scripted::dialed(settings());
    scripted.now = scripted.connection.poll_timeout().expect("connecting has a deadline");
    scripted.connection.handle_timeout(scripted.now);
    let cause = ended(&mut scripted, call);
    assert!(matches!(*cause, Cause::Lost(Loss::HandshakeTimeout(_))), "{cause:?}");
    assert_eq!(scripted.connection.poll_action(), Some(Action::Abort));
}

#[test]
fn a_peer_that_is_not_a_broker_is_named_as_that() {
    let (mut scripted, call) = Scripted::dialed(settings());
    let http = Bytes::from_static(b"HTTP/1.1 400 Bad Request\r\n");
    scripted.connection.handle_input(scripted.now, &http);
    let cause = ended(&mut scripted, call);
    assert!(matches!(&*cause, Cause::Violation(Violation::Frame(_))), "{cause:?}");
    assert!(cause.to_string().contains("HTTP"), "{cause}");
}
