//! Peers that go wrong before the connection is open: connecting fails with what was found, within its one deadline.

use hopmq::{
    Blame, Conn, Error,
    proto::{Loss, Violation},
    wire::{FrameError, MethodError, method},
};

use crate::{
    memory::Bounded,
    peer::{Peer, WATCHDOG, frame, method_frame, peer},
};

/// Connects to a peer that says this at once, and then keeps silent.
async fn greeted_with(greeting: impl AsRef<[u8]> + Send + Sync + 'static) -> Error {
    refused(async move |mut peer: Peer| {
        peer.send(greeting).await;
        peer.drain().await;
    })
    .await
}

/// How connecting to such a peer ends.
async fn refused<F: Future<Output = ()> + Send>(
    script: impl FnOnce(Peer) -> F + Send + 'static,
) -> Error {
    let _memory = Bounded::by_two_frames();
    let (config, serving) = peer(script).await;
    let connecting = tokio::time::timeout(WATCHDOG, Conn::new(config).connect());
    let failed = connecting.await.expect("it ends").expect_err("it is no broker");
    let (error, conn) = failed.into_parts();
    drop(conn);
    // The client has hung up, so the peer ends too: nothing is left behind.
    tokio::time::timeout(WATCHDOG, serving).await.expect("the client hangs up").expect("no panic");
    error
}

fn violation(error: Error) -> Violation {
    assert_eq!(error.blame(), Blame::Peer, "{error:?}");
    assert!(!error.is_transient());
    let Error::Peer(violation) = error else { panic!("{error:?}") };
    violation
}

#[tokio::test]
async fn http() {
    let error = greeted_with(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    let found = violation(error);
    assert!(matches!(found, Violation::Frame(FrameError::NotAmqp { .. })), "{found:?}");
}

#[tokio::test]
async fn a_tls_alert() {
    let found = violation(greeted_with([21, 3, 1, 0, 2, 2, 80]).await);
    assert!(matches!(found, Violation::Frame(FrameError::NotAmqp { .. })), "{found:?}");
}

#[tokio::test]
async fn another_version_of_amqp() {
    let found = violation(greeted_with(b"AMQP\x00\x01\x00\x00").await);
    assert!(matches!(found, Violation::Frame(FrameError::ProtocolHeader(_))), "{found:?}");
}

#[tokio::test]
async fn garbage() {
    for seed in 1..20_u64 {
        let mut random = seed;
        let bytes: Vec<u8> = (0..512)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as u8
            })
            .collect();
        let error = greeted_with(bytes).await;
        // Garbage may look like the start of a long frame; then the deadline ends it.
        let network = matches!(error, Error::Network { loss: Loss::HandshakeTimeout(_), .. });
        assert!(network || matches!(error, Error::Peer(_)), "{seed}: {error:?}");
    }
}

#[tokio::test]
async fn silence() {
    let error = greeted_with([]).await;
    let timeout = matches!(error, Error::Network { loss: Loss::HandshakeTimeout(_), .. });
    assert!(timeout, "{error:?}");
    assert_eq!(error.blame(), Blame::Network);
}

/// What drips in keeps nobody longer than silence does.
#[tokio::test]
async fn a_greeting_that_drips_in() {
    let error = refused(async |mut peer: Peer| {
        // Of a connection.start of 4,000 octets, one every now and then: for far longer than the deadline.
        let mut bytes = vec![1, 0, 0, 0, 0, 0x0f, 0xa0, 0, 10, 0, 10, 0, 9];
        bytes.resize(100, 0);
        for byte in bytes {
            peer.send([byte]).await;
            tokio::time::sleep(crate::peer::SHORT / 10).await;
        }
    })
    .await;
    let timeout = matches!(error, Error::Network { loss: Loss::HandshakeTimeout(_), .. });
    assert!(timeout, "{error:?}");
}

