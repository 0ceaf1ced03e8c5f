//! Exchanges, bindings and routing.

use super::prelude::*;
use method::exchange;

fn bind_exchange<'a>(source: &'a str, destination: &'a str, key: &'a str) -> exchange::Bind<'a> {
    exchange::Bind {
        destination: short(destination),
        source: short(source),
        routing_key: short(key),
        no_wait: false,
        arguments: RawTable::EMPTY,
    }
}

pub(super) fn all() -> Vec<Script> {
    vec![
        script!("inequivalent-exchanges", |s| {
            let name = s.own(".x");
            s.exchange(&name, "topic", none()).await;
            s.exchange(&name, "topic", none()).await;
            s.exchange(&name, "direct", none()).await;
            let mut declare = exchange::Declare {
                exchange: short(&name),
                kind: short("topic"),
                passive: false,
                durable: false,
                auto_delete: false,
                internal: false,
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &declare).await;
            declare.durable = true;
            declare.auto_delete = true;
            s.send(1, &declare).await;
            declare.auto_delete = false;
            declare.internal = true;
            s.send(1, &declare).await;
            s.exchange(&name, "topic", table([("alternate-exchange", text("other"))])).await;
            s.exchange(&name, "topic", table([("alternate-exchange", 1i32.into())])).await;
            declare.passive = true;
            declare.kind = short("");
            s.send(1, &declare).await;
            s.delete_exchange(&name).await;
            s.send(1, &declare).await;
        }),
        script!("unknown-type", since(4, 0), |s| {
            s.exchange(&s.own(".x"), "bogus", none()).await;
        }),
        script!("bad-alternate", |s| {
            s.exchange(&s.own(".x"), "topic", table([("alternate-exchange", 1i32.into())])).await;
        }),
        script!("internal", |s| {
            let (name, from) = (s.own(".x"), s.own(".from"));
            let declare = exchange::Declare {
                exchange: short(&name),
                kind: short("fanout"),
                passive: false,
                durable: true,
                auto_delete: false,
                internal: true,
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &declare).await;
            s.publish(&name, "", "").await;
            s.exchange(&from, "fanout", none()).await;
            s.queue("", none()).await;
            s.bind(&s.own(""), &name, "", none()).await;
            s.send(1, &bind_exchange(&from, &name, "")).await;
            s.publish(&from, "", "through").await;
            s.get("", true).await;
            s.delete("").await;
            s.delete_exchange(&from).await;
            s.delete_exchange(&name).await;
        }),
        script!("exchange-in-use", |s| {
            let name = s.own(".x");
            s.exchange(&name, "direct", none()).await;
            s.queue("", none()).await;
            s.bind(&s.own(""), &name, "k", none()).await;
            s.send(
                1,
                &exchange::Delete { exchange: short(&name), if_unused: true, no_wait: false },
            )
            .await;
            s.delete("").await;
            s.send(
                1,
                &exchange::Delete { exchange: short(&name), if_unused: true, no_wait: false },
            )
            .await;
            s.send(
                1,
                &exchange::Delete { exchange: short(&name), if_unused: true, no_wait: false },
            )
            .await;
        }),
        script!("auto-delete-exchange", |s| {
            let (name, next) = (s.own(".x"), s.own(".next"));
            let mut declare = exchange::Declare {
                exchange: short(&name),
                kind: short("direct"),
                passive: false,
                durable: true,
                auto_delete: true,
                internal: false,
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &declare).await;
            declare.exchange = short(&next);
            s.send(1, &declare).await;
            s.queue("", none()).await;
            s.send(1, &bind_exchange(&name, &next, "k")).await;
            s.bind(&s.own(""), &next, "k", none()).await;
            s.publish(&name, "k", "through both").await;
            s.get("", true).await;
            s.delete("").await;
            declare.passive = true;
            s.send(1, &declare).await;
            declare.exchange = short(&name);
            s.send(1, &declare).await;
        }),
        script!("bindings-that-miss", |s| {
            s.send(1, &bind_exchange("hopmq.none", "amq.direct", "k")).await;
            s.send(1, &bind_exchange("amq.direct", "hopmq.none", "k")).await;
            s.send(1, &bind_exchange("", "amq.direct", "k")).await;
            s.send(1, &bind_exchange("amq.direct", "", "k")).await;
            s.queue("", none()).await;
            let name = s.own("");
            let mut unbind = method::queue::Unbind {
                queue: short(&name),
                exchange: short("amq.direct"),
                routing_key: short("never"),
                arguments: RawTable::EMPTY,
            };
            s.send(1, &unbind).await;
            unbind.exchange = short("hopmq.none");
            s.send(1, &unbind).await;
            s.delete("").await;
            unbind.exchange = short("amq.direct");
            s.send(1, &unbind).await;
        }),
        script!("headers-arguments", since(4, 0), |s| {
            s.queue("", none()).await;
            let name = s.own("");
            s.bind(&name, "amq.headers", "", table([("x-match", text("some"))])).await;
            s.bind(&name, "amq.headers", "", table([("x-match", 1i32.into())])).await;
            s.bind(&name, "amq.topic", "", table([("x-match", text("some"))])).await;
            s.delete("").await;
        }),
        script!("headers-routing", since(4, 0), |s| {
            let x = s.own(".x");
            s.exchange(&x, "headers", none()).await;
            let modes = ["all", "any", "all-with-x", "any-with-x"];
            for mode in modes {
                s.queue(mode, none()).await;
                let fields = [("x-match", text(mode)), ("a", 1i32.into()), ("x-b", text("y"))];
                s.bind(&s.own(mode), &x, "ignored", table(fields)).await;
            }
            s.queue("void", none()).await;
            s.bind(&s.own("void"), &x, "", table([("a", Value::Void)])).await;
            s.publish_with(&x, "", true, headers([("a", 1i64.into())]), "a").await;
            s.publish_with(&x, "", true, headers([("a", text("1"))]), "text").await;
            s.publish_with(&x, "", true, headers([("x-b", text("y"))]), "b").await;
            s.publish_with(&x, "", true, headers([("a", 1i32.into()), ("x-b", text("y"))]), "both")
                .await;
            s.publish_with(&x, "", true, headers([("c", 1i32.into())]), "none").await;
            s.publish_with(&x, "", true, Properties::default(), "bare").await;
            for queue in modes.into_iter().chain(["void"]) {
                for _ in 0..4 {
                    s.get(queue, true).await;
                }
                s.delete(queue).await;
            }
            s.delete_exchange(&x).await;
        }),
        script!("topic-routing", |s| {
            let x = s.own(".x");
            s.exchange(&x, "topic", none()).await;
            let patterns = ["a.b.c", "a.*.c", "a.#", "#", "*", "*.#", "#.b.#", "a..c", ""];
            for (index, pattern) in patterns.iter().enumerate() {
                s.queue(&index.to_string(), none()).await;
                s.bind(&s.own(&index.to_string()), &x, pattern, none()).await;
            }
            for key in ["a.b.c", "a", "", "a..c", ".", "b", "x.b.y"] {
                s.publish(&x, key, key).await;
            }
            for index in 0..patterns.len() {
                s.count(&index.to_string()).await;
                s.delete(&index.to_string()).await;
            }
            s.delete_exchange(&x).await;
        }),
        script!("direct-and-fanout-routing", |s| {
            let (direct, fanout) = (s.own(".direct"), s.own(".fanout"));
            s.exchange(&direct, "direct", none()).await;
            s.exchange(&fanout, "fanout", none()).await;
            for (queue, key) in [("a", "k"), ("b", "k"), ("c", "other"), ("d", "")] {
                s.queue(queue, none()).await;
                s.bind(&s.own(queue), &direct, key, none()).await;
                s.bind(&s.own(queue), &fanout, key, none()).await;
            }
            for key in ["k", "other", "", "nowhere"] {
                s.publish_with(&direct, key, true, Properties::default(), key).await;
                s.publish_with(&fanout, key, true, Properties::default(), "all").await;
            }
            for queue in ["a", "b", "c", "d"] {
                s.count(queue).await;
                s.get(queue, true).await;
                s.delete(queue).await;
            }
            s.publish_with(&fanout, "k", true, Properties::default(), "to nobody").await;
            s.delete_exchange(&direct).await;
            s.delete_exchange(&fanout).await;
        }),
        script!("between-exchanges", |s| {
            let [topic, headers, fanout] = [".topic", ".headers", ".fanout"].map(|of| s.own(of));
            s.exchange(&topic, "topic", none()).await;
            s.exchange(&headers, "headers", none()).await;
            s.exchange(&fanout, "fanout", none()).await;
            s.queue("", none()).await;
            s.send(1, &bind_exchange(&fanout, &topic, "a.#")).await;
            s.send(1, &bind_exchange(&fanout, &topic, "a.#")).await;
            s.send(1, &bind_exchange(&headers, &fanout, "")).await;
            // A circle ends where a message was before.
            s.send(1, &bind_exchange(&topic, &headers, "")).await;
            s.bind(&s.own(""), &fanout, "", none()).await;
            s.bind(&s.own(""), &headers, "", none()).await;
            for key in ["a", "a.b", "b"] {
                s.publish_with(&topic, key, true, Properties::default(), key).await;
            }
            for _ in 0..3 {
                s.get("", true).await;
            }
            let unbind = exchange::Unbind {
                destination: short(&fanout),
                source: short(&topic),
                routing_key: short("a.#"),
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &unbind).await;
            s.send(1, &unbind).await;
            s.publish_with(&topic, "a", true, Properties::default(), "nowhere").await;
            s.delete("").await;
            for exchange in [topic, headers, fanout] {
                s.delete_exchange(&exchange).await;
            }
        }),
        script!("alternates-in-a-row", |s| {
            let [first, second, third] = [".1", ".2", ".3"].map(|of| s.own(of));
            let alternate = |to: &str| table([("alternate-exchange", text(to))]);
            s.exchange(&first, "direct", alternate(&second)).await;
            s.exchange(&second, "topic", alternate(&third)).await;
            s.exchange(&third, "direct", alternate(&first)).await;
            s.queue("", none()).await;
            s.bind(&s.own(""), &third, "k", none()).await;
            s.publish_with(&first, "k", true, Properties::default(), "through three").await;
            s.publish_with(&first, "none", true, Properties::default(), "in a circle").await;
            s.get("", true).await;
            s.delete("").await;
            for exchange in [first, second, third] {
                s.delete_exchange(&exchange).await;
            }
        }),
        script!("alternates", |s| {
            let (x, alternate) = (s.own(".x"), s.own(".alternate"));
            s.exchange(&x, "direct", table([("alternate-exchange", text(&alternate))])).await;
            s.publish_with(&x, "k", true, Properties::default(), "no alternate yet").await;
            s.exchange(&alternate, "fanout", none()).await;
            s.queue("", none()).await;
            s.publish_with(&x, "k", true, Properties::default(), "no queue yet").await;
            s.bind(&s.own(""), &alternate, "", none()).await;
            s.publish_with(&x, "k", true, Properties::default(), "arrives").await;
            s.get("", true).await;
            s.delete("").await;
            s.delete_exchange(&x).await;
            s.delete_exchange(&alternate).await;
        }),
        script!("one-copy-per-queue", |s| {
            let x = s.own(".x");
            s.exchange(&x, "topic", none()).await;
            s.queue("", none()).await;
            for pattern in ["a", "#", "*", "a"] {
                s.bind(&s.own(""), &x, pattern, none()).await;
            }
            s.publish(&x, "a", "once").await;
            s.count("").await;
            let name = s.own("");
            let unbind = method::queue::Unbind {
                queue: short(&name),
                exchange: short(&x),
                routing_key: short("a"),
                arguments: RawTable::EMPTY,
            };
            s.send(1, &unbind).await;
            s.publish(&x, "a", "again").await;
            s.count("").await;
            s.delete("").await;
            s.delete_exchange(&x).await;
        }),
        script!("copies", |s| {
            for queue in ["a", "b", "c"] {
                s.queue(queue, none()).await;
            }
            let (a, b, c) = (s.own("a"), s.own("b"), s.own("c"));
            let to = headers([
                ("CC", Value::Array(vec![text(&b)])),
                ("BCC", Value::Array(vec![text(&c)])),
                ("kept", 1i32.into()),
            ]);
            s.publish_with("", &a, false, to, "three of it").await;
            for queue in ["a", "b", "c"] {
                s.get(queue, true).await;
            }
            s.publish_with("", &a, false, headers([("CC", text(&b))]), "no list").await;
            for queue in ["a", "b", "c"] {
                s.delete(queue).await;
            }
        }),
    ]
}
