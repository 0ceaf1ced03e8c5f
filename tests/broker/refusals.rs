//! What RabbitMQ refuses is refused with its codes and texts.

use bytes::BytesMut;
use hopmq::{
    broker::{Broker, Listening},
    wire::{
        FieldTable, MethodFrame, RawTable, encode,
        method::{basic, channel, confirm, queue, tx},
    },
};

use crate::raw::{Raw, short};

async fn connect() -> (Broker<Listening>, Raw) {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let raw = Raw::connect(&broker).await;
    (broker, raw)
}

#[tokio::test]
async fn a_queue_that_does_not_exist_closes_the_channel_alone() {
    let (_broker, mut raw) = connect().await;
    raw.open_channel(2).await;
    raw.send(1, &basic::Get { queue: short("nope"), no_ack: true }).await;
    raw.channel_closes(1, 404, "NOT_FOUND - no queue 'nope' in vhost '/'").await;
    // The number is free again, and the other channel goes on.
    raw.open_channel(1).await;
    raw.declare(2, "q", &FieldTable::new()).await;
}

#[tokio::test]
async fn what_is_still_on_its_way_to_a_closed_channel_is_dropped() {
    let (_broker, mut raw) = connect().await;
    raw.publish(1, "nope", "", b"one").await;
    raw.publish(1, "nope", "", b"two").await;
    raw.send(1, &queue::Purge { queue: short("nope"), no_wait: false }).await;
    raw.channel_closes(1, 404, "NOT_FOUND - no exchange 'nope' in vhost '/'").await;
    raw.open_channel(1).await;
    raw.silence().await;
}

#[tokio::test]
async fn an_unknown_tag_is_refused() {
    let (_broker, mut raw) = connect().await;
    raw.ack(1, 7, false).await;
    raw.channel_closes(1, 406, "PRECONDITION_FAILED - unknown delivery tag 7").await;
}

