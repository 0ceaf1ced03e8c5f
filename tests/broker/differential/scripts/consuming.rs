//! Consuming, polling and settling.

use super::prelude::*;
use method::basic;

pub(super) fn all() -> Vec<Script> {
    let mut all = settling();
    all.extend(consumers());
    all.extend(replies());
    all
}

fn settling() -> Vec<Script> {
    vec![
        script!("get", |s| {
            s.queue("", none()).await;
            s.get("", false).await;
            s.publish("", &s.own(""), "one").await;
            s.publish("", &s.own(""), "two").await;
            s.get("", false).await;
            s.nack(1, false, true).await;
            s.get("", false).await;
            s.ack(2, false).await;
            s.get("", true).await;
            s.ack(3, false).await;
            s.delete("").await;
        }),
        script!("unknown-tags", |s| {
            s.ack(1, false).await;
            s.ack(1, true).await;
            s.ack(0, false).await;
            s.ack(0, true).await;
            s.nack(7, false, true).await;
            s.send(1, &basic::Reject { delivery_tag: 9, requeue: true }).await;
        }),
        script!("multiple", |s| {
            s.queue("", none()).await;
            for body in ["1", "2", "3", "4", "5"] {
                s.publish("", &s.own(""), body).await;
            }
            s.consume("", "c", false, none()).await;
            s.ack(2, true).await;
            s.ack(2, true).await;
            s.delete("").await;
        }),
        script!("requeue-order", |s| {
            s.queue("", none()).await;
            for body in ["1", "2", "3", "4"] {
                s.publish("", &s.own(""), body).await;
            }
            for _ in 0..3 {
                s.get("", false).await;
            }
            s.nack(2, false, true).await;
            s.get("", false).await;
            s.nack(0, true, true).await;
            for _ in 0..5 {
                s.get("", true).await;
            }
            s.delete("").await;
        }),
        script!("recover", |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), "1").await;
            s.publish("", &s.own(""), "2").await;
            s.consume("", "c", false, none()).await;
            s.send(1, &basic::Recover { requeue: true }).await;
            s.send(1, &basic::RecoverAsync { requeue: true }).await;
            s.ack(6, true).await;
            s.send(1, &basic::Recover { requeue: false }).await;
            s.delete("").await;
        }),
        script!("channel-close-returns", |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), "1").await;
            s.get("", false).await;
            s.publish("hopmq.none", "", "").await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("quorum-returns", since(4, 3), |s| {
            s.queue("", quorum([("x-delivery-limit", 2i32.into())])).await;
            s.publish("", &s.own(""), "1").await;
            s.wait(Duration::from_millis(300)).await;
            for tag in 1..=3 {
                s.get("", false).await;
                s.send(1, &basic::Reject { delivery_tag: tag, requeue: true }).await;
            }
            s.get("", false).await;
            s.delete("").await;
        }),
        script!("quorum-returns-of-a-channel", since(4, 3), |s| {
            s.queue("", quorum([("x-delivery-limit", 5i32.into())])).await;
            s.publish("", &s.own(""), "1").await;
            s.wait(Duration::from_millis(300)).await;
            s.get("", false).await;
            s.publish("hopmq.none", "", "").await;
            s.get("", false).await;
            s.nack(1, false, true).await;
            s.get("", false).await;
            s.send(1, &basic::Recover { requeue: true }).await;
            s.get("", true).await;
            s.delete("").await;
        }),
    ]
}

