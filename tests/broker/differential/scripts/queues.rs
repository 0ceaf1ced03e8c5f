//! Declaring, counting, purging and deleting queues.

use super::prelude::*;
use method::queue;

pub(super) fn all() -> Vec<Script> {
    vec![
        script!("declare-and-delete", |s| {
            s.queue("", none()).await;
            s.queue("", none()).await;
            s.publish("", &s.own(""), "one").await;
            s.publish("", &s.own(""), "two").await;
            s.count("").await;
            let name = s.own("");
            s.send(1, &queue::Purge { queue: short(&name), no_wait: false }).await;
            s.count("").await;
            s.publish("", &name, "three").await;
            for (if_unused, if_empty) in
                [(false, true), (true, false), (true, true), (false, false)]
            {
                s.send(
                    1,
                    &queue::Delete { queue: short(&name), if_unused, if_empty, no_wait: false },
                )
                .await;
            }
            s.count("").await;
        }),
        script!("delete-in-use", |s| {
            s.queue("", none()).await;
            s.consume("", "c", true, none()).await;
            let name = s.own("");
            s.send(
                1,
                &queue::Delete {
                    queue: short(&name),
                    if_unused: true,
                    if_empty: false,
                    no_wait: false,
                },
            )
            .await;
            s.consume("", "c", true, none()).await;
            s.delete("").await;
        }),
        script!("missing", |s| {
            let name = s.own("");
            s.count("").await;
            s.get("", true).await;
            s.consume("", "", true, none()).await;
            s.send(1, &queue::Purge { queue: short(&name), no_wait: false }).await;
            s.bind(&name, "amq.direct", "k", none()).await;
            s.delete("").await;
            s.queue("", none()).await;
            s.bind(&name, "hopmq.none", "k", none()).await;
            s.publish("hopmq.none", "", "").await;
            s.delete("").await;
        }),
        script!("no-last-queue", |s| {
            s.send(1, &method::basic::Get { queue: short(""), no_ack: true }).await;
            s.bind("", "amq.direct", "", none()).await;
            s.send(
                1,
                &queue::Delete {
                    queue: short(""),
                    if_unused: false,
                    if_empty: false,
                    no_wait: false,
                },
            )
            .await;
        }),
        script!("last-queue", |s| {
            s.queue("", none()).await;
            s.bind("", "amq.direct", "", none()).await;
            s.publish("amq.direct", &s.own(""), "by its name").await;
            s.send(1, &method::basic::Get { queue: short(""), no_ack: true }).await;
            s.send(
                1,
                &queue::Delete {
                    queue: short(""),
                    if_unused: false,
                    if_empty: false,
                    no_wait: false,
                },
            )
            .await;
        }),
        script!("server-named", |s| {
            s.declare("", false, true, false, none()).await;
            s.declare("", false, true, false, none()).await;
            s.send(1, &method::basic::Get { queue: short(""), no_ack: true }).await;
        }),
        script!("reserved-names", |s| {
            s.declare("amq.mine", true, false, false, none()).await;
            s.exchange("amq.mine", "direct", none()).await;
            s.exchange("", "direct", none()).await;
            s.delete_exchange("").await;
            s.delete_exchange("amq.direct").await;
            s.bind("amq.mine", "", "k", none()).await;
            s.exchange("amq.direct", "direct", none()).await;
            s.exchange("amq.direct", "topic", none()).await;
        }),
        script!("inequivalent-flags", |s| {
            s.queue("", none()).await;
            let name = s.own("");
            s.declare(&name, true, false, true, none()).await;
            s.declare(&name, false, true, false, none()).await;
            s.declare(&name, true, false, false, table([("x-max-length", 5i32.into())])).await;
            s.declare(&name, true, false, false, table([("x-message-ttl", 5i64.into())])).await;
            s.declare(&name, true, false, false, table([("x-overflow", text("drop-head"))])).await;
            s.declare(&name, true, false, false, table([("unknown", text("x"))])).await;
            s.declare(&name, true, false, false, table([("x-queue-type", text("classic"))])).await;
            s.delete("").await;
        }),
        script!("another-kind", since(4, 0), |s| {
            s.queue("", none()).await;
            s.queue("", quorum([])).await;
            s.delete("").await;
        }),
        script!("inequivalent-arguments", |s| {
            let limits =
                |length: Value| table([("x-max-length", length), ("x-expires", 60_000i32.into())]);
            s.queue("", limits(5i32.into())).await;
            s.queue("", limits(5i64.into())).await;
            s.queue("", limits(6i64.into())).await;
            s.queue("", none()).await;
            s.delete("").await;
        }),
        script!("bad-values", since(4, 3), |s| {
            let bad: &[(&'static str, Value)] = &[
                ("x-expires", 0i32.into()),
                ("x-expires", (-1i32).into()),
                ("x-expires", 400_000_000_000i64.into()),
                ("x-expires", text("1")),
                ("x-message-ttl", (-1i32).into()),
                ("x-message-ttl", true.into()),
                ("x-max-length", (-1i32).into()),
                ("x-max-length", text("x")),
                ("x-max-length-bytes", 1.5f64.into()),
                ("x-max-priority", 256i32.into()),
                ("x-max-priority", (-1i32).into()),
                ("x-overflow", text("burst")),
                ("x-overflow", 1i32.into()),
                ("x-dead-letter-exchange", 1i32.into()),
                ("x-dead-letter-routing-key", text("k")),
                ("x-single-active-consumer", text("true")),
                ("x-queue-type", text("heap")),
                ("x-queue-type", 1i32.into()),
                ("x-queue-version", 1i32.into()),
                ("x-queue-version", 3i32.into()),
                ("x-queue-mode", text("lazy")),
                ("x-queue-leader-locator", text("nearest")),
            ];
            for (name, value) in bad {
                s.queue("", table([(name, value.clone())])).await;
                s.delete("").await;
            }
        }),
        script!("foreign-arguments", since(4, 3), |s| {
            for name in
                ["x-delivery-limit", "x-quorum-initial-group-size", "x-initial-cluster-size"]
            {
                s.queue("", table([(name, 1i32.into())])).await;
            }
            s.queue("", table([("x-max-age", text("1h"))])).await;
            s.queue("", quorum([("x-max-priority", 5i32.into())])).await;
            s.queue("", quorum([("x-queue-mode", text("lazy"))])).await;
            s.queue("", stream().with("x-message-ttl", 5i32).unwrap()).await;
            s.queue("", stream().with("x-dead-letter-exchange", "").unwrap()).await;
            s.queue("", stream().with("x-max-age", "5w").unwrap()).await;
            s.queue("", stream().with("x-max-age", 5i32).unwrap()).await;
        }),
        script!("quorum-properties", since(4, 0), |s| {
            for kind in ["quorum", "stream"] {
                let arguments = || table([("x-queue-type", text(kind))]);
                let name = s.own("");
                s.declare(&name, false, false, false, arguments()).await;
                s.declare(&name, true, true, false, arguments()).await;
                s.declare(&name, true, false, true, arguments()).await;
                s.declare("", true, false, false, arguments()).await;
            }
        }),
        script!("quorum-delete", |s| {
            s.queue("", quorum([])).await;
            let name = s.own("");
            for (if_unused, if_empty) in [(true, false), (false, true), (true, true)] {
                s.send(
                    1,
                    &queue::Delete { queue: short(&name), if_unused, if_empty, no_wait: false },
                )
                .await;
            }
            s.delete("").await;
        }),
        script!("streams", since(4, 3), |s| {
            s.queue("", stream()).await;
            let name = s.own("");
            s.get("", true).await;
            s.send(1, &queue::Purge { queue: short(&name), no_wait: false }).await;
            s.consume("", "c", true, none()).await;
            s.consume("", "c", false, none()).await;
            s.qos(10, false).await;
            s.consume("", "c", true, none()).await;
            s.qos(10, false).await;
            s.consume("", "c", false, table([("x-stream-offset", text("sometime"))])).await;
            s.qos(10, false).await;
            s.consume("", "c", false, table([("x-priority", 1i32.into())])).await;
            s.qos(10, false).await;
            for body in ["zero", "one", "two"] {
                s.publish("", &name, body).await;
            }
            s.consume("", "c", false, table([("x-stream-offset", text("first"))])).await;
            s.ack(3, true).await;
            s.publish("", &name, "three").await;
            s.send(1, &method::basic::Cancel { consumer_tag: short("c"), no_wait: false }).await;
            s.consume("", "d", false, table([("x-stream-offset", 2i64.into())])).await;
            s.nack(5, false, true).await;
            s.delete("").await;
        }),
        script!("stream-offsets", since(4, 3), |s| {
            s.queue("", stream()).await;
            let name = s.own("");
            s.publish("", &name, "zero").await;
            s.wait(Duration::from_millis(1_500)).await;
            s.publish("", &name, "one").await;
            s.qos(10, false).await;
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let offsets = [
                ("next", text("next")),
                ("last", text("last")),
                ("first", text("first")),
                ("number", 1i32.into()),
                ("beyond", 9i32.into()),
                ("hour", text("1h")),
                ("now", Value::Timestamp(now.as_secs() + 60)),
                ("past", Value::Timestamp(now.as_secs() - 3_600)),
                ("negative", (-1i32).into()),
            ];
            for (tag, offset) in offsets {
                s.qos(10, false).await;
                s.consume("", tag, false, table([("x-stream-offset", offset)])).await;
                let cancel = method::basic::Cancel { consumer_tag: short(tag), no_wait: false };
                s.send(1, &cancel).await;
            }
            s.qos(10, false).await;
            s.consume("", "next", false, table([("x-stream-offset", text("next"))])).await;
            s.publish("", &name, "two").await;
            s.delete("").await;
        }),
        // Segments go as a whole, and only when another one begins; that takes an offset of its own.
        script!("stream-size", |s| {
            let arguments = stream().with("x-max-length-bytes", 7_500i32).unwrap();
            let segments = arguments.clone().with("x-stream-max-segment-size-bytes", 3_000i32);
            s.queue(".small", segments.unwrap()).await;
            s.queue(".large", arguments).await;
            for (suffix, count) in [(".small", 7), (".large", 5)] {
                for number in 0..count {
                    append(&mut s, suffix, &number.to_string().repeat(2_000)).await;
                }
                read_from(&mut s, suffix, text("first")).await;
            }
            // This offset is gone, and this one is in no message.
            for offset in [1i32, 5] {
                read_from(&mut s, ".small", offset.into()).await;
            }
            s.delete(".small").await;
            s.delete(".large").await;
        }),
        script!("stream-age", |s| {
            let arguments = stream().with("x-max-age", "3s").unwrap();
            let segments = arguments.clone().with("x-stream-max-segment-size-bytes", 1_000i32);
            s.queue(".small", segments.unwrap()).await;
            s.queue(".large", arguments).await;
            for suffix in [".small", ".large"] {
                append(&mut s, suffix, &"old".repeat(1_000)).await;
            }
            s.wait(Duration::from_secs(4)).await;
            for suffix in [".small", ".large"] {
                append(&mut s, suffix, &"new".repeat(1_000)).await;
                read_from(&mut s, suffix, text("first")).await;
            }
            s.delete(".small").await;
            s.delete(".large").await;
        }),
        script!("stream-filter", since(4, 0), |s| {
            s.queue("", stream()).await;
            let name = s.own("");
            for value in ["red", "green", "red", "blue"] {
                let properties = headers([("x-stream-filter-value", text(value))]);
                s.publish_with("", &name, false, properties, value).await;
            }
            s.publish("", &name, "none").await;
            s.qos(10, false).await;
            let from = |fields: [(&'static str, Value); 2]| {
                table(fields).with("x-stream-offset", "first").unwrap()
            };
            let red = [("x-stream-filter", text("red")), ("other", text(""))];
            s.consume("", "red", false, from(red)).await;
            let cancel = method::basic::Cancel { consumer_tag: short("red"), no_wait: false };
            s.send(1, &cancel).await;
            let values = Value::Array(vec![text("green"), text("blue")]);
            let some = [("x-stream-filter", values), ("x-stream-match-unfiltered", true.into())];
            s.consume("", "some", false, from(some)).await;
            s.delete("").await;
        }),
        script!("exclusive", |s| {
            let name = s.own("");
            s.declare(&name, false, true, false, none()).await;
            s.declare(&name, false, true, false, none()).await;
            s.declare(&name, false, false, false, none()).await;
            s.second().await;
            s.count("").await;
            s.get("", true).await;
            s.consume("", "c", true, none()).await;
            s.delete("").await;
            s.bind(&name, "amq.direct", "k", none()).await;
            s.declare(&name, false, true, false, none()).await;
            s.publish("", &name, "anyone may publish").await;
            s.first().await;
            s.get("", true).await;
        }),
        script!("exclusive-is-never-durable", |s| {
            let name = s.own("");
            s.declare(&name, true, true, false, none()).await;
            s.declare(&name, false, true, false, none()).await;
            s.declare(&name, true, true, true, none()).await;
        }),
        script!("auto-delete", |s| {
            let name = s.own("");
            s.declare(&name, true, false, true, none()).await;
            s.consume("", "c", true, none()).await;
            s.consume("", "d", true, none()).await;
            s.send(1, &method::basic::Cancel { consumer_tag: short("c"), no_wait: false }).await;
            s.count("").await;
            s.send(1, &method::basic::Cancel { consumer_tag: short("d"), no_wait: false }).await;
            s.count("").await;
            s.declare(&name, true, false, true, none()).await;
            s.get("", true).await;
            s.count("").await;
            s.delete("").await;
        }),
        script!("line-ends-in-names", |s| {
            let name = format!("{}\r\nx", s.own(""));
            s.declare(&name, true, false, false, none()).await;
            s.delete("x").await;
        }),
    ]
}

/// Appends to a stream, in a way that all versions give back alike.
async fn append(s: &mut Stage, suffix: &str, body: &str) {
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() };
    s.publish_with("", &s.own(suffix), false, properties, body).await;
}

/// All that a stream has from an offset on.
async fn read_from(s: &mut Stage, suffix: &str, offset: Value) {
    s.qos(10, false).await;
    s.consume(suffix, "reader", false, table([("x-stream-offset", offset)])).await;
    s.send(1, &method::basic::Cancel { consumer_tag: short("reader"), no_wait: false }).await;
}
