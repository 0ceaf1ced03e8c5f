//! Settings with small bounds, so that they are met.

use std::time::Duration;

use bytes::Bytes;
use hopmq::{
    fsm::supervisor::{Backoff, Policy},
    proto::{Limits, Mechanism, Secret, Settings},
    wire::ShortString,
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn settings(mode: u8, unbounded_consumers: bool) -> Settings {
    let has = |bit: u8| mode & 1 << bit != 0;
    let (consumer_bytes, consumer_messages) = match unbounded_consumers {
        true => (usize::MAX, usize::MAX),
        false => (512, 4),
    };
    let (inbound_bytes, inbound_messages) = match unbounded_consumers {
        true => (usize::MAX, usize::MAX),
        false => (800, 6),
    };
    Settings {
        virtual_host: name("/"),
        client_properties: Bytes::new(),
        channel_max: if has(2) { 2 } else { 0 },
        frame_max: if has(3) { 4096 } else { 0 },
        heartbeat: if has(4) { 10 * SECOND } else { Duration::ZERO },
        confirm_timeout: 5 * SECOND,
        limits: Limits {
            body_bytes: 256,
            header_bytes: 300,
            consumer_bytes,
            consumer_messages,
            inbound_bytes,
            inbound_messages,
            overrun_after: 3 * SECOND,
            outbound_bytes: 1024,
            window_messages: 3,
            window_bytes: 256,
            returns: 2,
            returned_bytes: 400,
            idle_frames: 10,
        },
        policy: Policy {
            first_connect_retries: has(5),
            reconnect: has(6),
            recover: has(7),
            backoff: Backoff::fixed(SECOND),
            max_attempts: Some(5),
            ..Policy::default()
        },
    }
}

pub(super) fn plain() -> Vec<Mechanism> {
    let response = Secret(Bytes::from_static(b"\0guest\0guest"));
    vec![Mechanism { name: name("PLAIN"), response }]
}

pub(super) fn name(text: &str) -> ShortString {
    ShortString::new(text).expect("a short name")
}