#[tokio::test]
async fn confirms_and_transactions_exclude_each_other() {
    let (_broker, mut raw) = connect().await;
    raw.send(1, &tx::Commit {}).await;
    raw.channel_closes(1, 406, "PRECONDITION_FAILED - channel is not transactional").await;
    raw.open_channel(1).await;
    raw.call(1, &confirm::Select { no_wait: false }, confirm::SelectOk {}).await;
    raw.send(1, &tx::Select {}).await;
    raw.channel_closes(1, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode").await;
    raw.open_channel(1).await;
    raw.call(1, &tx::Select {}, tx::SelectOk {}).await;
    raw.send(1, &confirm::Select { no_wait: false }).await;
    raw.channel_closes(1, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode").await;
}

#[tokio::test]
async fn redeclaring_differently_is_refused() {
    let (_broker, mut raw) = connect().await;
    raw.declare(1, "q", &FieldTable::new()).await;
    let mut declare = queue::Declare {
        queue: short("q"),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: true,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.send(1, &declare).await;
    let text = "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': \
                received 'true' but current is 'false'";
    raw.channel_closes(1, 406, text).await;
    raw.open_channel(1).await;
    let arguments = FieldTable::new().with("x-max-length", 5i32).unwrap().encode();
    declare.auto_delete = false;
    declare.arguments = RawTable::new(&arguments);
    raw.send(1, &declare).await;
    let text = "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'q' in vhost '/': \
                received the value '5' of type 'signedint' but current is none";
    raw.channel_closes(1, 406, text).await;
}

#[tokio::test]
async fn hard_errors_close_the_connection() {
    let (_broker, mut raw) = connect().await;
    raw.send(1, &channel::Flow { active: false }).await;
    raw.connection_closes(540, "NOT_IMPLEMENTED - active=false").await;
}

/// All that is legal and not done here, or by queues of one type: RabbitMQ refuses the same with the
/// same words. The list in the documentation of `hopmq::broker` names each.
#[tokio::test]
async fn what_is_not_done_is_refused_with_540() {
    let of = |queue: &'static str| short(queue);
    let qos = |prefetch_size, global| basic::Qos { prefetch_size, prefetch_count: 1, global };
    let consume = |queue, no_ack| basic::Consume {
        queue: of(queue),
        consumer_tag: short(""),
        no_local: false,
        no_ack,
        exclusive: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    let delete = |if_unused, if_empty| queue::Delete {
        queue: of("quorum"),
        if_unused,
        if_empty,
        no_wait: false,
    };
    let immediate = basic::Publish {
        exchange: short(""),
        routing_key: short("classic"),
        mandatory: false,
        immediate: true,
    };
    let purge = queue::Purge { queue: of("stream"), no_wait: false };
    let get = basic::Get { queue: of("stream"), no_ack: false };
    let named = |queue| format!("queue '{queue}' in vhost '/'");
    let quorum = |flag| {
        let queue = named("quorum");
        format!(
            "cannot delete {queue}. queue.delete operations with {flag} flag set are not supported \
             by quorum queues"
        )
    };
    let of_stream = |what| format!("{what} not supported by stream {}", named("stream"));
    let of_streams = |what| format!("{what} not supported by stream queues {}", named("stream"));

    let (broker, mut raw) = connect().await;
    for (queue, kind) in [("classic", "classic"), ("quorum", "quorum"), ("stream", "stream")] {
        let arguments = FieldTable::new().with("x-queue-type", kind).unwrap().encode();
        let declare = queue::Declare {
            queue: short(queue),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: true,
            arguments: RawTable::new(&arguments),
        };
        raw.send(1, &declare).await;
    }
    let mut publish = said(&immediate);
    publish.extend(said_content());
    let refused: [(Vec<u8>, String); 9] = [
        (said(&channel::Flow { active: false }), "active=false".to_owned()),
        (said(&qos(5, false)), "prefetch_size!=0 (5)".to_owned()),
        (publish, "immediate=true".to_owned()),
        (said(&basic::Recover { requeue: false }), "requeue=false".to_owned()),
        (said(&get), of_streams("basic.get")),
        (said(&purge), of_streams("queue.purge")),
        (said(&consume("stream", true)), of_stream("automatic acknowledgement")),
        (said(&delete(true, false)), quorum("if-unused")),
        (said(&delete(false, true)), quorum("if-empty")),
    ];
    for (said, words) in refused {
        let mut raw = Raw::connect(&broker).await;
        raw.call(1, &qos(0, false), basic::QosOk {}).await;
        raw.write(&said).await;
        raw.connection_closes(540, &format!("NOT_IMPLEMENTED - {words}")).await;
    }
    for queue in ["quorum", "stream"] {
        let mut raw = Raw::connect(&broker).await;
        raw.call(1, &qos(0, true), basic::QosOk {}).await;
        raw.write(&said(&consume(queue, false))).await;
        let words = format!("NOT_IMPLEMENTED - {} does not support global qos", named(queue));
        raw.connection_closes(540, &words).await;
    }
}

/// A method on channel 1, as it is written.
fn said(method: &impl MethodFrame) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode::method(&mut out, 1, method);
    out.to_vec()
}

/// The rest of a message without a body.
fn said_content() -> Vec<u8> {
    let mut out = BytesMut::new();
    encode::content_header(&mut out, 1, 0, &[0, 0]);
    out.to_vec()
}

#[tokio::test]
async fn a_channel_that_was_never_opened_closes_the_connection() {
    let (_broker, mut raw) = connect().await;
    raw.send(9, &basic::Get { queue: short("q"), no_ack: true }).await;
    raw.connection_closes(504, "CHANNEL_ERROR - expected 'channel.open'").await;
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_refused_from_its_header() {
    let (_broker, mut raw) = connect().await;
    raw.write(&[1, 0, 1, 0xff, 0xff, 0xff, 0xff]).await;
    let frame = raw.method().await;
    assert!(
        matches!(frame.method(), hopmq::wire::Method::ConnectionClose(close) if close.reply_code == 501),
        "{frame:?}"
    );
}
