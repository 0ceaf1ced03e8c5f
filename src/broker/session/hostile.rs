//! Octets that no client should send: none of them ends in a panic, and none makes the session
//! hold more than has arrived.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{Outgoing, Phase, Session, Terms};
use crate::{
    broker::core::{ConnId, Core, Limits, User},
    fsm::Time,
    wire::{
        METHODS, PROTOCOL_HEADER, RawTable, ShortStr, encode,
        method::{basic, channel, confirm, connection, exchange, queue, tx},
    },
};

/// A core with one user, and a session that has just been accepted.
fn scene() -> (Core, Session) {
    let mut core = Core::new(Limits::default(), 0, 7);
    core.add_user(
        "guest",
        User { password: b"guest".to_vec(), permissions: crate::broker::Permissions::all() },
    );
    let terms = Terms {
        channel_max: 10,
        frame_max: 16_384,
        heartbeat: 0,
        loopback_users: Vec::new(),
        handshake: Duration::from_secs(10),
    };
    let session = Session::new(ConnId(1), Arc::new(terms), true, Time::ZERO);
    (core, session)
}

fn short(text: &str) -> ShortStr<'_> {
    ShortStr::new(text).unwrap()
}

/// What an honest client says, from the header to a settled delivery.
fn conversation() -> Vec<u8> {
    let mut out = BytesMut::from(&PROTOCOL_HEADER[..]);
    let start_ok = connection::StartOk {
        client_properties: RawTable::EMPTY,
        mechanism: short("PLAIN"),
        response: b"\0guest\0guest",
        locale: short("en_US"),
    };
    encode::method(&mut out, 0, &start_ok);
    encode::method(
        &mut out,
        0,
        &connection::TuneOk { channel_max: 10, frame_max: 16_384, heartbeat: 0 },
    );
    encode::method(&mut out, 0, &connection::Open { virtual_host: short("/") });
    encode::method(&mut out, 1, &channel::Open {});
    let declare = exchange::Declare {
        exchange: short("x"),
        kind: short("topic"),
        passive: false,
        durable: true,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    encode::method(&mut out, 1, &declare);
    let declare = queue::Declare {
        queue: short("q"),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::new(b"\x05x-ttlI\0\0\0\x05"),
    };
    encode::method(&mut out, 1, &declare);
    let bind = queue::Bind {
        queue: short("q"),
        exchange: short("x"),
        routing_key: short("a.#"),
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    encode::method(&mut out, 1, &bind);
    encode::method(&mut out, 1, &confirm::Select { no_wait: false });
    let publish = basic::Publish {
        exchange: short("x"),
        routing_key: short("a.b"),
        mandatory: true,
        immediate: false,
    };
    for size in [0, 5, 40] {
        encode::message(&mut out, 1, &publish, &[0x10, 0, 2], &vec![1; size], 4096);
    }
    let consume = basic::Consume {
        queue: short("q"),
        consumer_tag: short("c"),
        no_local: false,
        no_ack: false,
        exclusive: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    encode::method(&mut out, 1, &consume);
    encode::method(&mut out, 1, &basic::Ack { delivery_tag: 2, multiple: true });
    encode::method(&mut out, 1, &basic::Get { queue: short("q"), no_ack: false });
    encode::method(&mut out, 2, &channel::Open {});
    encode::method(&mut out, 2, &tx::Select {});
    out.to_vec()
}

/// Presents octets as a socket would, in blocks of at most `step`, and drains what is said.
fn play(octets: &[u8], step: usize) -> (Core, Session, usize) {
    let (mut core, mut session) = scene();
    let mut kept = Vec::new();
    let mut said = Outgoing::default();
    let mut outputs = Vec::new();
    for block in octets.chunks(step.max(1)) {
        kept.extend_from_slice(block);
        let presented = Bytes::from(kept.clone());
        let done = session.receive(&mut core, &presented, Time::ZERO);
        kept.drain(..done);
        assert!(kept.len() <= 16_384 + 16, "{} octets are held back", kept.len());
        core.take_outputs(ConnId(1), &mut outputs);
        session.speak(&mut outputs, &mut said, Time::ZERO);
        core.sent(ConnId(1), Time::ZERO);
    }
    let said = said.len();
    (core, session, said)
}

#[test]
fn the_conversation_itself_is_welcome() {
    let octets = conversation();
    for step in [1, 7, 64, octets.len()] {
        let (core, session, said) = play(&octets, step);
        assert_eq!(session.phase, Phase::Open, "in blocks of {step}");
        assert!(core.is_open(ConnId(1)));
        assert!(said > 500, "{said} octets are little");
    }
}

#[test]
fn no_octet_makes_it_panic() {
    let honest = conversation();
    let mut random = 1_u64;
    let mut roll = |sides: usize| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % sides
    };
    let mut survived = 0;
    for _ in 0..20_000 {
        let mut octets = honest.clone();
        for _ in 0..1 + roll(4) {
            let at = roll(octets.len());
            match roll(4) {
                0 => octets[at] = roll(256) as u8,
                1 => octets[at] ^= 1 << roll(8),
                2 => {
                    octets.remove(at);
                }
                _ => {
                    let copy = octets[at..octets.len().min(at + roll(60))].to_vec();
                    octets.splice(at..at, copy);
                }
            }
        }
        let (_, session, said) = play(&octets, 1 + roll(300));
        survived += usize::from(session.phase == Phase::Open);
        assert!(said < 100_000, "{said} octets for {}", octets.len());
    }
    assert!(survived > 100, "only {survived} of the mutants are still a conversation");
}

/// Every method of the protocol, also those that only a broker sends, with arguments of zeros.
#[test]
fn every_method_is_answered_or_refused() {
    for spec in METHODS {
        for length in [0, 1, 4, 12, 40] {
            for channel in [0_u16, 1, 9] {
                let mut octets = conversation();
                let size = 4 + length as u32;
                octets.push(1);
                octets.extend_from_slice(&channel.to_be_bytes());
                octets.extend_from_slice(&size.to_be_bytes());
                octets.extend_from_slice(&spec.id.class.to_be_bytes());
                octets.extend_from_slice(&spec.id.method.to_be_bytes());
                octets.extend(std::iter::repeat_n(0, length));
                octets.push(0xCE);
                play(&octets, 4096);
            }
        }
    }
}

#[test]
fn memory_follows_what_arrived() {
    let mut octets = conversation();
    let publish = basic::Publish {
        exchange: short(""),
        routing_key: short("q"),
        mandatory: false,
        immediate: false,
    };
    let mut out = BytesMut::new();
    for channel in 3..=10 {
        encode::method(&mut out, channel, &channel::Open {});
        encode::method(&mut out, channel, &publish);
        // As large as is allowed, and then nothing of it.
        encode::content_header(&mut out, channel, 16 * 1024 * 1024, &[0, 0]);
    }
    octets.extend_from_slice(&out);
    // Empty body frames without end.
    for _ in 0..10_000 {
        octets.extend_from_slice(&[3, 0, 5, 0, 0, 0, 0, 0xCE]);
    }
    let (core, session, _) = play(&octets, 4096);
    assert_eq!(session.phase, Phase::Open);
    assert!(core.stored() < 10_000);
    assert!(session.assemblies.len() == 8);
}

/// Found by fuzzing: octet by octet, five of the six were published before the sixth arrived.
#[test]
fn a_body_longer_than_announced_is_not_published_however_it_arrives() {
    let mut out = BytesMut::from(&conversation()[..]);
    let publish = basic::Publish { routing_key: short("q"), ..Default::default() };
    encode::method(&mut out, 1, &publish);
    encode::content_header(&mut out, 1, 5, &[0, 0]);
    let before = play(&out, out.len()).0.stored();
    encode::body(&mut out, 1, b"123456", 4096);
    for step in [1, 2, 3, out.len()] {
        let (core, session, _) = play(&out, step);
        assert_eq!(session.phase, Phase::Closing, "in blocks of {step}");
        assert_eq!(core.stored(), before, "in blocks of {step}");
    }
}
