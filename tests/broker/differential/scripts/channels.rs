//! Channels, modes, publishing, and frames out of order.

use super::prelude::*;
use method::{basic, channel, confirm, connection, tx};

fn publish_octets(exchange: &str, key: &str) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    let publish = basic::Publish {
        exchange: short(exchange),
        routing_key: short(key),
        mandatory: false,
        immediate: false,
    };
    hopmq::wire::encode::method(&mut out, 1, &publish);
    out.to_vec()
}

pub(super) fn all() -> Vec<Script> {
    let mut all = modes();
    all.extend(publishing());
    all.extend(frames());
    all
}

fn modes() -> Vec<Script> {
    vec![
        script!("modes", |s| {
            s.send(1, &tx::Commit {}).await;
            s.send(1, &tx::Rollback {}).await;
            s.send(1, &confirm::Select { no_wait: false }).await;
            s.send(1, &confirm::Select { no_wait: false }).await;
            s.send(1, &tx::Select {}).await;
            s.send(1, &tx::Select {}).await;
            s.send(1, &tx::Select {}).await;
            s.send(1, &confirm::Select { no_wait: false }).await;
            s.send(1, &confirm::Select { no_wait: true }).await;
        }),
        script!("confirms", |s| {
            s.queue("", none()).await;
            s.send(1, &confirm::Select { no_wait: false }).await;
            s.publish("", &s.own(""), "one").await;
            s.publish_with("", "nowhere", true, Properties::default(), "returned").await;
            s.publish_with("", "nowhere", false, Properties::default(), "dropped").await;
            s.publish("hopmq.none", "", "no exchange").await;
            s.publish("", &s.own(""), "not confirming any more").await;
            s.delete("").await;
        }),
        script!("transactions", |s| {
            s.queue("", none()).await;
            let name = s.own("");
            s.send(1, &tx::Select {}).await;
            s.publish("", &name, "one").await;
            s.publish_with("", "nowhere", true, Properties::default(), "unroutable").await;
            s.count("").await;
            s.send(1, &tx::Commit {}).await;
            s.count("").await;
            s.publish("", &name, "never").await;
            s.send(1, &tx::Rollback {}).await;
            s.send(1, &tx::Commit {}).await;
            s.count("").await;
            s.get("", false).await;
            s.ack(1, false).await;
            s.send(1, &tx::Rollback {}).await;
            s.count("").await;
            s.ack(1, false).await;
            s.ack(1, false).await;
            s.count("").await;
            s.publish("", &name, "two").await;
            s.get("", false).await;
            s.nack(1, false, true).await;
            s.get("", false).await;
            s.delete("").await;
        }),
        script!("transaction-acks", |s| {
            s.queue("", none()).await;
            for body in ["one", "two", "three"] {
                s.publish("", &s.own(""), body).await;
            }
            s.send(1, &tx::Select {}).await;
            for _ in 0..3 {
                s.get("", false).await;
            }
            s.ack(1, false).await;
            s.nack(2, false, true).await;
            s.send(1, &basic::Reject { delivery_tag: 3, requeue: false }).await;
            s.count("").await;
            s.send(1, &tx::Commit {}).await;
            s.get("", true).await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("close-and-open", |s| {
            s.open(2).await;
            s.open(2).await;
            s.open(2).await;
            let close = channel::Close {
                reply_code: 200,
                reply_text: short("bye"),
                class_id: 0,
                method_id: 0,
            };
            s.send(2, &close).await;
            s.send(2, &close).await;
            let close = connection::Close {
                reply_code: 200,
                reply_text: short("bye"),
                class_id: 0,
                method_id: 0,
            };
            s.send(0, &close).await;
        }),
        script!("flow", |s| {
            s.send(1, &channel::Flow { active: true }).await;
            s.send(1, &channel::Flow { active: false }).await;
        }),
        script!("unopened", |s| {
            s.send(5, &basic::Get { queue: short("q"), no_ack: true }).await;
        }),
        script!("connection-method-on-channel", |s| {
            let close = connection::Close {
                reply_code: 200,
                reply_text: short("bye"),
                class_id: 0,
                method_id: 0,
            };
            s.send(1, &close).await;
        }),
        script!("channel-method-on-connection", |s| {
            s.send(0, &basic::Get { queue: short("q"), no_ack: true }).await;
        }),
        script!("server-method", |s| {
            s.send(1, &basic::GetEmpty {}).await;
        }),
        script!("second-tune", |s| {
            s.send(0, &connection::TuneOk { channel_max: 1, frame_max: 8192, heartbeat: 0 }).await;
        }),
    ]
}

fn publishing() -> Vec<Script> {
    vec![
        script!("immediate", |s| {
            let publish = basic::Publish {
                exchange: short(""),
                routing_key: short("x"),
                mandatory: false,
                immediate: true,
            };
            let mut out = bytes::BytesMut::new();
            hopmq::wire::encode::message(&mut out, 1, &publish, &[0, 0], b"x", 4096);
            s.frames(&out).await;
        }),
        script!("properties", |s| {
            s.queue("", none()).await;
            let properties = Properties {
                content_type: ShortString::new("text/plain").ok(),
                content_encoding: ShortString::new("utf-8").ok(),
                headers: Some(
                    table([("a", 1i32.into()), ("b", Value::Array(vec![text("x")]))]).into(),
                ),
                delivery_mode: Some(2),
                priority: Some(3),
                correlation_id: ShortString::new("c").ok(),
                reply_to: ShortString::new("r").ok(),
                expiration: ShortString::new("60000").ok(),
                message_id: ShortString::new("m").ok(),
                timestamp: Some(1),
                kind: ShortString::new("t").ok(),
                user_id: ShortString::new("guest").ok(),
                app_id: ShortString::new("app").ok(),
                cluster_id: ShortString::new("cl").ok(),
            };
            s.publish_with("", &s.own(""), false, properties, "all of them").await;
            s.get("", true).await;
            s.publish("", &s.own(""), "").await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("user-id", |s| {
            let properties =
                Properties { user_id: ShortString::new("somebody").ok(), ..Properties::default() };
            s.publish_with("", "nowhere", false, properties, "").await;
        }),
        script!("expirations", |s| {
            for text in ["", "x", "1x", "-1", "1.5", "+5", "315360000001", " 5"] {
                let properties = Properties {
                    expiration: ShortString::new(text.to_owned()).ok(),
                    ..Properties::default()
                };
                s.publish_with("", "nowhere", false, properties, "").await;
            }
        }),
    ]
}

/// Content that is not as it must be (AMQP 0-9-1 section 2.3.5.2).
fn frames() -> Vec<Script> {
    vec![
        script!("frame-too-large", |s| {
            // Only its header, and so much that a reader which waits for all of it says so.
            s.frames(&[1, 0, 1, 0x00, 0x10, 0x00, 0x00]).await;
            s.wait(Duration::from_millis(500)).await;
        }),
        script!("frame-of-an-unknown-type", |s| {
            s.frames(&[9, 0, 1, 0, 0, 0, 1, b'x', 0xCE]).await;
        }),
        script!("frame-without-its-end", |s| {
            s.frames(&[1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 20, 0xCD, 0, 0, 0]).await;
        }),
        script!("unknown-class", in silence, |s| {
            s.frames(&[1, 0, 1, 0, 0, 0, 4, 0, 99, 0, 1, 0xCE]).await;
        }),
        script!("unknown-method", in silence, |s| {
            s.frames(&[1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 99, 0xCE]).await;
        }),
        script!("method-cut-short", |s| {
            s.frames(&[1, 0, 1, 0, 0, 0, 6, 0, 60, 0, 80, 0, 0, 0xCE]).await;
        }),
        script!("body-on-connection", |s| {
            s.frames(&[3, 0, 0, 0, 0, 0, 1, b'x', 0xCE]).await;
        }),
        script!("heartbeat-on-channel", |s| {
            s.frames(&[8, 0, 1, 0, 0, 0, 0, 0xCE]).await;
            s.send(1, &channel::Flow { active: true }).await;
        }),
        script!("body-without-header", |s| {
            let mut octets = publish_octets("", "x");
            octets.extend_from_slice(&[3, 0, 1, 0, 0, 0, 1, b'x', 0xCE]);
            s.frames(&octets).await;
        }),
        script!("method-instead-of-header", |s| {
            let octets = publish_octets("", "x").repeat(2);
            s.frames(&octets).await;
        }),
        script!("header-without-method", |s| {
            let mut out = bytes::BytesMut::new();
            hopmq::wire::encode::content_header(&mut out, 1, 0, &[0, 0]);
            s.frames(&out).await;
        }),
        script!("method-instead-of-body", |s| {
            let mut out = bytes::BytesMut::from(publish_octets("", "x").as_slice());
            hopmq::wire::encode::content_header(&mut out, 1, 10, &[0, 0]);
            hopmq::wire::encode::method(&mut out, 1, &tx::Select {});
            s.frames(&out).await;
        }),
        script!("body-too-long", since(4, 3), |s| {
            let mut out = bytes::BytesMut::from(publish_octets("", "x").as_slice());
            hopmq::wire::encode::content_header(&mut out, 1, 1, &[0, 0]);
            out.extend_from_slice(&[3, 0, 1, 0, 0, 0, 2, b'x', b'y', 0xCE]);
            s.frames(&out).await;
        }),
        script!("header-of-another-class", |s| {
            let mut octets = publish_octets("", "x");
            octets.extend_from_slice(&[
                2, 0, 1, 0, 0, 0, 14, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xCE,
            ]);
            s.frames(&octets).await;
        }),
        script!("body-over-the-protocol's-limit", since(4, 3), |s| {
            let mut out = bytes::BytesMut::from(publish_octets("", "x").as_slice());
            hopmq::wire::encode::content_header(&mut out, 1, u64::MAX / 2, &[0, 0]);
            s.frames(&out).await;
        }),
        script!("heartbeat", |s| {
            s.frames(&[8, 0, 0, 0, 0, 0, 0, 0xCE]).await;
            s.send(1, &channel::Flow { active: true }).await;
        }),
    ]
}
