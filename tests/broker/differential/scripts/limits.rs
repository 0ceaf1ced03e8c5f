//! Limits that were set low: sizes, channels, the time that a delivery may stay unsettled, memory.

use super::prelude::*;
use method::basic;

pub(super) fn all() -> Vec<Script> {
    vec![
        script!("message-size", |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), &"x".repeat(super::super::MAX_MESSAGE)).await;
            s.publish("", &s.own(""), &"x".repeat(super::super::MAX_MESSAGE + 1)).await;
            s.count("").await;
            s.delete("").await;
        }),
        script!("channel-max", |s| {
            for number in 2..=6 {
                s.open(number).await;
            }
        }),
        // From 4.3 on only quorum queues look after that.
        script!("unsettled-for-too-long", before(4, 3), |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), "one").await;
            s.publish("", &s.own(""), "two").await;
            s.consume("", "c", false, none()).await;
            s.ack(1, false).await;
            overdue(&mut s).await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("polled-and-unsettled-for-too-long", before(4, 3), |s| {
            s.queue("", none()).await;
            s.publish("", &s.own(""), "one").await;
            s.get("", false).await;
            overdue(&mut s).await;
            s.get("", true).await;
            s.delete("").await;
        }),
        script!("unsettled-of-a-quorum-queue-for-too-long", since(4, 3), |s| {
            s.queue("", quorum([])).await;
            s.publish("", &s.own(""), "one").await;
            s.publish("", &s.own(""), "two").await;
            s.consume("", "c", false, none()).await;
            s.ack(2, false).await;
            overdue(&mut s).await;
            s.get("", true).await;
            // It is late, and nothing comes of it, once.
            s.ack(1, false).await;
            s.ack(1, false).await;
            s.delete("").await;
        }),
    ]
}

/// Waits until a delivery is overdue for certain. RabbitMQ up to 4.2 says so again and again until
/// that is answered, so it must be answered soon.
async fn overdue(s: &mut Stage) {
    for _ in 0..8 {
        s.wait(Duration::from_millis(250)).await;
    }
}

pub(super) fn alarming() -> Vec<Script> {
    vec![script!("memory-alarm", |s| {
        s.queue("", none()).await;
        s.publish("", &s.own(""), "before").await;
        // Who has not published is not held back.
        s.second().await;
        s.count("").await;
        s.alarm(true).await;
        s.get("", true).await;
        s.first().await;
        s.publish("", &s.own(""), "during").await;
        s.second().await;
        s.get("", true).await;
        s.alarm(false).await;
        s.first().await;
        s.send(1, &basic::Get { queue: short(&s.own("")), no_ack: true }).await;
        s.delete("").await;
    })]
}
