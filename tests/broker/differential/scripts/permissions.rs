//! What users may do, and what refuses them: <https://www.rabbitmq.com/docs/access-control>.
//!
//! The users are those of `differential::users`; each name says what its user may.

use super::prelude::*;
use method::{basic, exchange, queue};

/// One of everything that a permission is asked for, on what is there and on what is not. `names`
/// are a queue and an exchange.
async fn everything(s: &mut Stage, queue: &str, x: &str) {
    s.declare(queue, true, false, false, none()).await;
    passive(s, queue, x).await;
    s.exchange(x, "topic", none()).await;
    s.publish(x, "k", "to an exchange").await;
    s.publish("", queue, "to the default one").await;
    s.send(1, &basic::Get { queue: short(queue), no_ack: true }).await;
    s.consume_from(1, queue, "c", true, false, none()).await;
    s.send(1, &queue::Purge { queue: short(queue), no_wait: false }).await;
    s.bind(queue, x, "k", none()).await;
    s.bind(queue, "", "k", none()).await;
    let unbind = queue::Unbind {
        queue: short(queue),
        exchange: short(x),
        routing_key: short("k"),
        arguments: RawTable::EMPTY,
    };
    s.send(1, &unbind).await;
    let bind = exchange::Bind {
        destination: short(x),
        source: short("amq.topic"),
        routing_key: short("k"),
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    s.send(1, &bind).await;
    let unbind = exchange::Unbind {
        destination: short(x),
        source: short("amq.topic"),
        routing_key: short("k"),
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    s.send(1, &unbind).await;
    let delete =
        queue::Delete { queue: short(queue), if_unused: false, if_empty: false, no_wait: false };
    s.send(1, &delete).await;
    s.delete_exchange(x).await;
}

async fn passive(s: &mut Stage, queue: &str, x: &str) {
    let declare = queue::Declare {
        queue: short(queue),
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    s.send(1, &declare).await;
    let declare = exchange::Declare {
        exchange: short(x),
        kind: short("topic"),
        passive: true,
        durable: false,
        auto_delete: false,
        internal: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    s.send(1, &declare).await;
}

/// All of it as a user who may do one thing, or nothing, first where nothing of it is there.
macro_rules! as_user {
    ($script:literal, $user:literal) => {
        script!($script, since(4, 3), |s| {
            let (queue, x) = (s.own(""), s.own(".x"));
            s.log_in_as($user);
            everything(&mut s, &queue, &x).await;
            s.log_in_as("guest");
            s.queue("", none()).await;
            s.exchange(&x, "topic", none()).await;
            s.log_in_as($user);
            everything(&mut s, &queue, &x).await;
            s.log_in_as("guest");
            s.delete("").await;
            s.delete_exchange(&x).await;
        })
    };
}

pub(super) fn all() -> Vec<Script> {
    vec![
        as_user!("may-nothing", "nothing"),
        as_user!("may-configure", "configure"),
        as_user!("may-write", "write"),
        as_user!("may-read", "read"),
        script!("may-not-enter", |s| {
            s.greet("PLAIN", b"\0stranger\0stranger").await;
            let tune =
                method::connection::TuneOk { channel_max: 5, frame_max: 131_072, heartbeat: 0 };
            s.send(0, &tune).await;
            s.send(0, &method::connection::Open { virtual_host: short("/") }).await;
            s.wait(Duration::from_millis(4_500)).await;
        }),
        script!("dead-letters-take-permissions", since(4, 3), |s| {
            let dead = |exchange| table([("x-dead-letter-exchange", text(exchange))]);
            s.log_in_as("configure");
            s.queue("", dead("amq.fanout")).await;
            s.log_in_as("no-write");
            s.queue("", dead("amq.fanout")).await;
            s.log_in_as("guest");
            s.queue("", dead("amq.fanout")).await;
            s.log_in_as("configure");
            s.queue("", dead("amq.fanout")).await;
            s.log_in_as("guest");
            s.delete("").await;
        }),
        script!("alternates-take-permissions", since(4, 3), |s| {
            let name = s.own(".x");
            let alternate = || table([("alternate-exchange", text("amq.fanout"))]);
            s.log_in_as("configure");
            s.exchange(&name, "direct", alternate()).await;
            s.log_in_as("no-write");
            s.exchange(&name, "direct", alternate()).await;
            s.log_in_as("guest");
            s.exchange(&name, "direct", alternate()).await;
            s.log_in_as("configure");
            s.exchange(&name, "direct", alternate()).await;
            s.log_in_as("guest");
            s.delete_exchange(&name).await;
        }),
        script!("server-names-take-permissions", since(4, 3), |s| {
            s.log_in_as("nothing");
            s.declare("", false, true, false, none()).await;
            s.log_in_as("configure");
            s.declare("", false, true, false, none()).await;
            s.send(1, &basic::Get { queue: short(""), no_ack: true }).await;
        }),
        script!("reply-addresses-take-none", since(4, 3), |s| {
            s.log_in_as("nothing");
            s.consume_from(1, "amq.rabbitmq.reply-to", "r", true, false, none()).await;
            s.log_in_as("default-exchange");
            s.queue("", none()).await;
            s.publish("", "anything", "goes").await;
            s.publish("amq.direct", "anything", "goes not").await;
        }),
        script!("topics-take-permissions", since(4, 3), |s| {
            s.log_in_as("topics");
            s.queue("", none()).await;
            s.bind(&s.own(""), "amq.topic", "allowed.read", none()).await;
            s.bind(&s.own(""), "amq.topic", "other", none()).await;
            s.bind(&s.own(""), "amq.direct", "other", none()).await;
            s.publish("amq.topic", "allowed.write", "").await;
            s.publish("amq.topic", "other", "").await;
            s.publish("amq.direct", "other", "").await;
            let bind = |key| exchange::Bind {
                destination: short("amq.fanout"),
                source: short("amq.topic"),
                routing_key: short(key),
                no_wait: false,
                arguments: RawTable::EMPTY,
            };
            s.send(1, &bind("other")).await;
            let name = s.own("");
            let unbind = queue::Unbind {
                queue: short(&name),
                exchange: short("amq.topic"),
                routing_key: short("other"),
                arguments: RawTable::EMPTY,
            };
            s.send(1, &unbind).await;
            let other = s.own(".topic");
            s.exchange(&other, "topic", none()).await;
            s.publish(&other, "other", "").await;
            s.delete_exchange(&other).await;
            s.delete("").await;
        }),
    ]
}
