//! From connection.start to connection.open, and heartbeats.

use super::prelude::*;
use method::connection;

fn tune_ok(channel_max: u16, frame_max: u32) -> connection::TuneOk {
    connection::TuneOk { channel_max, frame_max, heartbeat: 0 }
}

const GUEST: &[u8] = b"\0guest\0guest";

/// RabbitMQ lets those wait who did something wrong before they were let in.
const PENANCE: Duration = Duration::from_millis(4_500);

pub(super) fn all() -> Vec<Script> {
    vec![
        script!("wrong-password", |s| {
            s.greet("PLAIN", b"\0guest\0wrong").await;
        }),
        script!("unknown-user", |s| {
            s.greet("PLAIN", b"\0nobody\0guest").await;
        }),
        script!("unknown-mechanism", |s| {
            s.greet("SECRET", b"x").await;
            s.wait(PENANCE).await;
        }),
        script!("amqplain", |s| {
            let login = table([("LOGIN", text("guest")), ("PASSWORD", text("guest"))]).encode();
            s.greet("AMQPLAIN", &login).await;
        }),
        script!("amqplain-without-password", in silence, |s| {
            s.greet("AMQPLAIN", &table([("LOGIN", text("guest"))]).encode()).await;
            s.wait(PENANCE).await;
        }),
        script!("frame-max-too-low", in silence, |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2047, 100)).await;
            s.wait(PENANCE).await;
        }),
        script!("frame-max-too-high", in silence, |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2047, 200_000)).await;
            s.wait(PENANCE).await;
        }),
        script!("frame-max-without-limit", in silence, |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2047, 0)).await;
            s.wait(PENANCE).await;
        }),
        script!("channel-max-too-high", in silence, |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2048, 131_072)).await;
            s.wait(PENANCE).await;
        }),
        script!("open-before-tune-ok", in silence, |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &connection::Open { virtual_host: short("/") }).await;
            s.wait(PENANCE).await;
        }),
        script!("unknown-virtual-host", |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2047, 131_072)).await;
            s.send(0, &connection::Open { virtual_host: short("hopmq.none") }).await;
            s.wait(PENANCE).await;
        }),
        script!("channel-before-open", |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(2047, 131_072)).await;
            s.send(1, &method::channel::Open {}).await;
            s.wait(PENANCE).await;
        }),
        script!("channel-over-the-negotiated", |s| {
            s.greet("PLAIN", GUEST).await;
            s.send(0, &tune_ok(3, 131_072)).await;
            s.send(0, &connection::Open { virtual_host: short("/") }).await;
            for number in 1..=4 {
                s.open(number).await;
            }
        }),
        script!("a-silent-client-is-dropped", |s| {
            s.ask_for_heartbeats(1);
            s.queue("", none()).await;
            s.wait(Duration::from_secs(6)).await;
            s.ask_for_heartbeats(0);
            s.delete("").await;
        }),
        script!("new-secret", |s| {
            let secret = connection::UpdateSecret { new_secret: b"guest", reason: short("due") };
            s.send(0, &secret).await;
            s.queue("", none()).await;
            s.delete("").await;
        }),
    ]
}