#[tokio::test]
async fn heartbeats_and_nothing_else() {
    let error = greeted_with(frame(8, 0, &[]).repeat(5)).await;
    let timeout = matches!(error, Error::Network { loss: Loss::HandshakeTimeout(_), .. });
    assert!(timeout || matches!(error, Error::Peer(_)), "{error:?}");
}

#[tokio::test]
async fn hanging_up_at_once() {
    let error = refused(async |_| {}).await;
    assert_eq!(error.blame(), Blame::Network, "{error:?}");
}

#[tokio::test]
async fn hanging_up_in_the_middle_of_a_frame() {
    let error =
        refused(async |mut peer: Peer| peer.send(&frame(1, 0, &[0; 100])[..50]).await).await;
    assert_eq!(error.blame(), Blame::Network, "{error:?}");
}

/// Refused from its header, before a single octet of it arrives.
#[tokio::test]
async fn a_frame_of_4_gib() {
    let found = violation(greeted_with([1, 0, 0, 0xff, 0xff, 0xff, 0xff]).await);
    let Violation::Frame(FrameError::TooLarge { size, .. }) = found else { panic!("{found:?}") };
    assert!(size >= u64::from(u32::MAX));
}

#[tokio::test]
async fn a_frame_without_its_end() {
    let mut bytes = frame(1, 0, &[0, 10, 0, 10, 0]);
    *bytes.last_mut().expect("an end") = 0;
    let found = violation(greeted_with(bytes).await);
    assert!(matches!(found, Violation::Frame(FrameError::BadEnd { .. })), "{found:?}");
}

#[tokio::test]
async fn an_unknown_method() {
    let found = violation(greeted_with(frame(1, 0, &[0, 99, 0, 99])).await);
    assert!(matches!(found, Violation::Method(MethodError::Unknown(_))), "{found:?}");
}

#[tokio::test]
async fn a_method_too_short_to_have_a_number() {
    let found = violation(greeted_with(frame(1, 0, &[0, 10])).await);
    assert!(matches!(found, Violation::Method(MethodError::NoId { .. })), "{found:?}");
}

/// connection.start whose table, or whose list of mechanisms, claims to be longer than the frame.
#[tokio::test]
async fn lying_lengths() {
    for length in [0xff_u8, 0x7f, 0x01] {
        let table = [0, 10, 0, 10, 0, 9, length, 0xff, 0xff, 0xff];
        let mechanisms = [0, 10, 0, 10, 0, 9, 0, 0, 0, 0, length, 0xff, 0xff, 0xff];
        for payload in [&table[..], &mechanisms[..]] {
            let found = violation(greeted_with(frame(1, 0, payload)).await);
            let truncated = matches!(found, Violation::Method(MethodError::Truncated { .. }));
            assert!(truncated, "{found:?}");
        }
    }
}

#[tokio::test]
async fn methods_out_of_turn() {
    let tune = method::connection::Tune { channel_max: 0, frame_max: 0, heartbeat: 0 };
    for bytes in [
        method_frame(0, &tune),
        method_frame(0, &method::connection::OpenOk {}),
        method_frame(0, &method::connection::CloseOk {}),
        method_frame(0, &method::channel::OpenOk {}),
        method_frame(0, &method::queue::BindOk {}),
    ] {
        let found = violation(greeted_with(bytes).await);
        assert!(matches!(found, Violation::UnexpectedMethod { .. }), "{found:?}");
    }
}

#[tokio::test]
async fn content_before_anything_else() {
    for kind in [2, 3] {
        violation(greeted_with(frame(kind, 0, &[0; 14])).await);
        violation(greeted_with(frame(kind, 1, &[0; 14])).await);
    }
}

#[tokio::test]
async fn a_frame_max_below_the_least() {
    let error = refused(async |mut peer: Peer| {
        peer.start().await;
        peer.expect("connection.start-ok").await;
        let tune = method::connection::Tune { channel_max: 0, frame_max: 16, heartbeat: 0 };
        peer.send_method(0, &tune).await;
        peer.drain().await;
    })
    .await;
    assert_eq!(violation(error), Violation::FrameMaxTooSmall(16));
}

