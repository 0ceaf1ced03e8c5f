//! Expiry, length limits, priorities and dead letters.

use super::prelude::*;
use method::basic;

/// Arguments of a queue whose dead letters go to the script's queue `dead`.
fn dying<const N: usize>(s: &Stage, fields: [(&'static str, Value); N]) -> FieldTable {
    table(fields)
        .with("x-dead-letter-exchange", "")
        .and_then(|table| table.with("x-dead-letter-routing-key", s.own("dead").as_str()))
        .unwrap()
}

fn expiring(after: &'static str) -> Properties {
    Properties { expiration: ShortString::new(after).ok(), ..Properties::default() }
}

pub(super) fn all() -> Vec<Script> {
    vec![
        script!("rejected", since(4, 3), |s| {
            s.queue("dead", none()).await;
            s.queue("", dying(&s, [])).await;
            s.publish_with("", &s.own(""), false, headers([("own", 1i32.into())]), "1").await;
            s.get("", false).await;
            s.send(1, &basic::Reject { delivery_tag: 1, requeue: false }).await;
            s.get("dead", true).await;
            s.publish("amq.direct", "unrouted", "").await;
            s.delete("").await;
            s.delete("dead").await;
        }),
        script!("expired", since(4, 0), |s| {
            s.queue("dead", none()).await;
            s.queue("", dying(&s, [("x-message-ttl", 200i32.into())])).await;
            s.publish("", &s.own(""), "by the queue").await;
            s.publish_with("", &s.own(""), false, expiring("50"), "by itself").await;
            s.wait(Duration::from_millis(700)).await;
            s.count("").await;
            s.get("dead", true).await;
            s.get("dead", true).await;
            s.get("dead", true).await;
            s.delete("").await;
            s.delete("dead").await;
        }),
        script!("expires-at-once", |s| {
            s.queue("", table([("x-message-ttl", 0i32.into())])).await;
            s.publish("", &s.own(""), "nobody takes it").await;
            s.count("").await;
            s.consume("", "c", true, none()).await;
            s.publish("", &s.own(""), "delivered").await;
            s.delete("").await;
        }),
        script!("expires-at-head-only", |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), "in front").await;
            s.publish_with("", &s.own(""), false, expiring("1"), "behind").await;
            s.wait(Duration::from_millis(100)).await;
            s.count("").await;
            s.get("", true).await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("queue-expires", |s| {
            s.queue("", table([("x-expires", 500i32.into())])).await;
            s.wait(Duration::from_millis(1500)).await;
            s.count("").await;
        }),
        script!("max-length", since(4, 0), |s| {
            s.queue("dead", none()).await;
            s.queue("", dying(&s, [("x-max-length", 2i32.into())])).await;
            s.send(1, &method::confirm::Select { no_wait: false }).await;
            for body in ["1", "2", "3"] {
                s.publish("", &s.own(""), body).await;
            }
            s.get("", true).await;
            s.get("dead", true).await;
            s.delete("").await;
            s.delete("dead").await;
        }),
        script!("max-length-bytes", |s| {
            s.queue("", table([("x-max-length-bytes", 10i32.into())])).await;
            for body in ["12345", "67890", "x", "far too long to fit"] {
                s.publish("", &s.own(""), body).await;
                s.count("").await;
            }
            s.delete("").await;
        }),
        script!("reject-publish", |s| {
            s.queue(
                "",
                table([("x-max-length", 1i32.into()), ("x-overflow", text("reject-publish"))]),
            )
            .await;
            s.send(1, &method::confirm::Select { no_wait: false }).await;
            s.publish("", &s.own(""), "taken").await;
            s.publish("", &s.own(""), "refused").await;
            s.get("", true).await;
            s.publish("", &s.own(""), "taken").await;
            s.delete("").await;
        }),
        script!("reject-publish-dlx", since(4, 0), |s| {
            s.queue("dead", none()).await;
            let arguments = dying(
                &s,
                [("x-max-length", 1i32.into()), ("x-overflow", text("reject-publish-dlx"))],
            );
            s.queue("", arguments).await;
            s.send(1, &method::confirm::Select { no_wait: false }).await;
            s.publish("", &s.own(""), "taken").await;
            s.publish("", &s.own(""), "refused").await;
            s.get("dead", true).await;
            s.delete("").await;
            s.delete("dead").await;
        }),
        script!("partial-commit", |s| {
            s.queue(
                "",
                table([("x-max-length", 1i32.into()), ("x-overflow", text("reject-publish"))]),
            )
            .await;
            s.send(1, &method::tx::Select {}).await;
            s.publish("", &s.own(""), "taken").await;
            s.publish("", &s.own(""), "refused").await;
            s.send(1, &method::tx::Commit {}).await;
            s.delete("").await;
        }),
        script!("priorities", |s| {
            s.queue("", table([("x-max-priority", 5i32.into())])).await;
            for (body, priority) in
                [("a", None), ("b", Some(9)), ("c", Some(3)), ("d", Some(5)), ("e", Some(0))]
            {
                let properties = Properties { priority, ..Properties::default() };
                s.publish_with("", &s.own(""), false, properties, body).await;
            }
            for _ in 0..5 {
                s.get("", true).await;
            }
            s.delete("").await;
        }),
        script!("a-circle-is-cut", since(4, 0), |s| {
            let own = s.own("");
            let arguments = table([
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&own)),
                ("x-message-ttl", 100i32.into()),
            ]);
            s.queue("", arguments).await;
            s.publish("", &own, "dies once").await;
            s.wait(Duration::from_millis(500)).await;
            s.count("").await;
            s.delete("").await;
        }),
        script!("a-circle-with-a-rejection-goes-on", since(4, 3), |s| {
            let own = s.own("");
            let arguments = table([
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&own)),
            ]);
            s.queue("", arguments).await;
            s.publish("", &own, "again and again").await;
            for tag in 1..=3 {
                s.get("", false).await;
                s.send(1, &basic::Reject { delivery_tag: tag, requeue: false }).await;
            }
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("through-two-queues", since(4, 0), |s| {
            s.queue("dead", none()).await;
            let next = s.own("next");
            let first = table([
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(&next)),
            ]);
            s.queue("", first).await;
            s.queue("next", dying(&s, [("x-message-ttl", 50i32.into())])).await;
            let cc = headers([("CC", Value::Array(vec![text("other")]))]);
            s.publish_with("", &s.own(""), false, cc, "dies twice").await;
            s.get("", false).await;
            s.nack(1, false, false).await;
            s.wait(Duration::from_millis(500)).await;
            s.get("dead", true).await;
            s.delete("").await;
            s.delete("next").await;
            s.delete("dead").await;
        }),
        script!("quorum-limit-is-dead-lettered", since(4, 3), |s| {
            s.queue("dead", none()).await;
            let arguments = dying(&s, [("x-delivery-limit", 1i32.into())])
                .with("x-queue-type", "quorum")
                .unwrap();
            s.queue("", arguments).await;
            s.publish("", &s.own(""), "1").await;
            s.wait(Duration::from_millis(300)).await;
            for tag in 1..=2 {
                s.get("", false).await;
                s.send(1, &basic::Reject { delivery_tag: tag, requeue: true }).await;
            }
            s.wait(Duration::from_millis(500)).await;
            s.get("dead", true).await;
            s.delete("").await;
            s.delete("dead").await;
        }),
    ]
}