fn consumers() -> Vec<Script> {
    vec![
        script!("single-active-quorum", since(4, 3), |s| {
            s.queue("", quorum([("x-single-active-consumer", true.into())])).await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("prefetch", |s| {
            s.queue("", none()).await;
            for body in ["1", "2", "3", "4", "5", "6"] {
                s.publish("", &s.own(""), body).await;
            }
            s.qos(2, false).await;
            s.consume("", "c", false, none()).await;
            s.ack(1, false).await;
            s.ack(3, true).await;
            s.nack(5, false, true).await;
            s.send(1, &basic::Cancel { consumer_tag: short("c"), no_wait: false }).await;
            s.count("").await;
            s.delete("").await;
        }),
        script!("prefetch-of-the-channel", |s| {
            s.queue("", none()).await;
            for body in ["1", "2", "3", "4", "5", "6"] {
                s.publish("", &s.own(""), body).await;
            }
            s.qos(2, true).await;
            // Each consumer has its own limit, too, which the next ones get.
            s.qos(1, false).await;
            s.consume("", "a", false, none()).await;
            s.qos(0, false).await;
            s.consume("", "b", false, none()).await;
            s.ack(1, false).await;
            s.ack(3, true).await;
            s.qos(0, true).await;
            s.nack(0, true, true).await;
            s.delete("").await;
        }),
        script!("prefetch-of-the-channel-and-a-quorum-queue", |s| {
            s.queue("", quorum([])).await;
            s.qos(2, true).await;
            s.consume("", "c", false, none()).await;
            s.delete("").await;
        }),
        script!("prefetch-size", |s| {
            s.send(1, &basic::Qos { prefetch_size: 5, prefetch_count: 0, global: false }).await;
        }),
        script!("tags", |s| {
            s.queue("", none()).await;
            s.consume("", "", true, none()).await;
            s.consume("", "", true, none()).await;
            s.consume("", "c", true, none()).await;
            s.send(1, &basic::Cancel { consumer_tag: short("never"), no_wait: false }).await;
            s.send(1, &basic::Cancel { consumer_tag: short("c"), no_wait: false }).await;
            s.consume("", "c", true, none()).await;
            s.consume("", "c", true, none()).await;
            s.delete("").await;
        }),
        script!("exclusive-consumer", |s| {
            s.queue("", none()).await;
            let name = s.own("");
            s.consume_from(1, &name, "a", true, true, none()).await;
            s.open(2).await;
            s.consume_from(2, &name, "b", true, false, none()).await;
            s.send(1, &basic::Cancel { consumer_tag: short("a"), no_wait: false }).await;
            s.consume_from(2, &name, "b", true, false, none()).await;
            s.consume_from(1, &name, "a", true, true, none()).await;
            s.send(2, &basic::Cancel { consumer_tag: short("b"), no_wait: false }).await;
            s.delete("").await;
        }),
        script!("consumer-arguments", |s| {
            s.queue("", none()).await;
            s.consume("", "a", true, table([("x-priority", text("high"))])).await;
            s.consume("", "a", true, table([("x-priority", 5i32.into())])).await;
            s.consume("", "b", true, table([("other", 5i32.into())])).await;
            s.delete("").await;
        }),
        script!("stream-offset-on-a-queue", since(4, 0), |s| {
            s.queue("", none()).await;
            s.consume("", "a", true, table([("x-stream-offset", text("first"))])).await;
            s.delete("").await;
        }),
        script!("consumer-priorities", |s| {
            s.queue("", none()).await;
            s.consume("", "low", true, none()).await;
            s.consume("", "high", true, table([("x-priority", 5i32.into())])).await;
            for body in ["1", "2"] {
                s.publish("", &s.own(""), body).await;
            }
            s.send(1, &basic::Cancel { consumer_tag: short("high"), no_wait: false }).await;
            s.publish("", &s.own(""), "3").await;
            s.delete("").await;
        }),
        script!("single-active", since(4, 0), |s| {
            s.queue("", table([("x-single-active-consumer", true.into())])).await;
            s.get("", true).await;
            s.consume("", "a", true, none()).await;
            s.consume("", "b", true, none()).await;
            for body in ["1", "2"] {
                s.publish("", &s.own(""), body).await;
            }
            s.send(1, &basic::Cancel { consumer_tag: short("a"), no_wait: false }).await;
            s.publish("", &s.own(""), "3").await;
            s.delete("").await;
        }),
        script!("cancel-notification", |s| {
            s.queue("", none()).await;
            s.consume("", "c", false, none()).await;
            s.publish("", &s.own(""), "unsettled").await;
            s.second().await;
            s.delete("").await;
            s.first().await;
            s.ack(1, false).await;
            s.ack(1, false).await;
        }),
    ]
}

fn replies() -> Vec<Script> {
    vec![
        script!("reply-consumer", |s| {
            let address = "amq.rabbitmq.reply-to";
            s.consume_from(1, address, "r", false, false, none()).await;
            s.consume_from(1, address, "r", true, false, none()).await;
            s.consume_from(1, address, "s", true, false, none()).await;
            s.consume_from(1, address, "", true, false, none()).await;
            s.send(1, &basic::Cancel { consumer_tag: short("r"), no_wait: false }).await;
            s.consume_from(1, address, "r", true, false, none()).await;
            s.send(1, &basic::Cancel { consumer_tag: short("r"), no_wait: false }).await;
            s.consume_from(1, address, "r", true, false, none()).await;
        }),
        script!("reply", since(4, 3), |s| {
            s.queue("", none()).await;
            s.consume_from(1, "amq.rabbitmq.reply-to", "r", true, false, none()).await;
            let asking = |reply_to: &str| Properties {
                reply_to: ShortString::new(reply_to.to_owned()).ok(),
                correlation_id: ShortString::new("7").ok(),
                ..Properties::default()
            };
            let question = asking("amq.rabbitmq.reply-to");
            s.publish_with("", &s.own(""), false, question.clone(), "question").await;
            // The other side finds the address in the question, and may look whether it is there.
            s.second().await;
            s.get("", true).await;
            let address = format!("amq.rabbitmq.reply-to.{}", s.generated(0));
            let declare = method::queue::Declare {
                queue: short(&address),
                passive: true,
                durable: false,
                exclusive: false,
                auto_delete: false,
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &declare).await;
            s.publish_with("", &address, true, asking("elsewhere"), "answer").await;
            s.publish("", &address, "another").await;
            s.first().await;
            s.send(1, &basic::Cancel { consumer_tag: short("r"), no_wait: false }).await;
            s.second().await;
            s.publish_with("", &address, true, Properties::default(), "too late").await;
            s.send(1, &declare).await;
            s.first().await;
            s.publish_with("", &s.own(""), false, question, "without a consumer").await;
            s.delete("").await;
        }),
        script!("reply-to-nobody", |s| {
            let reply_to = ShortString::new("amq.rabbitmq.reply-to").ok();
            s.publish_with("", "x", false, Properties { reply_to, ..Properties::default() }, "")
                .await;
        }),
        script!("reply-address", |s| {
            s.declare("amq.rabbitmq.reply-to", false, false, false, none()).await;
        }),
        script!("reply-bind", since(4, 3), |s| {
            s.bind("amq.rabbitmq.reply-to.nobody", "amq.direct", "k", none()).await;
        }),
    ]
}