/// Legal: it means no limit, which is then our own.
#[tokio::test]
async fn a_frame_max_of_zero() {
    let _memory = Bounded::by_two_frames();
    let (config, _) = peer(async |mut peer: Peer| {
        peer.shake_hands(0).await;
        peer.send([1, 0, 0, 0xff, 0xff, 0xff, 0xff]).await;
        peer.drain().await;
    })
    .await;
    let conn = Conn::new(config.connection_timeout(WATCHDOG)).connect().await.expect("it is legal");
    crate::peer::ends_as_violation(&conn, "exceeds frame_max").await;
}

#[tokio::test]
async fn no_mechanism_in_common() {
    let error = refused(async |mut peer: Peer| {
        let start = method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: hopmq::wire::RawTable::EMPTY,
            mechanisms: b"GSSAPI CRAM-MD5",
            locales: b"en_US",
        };
        peer.send_method(0, &start).await;
        peer.drain().await;
    })
    .await;
    let found = violation(error);
    assert!(matches!(found, Violation::NoMechanism { .. }), "{found:?}");
}

/// Each mechanism sends its own name and response, in the order of preference that the caller gave.
#[tokio::test]
async fn what_is_offered_is_used_in_the_order_preferred() {
    use hopmq::{Credentials, Mechanism};
    for (allowed, name, response) in [
        (vec![Mechanism::Anonymous, Mechanism::Plain], "ANONYMOUS", &b""[..]),
        (vec![Mechanism::External], "EXTERNAL", b""),
        (vec![Mechanism::Plain, Mechanism::Anonymous], "PLAIN", b"\0me\0hunter2"),
        (
            vec![Mechanism::Amqplain],
            "AMQPLAIN",
            b"\x05LOGINS\0\0\0\x02me\x08PASSWORDS\0\0\0\x07hunter2",
        ),
    ] {
        let (chosen, is_chosen) = tokio::sync::oneshot::channel();
        let (config, _) = peer(async move |mut peer: Peer| {
            let start = method::connection::Start {
                version_major: 0,
                version_minor: 9,
                server_properties: hopmq::wire::RawTable::EMPTY,
                mechanisms: b"PLAIN AMQPLAIN EXTERNAL ANONYMOUS",
                locales: b"en_US",
            };
            peer.send_method(0, &start).await;
            let _ = chosen.send(peer.start_ok().await);
        })
        .await;
        let config = config.mechanisms(allowed).credentials(Credentials::new("me", "hunter2"));
        let failed = Conn::new(config.connection_timeout(WATCHDOG)).connect().await;
        let failed = failed.expect_err("the peer hangs up");
        assert!(!format!("{failed:?} {failed}").contains("hunter2"));
        assert_eq!(is_chosen.await.expect("told"), (name.to_owned(), response.to_vec()));
    }
}

/// An older broker says no to credentials by hanging up.
#[tokio::test]
async fn hanging_up_during_authentication() {
    let error = refused(async |mut peer: Peer| {
        peer.start().await;
        peer.expect("connection.start-ok").await;
    })
    .await;
    let Error::Network { loss, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*loss, Loss::DuringAuthentication);
    assert!(!error.is_transient());
}

#[tokio::test]
async fn silence_in_each_step() {
    for steps in 1..4 {
        let error = refused(async move |mut peer: Peer| {
            peer.start().await;
            peer.expect("connection.start-ok").await;
            if steps > 1 {
                let tune = method::connection::Tune { channel_max: 0, frame_max: 0, heartbeat: 0 };
                peer.send_method(0, &tune).await;
            }
            if steps > 2 {
                peer.expect("connection.open").await;
            }
            peer.drain().await;
        })
        .await;
        let timeout = matches!(error, Error::Network { loss: Loss::HandshakeTimeout(_), .. });
        assert!(timeout, "{steps}: {error:?}");
    }
}
