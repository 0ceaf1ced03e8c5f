//! A message is pending, processing, completed or failed, and settled once.

use std::time::{Duration, UNIX_EPOCH};

use hopmq::{
    Message as RawMessage, Queue, ReplyName,
    service::{
        DecodeError, Failure, Fate, Job, Json, Message, MessageId, OnFailure, Priority, Text,
        TraceContext,
    },
};

use crate::{
    kit::{next_job, send},
    place::{Outcome, Place, default_exchange, take},
};

on_both_brokers!(
    a_message_arrives_as_it_was_sent,
    a_message_of_another_program_is_read_too,
    what_says_to_be_something_else_is_refused,
    a_completed_job_is_acked,
    a_failed_job_is_rejected,
    a_job_that_was_not_begun_is_put_back,
    a_dropped_job_comes_again,
    requeueing_ends,
);

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Order {
    customer: String,
    apples: u32,
}

async fn a_message_arrives_as_it_was_sent(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders")).max_priority(3)).await?;
    let trace = TraceContext::root(true);
    let sent = Message::new(Order { customer: "ä".into(), apples: 12 })
        .priority(Priority::Critical)
        .correlation_id("basket-7")
        .reply_to(ReplyName::new("answers")?)
        .header("shop", "eu")?
        .trace(&trace);
    chan.publish(&default_exchange(), &queue, sent.encode(&Json)?).await?.await?;
    let delivery = take(&mut chan.consume(&queue).await?).await?;
    assert!(delivery.properties().is_persistent());
    let received: Message<Order> = Message::decode(&delivery, &Json)?;
    assert_eq!(received.content_type.as_deref(), Some("application/json"));
    assert_eq!(received.trace_context(), Some(trace));
    assert_eq!(received.attempt(), 1);
    let mut same = received.clone();
    same.content_type = None;
    assert_eq!(same, sent);
    delivery.ack()?;
    Ok(())
}

async fn a_message_of_another_program_is_read_too(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    let foreign = RawMessage::text("plain").message_id("no uuid").timestamp(UNIX_EPOCH).transient();
    chan.publish(&default_exchange(), &queue, foreign).await?.await?;
    chan.publish(&default_exchange(), &queue, RawMessage::text("nothing said")).await?.await?;
    let mut consumer = chan.consume(&queue).await?;
    let first = next_job(&mut consumer).await?;
    let message = first.message();
    assert_eq!((message.id.as_str(), message.timestamp), ("no uuid", UNIX_EPOCH));
    assert_eq!((message.priority, message.persistent), (Priority::Normal, false));
    let second = next_job(&mut consumer).await?;
    assert_eq!(second.message().payload, "nothing said");
    assert_eq!(second.message().id.as_str().len(), 36, "it got one");
    first.start().complete()?;
    second.start().complete()?;
    Ok(())
}

async fn what_says_to_be_something_else_is_refused(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    let wrong = [
        RawMessage::text("<a/>").content_type("application/xml"),
        RawMessage::text("{}").content_type("application/json").content_encoding("gzip"),
        RawMessage::text("{").content_type("application/json; charset=utf-8"),
    ];
    for message in wrong {
        chan.publish(&default_exchange(), &queue, message).await?.await?;
    }
    let mut consumer = chan.consume(&queue).await?;
    let mut errors = Vec::new();
    for _ in 0..3 {
        let delivery = take(&mut consumer).await?;
        errors.push(Message::<Order>::decode(&delivery, &Json).expect_err("none of them is one"));
        delivery.reject()?;
    }
    assert!(matches!(&errors[0], DecodeError::Unsupported { .. }), "{:?}", errors[0]);
    let said = "the message says to be application/json in gzip, which is not application/json";
    assert_eq!(errors[1].to_string(), said);
    assert!(matches!(&errors[2], DecodeError::Payload { .. }), "{:?}", errors[2]);
    Ok(())
}

async fn a_completed_job_is_acked(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a"]).await?;
    let job = next_job(&mut chan.consume(&queue).await?).await?;
    assert_eq!((job.queue(), job.attempt()), (queue.name().as_str(), 1));
    let (message, job) = job.start().take();
    assert_eq!(message.into_payload(), "a");
    assert_eq!(format!("{:?}", job.complete()?), "Job<(), Completed>");
    chan.close().await?;
    assert_eq!(at.chan().await?.counts(&queue).await?.messages, 0);
    Ok(())
}

async fn a_failed_job_is_rejected(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a", "b"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let failed = next_job(&mut consumer).await?.start().fail(Failure::retry("no stock")).await?;
    assert_eq!((failed.fate(), failed.message().payload.as_str()), (Fate::Rejected, "a"));
    assert_eq!(next_job(&mut consumer).await?.start().complete()?.message().payload, "b");
    Ok(())
}

async fn a_job_that_was_not_begun_is_put_back(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let message = next_job(&mut consumer).await?.put_back()?;
    let again = next_job(&mut consumer).await?;
    assert_eq!(again.message().id, message.id);
    assert!(again.received().is_redelivered());
    again.start().complete()?;
    Ok(())
}

async fn a_dropped_job_comes_again(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    drop(next_job(&mut consumer).await?.start());
    next_job(&mut consumer).await?.start().complete()?;
    Ok(())
}

async fn requeueing_ends(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let counting = chan.declare(Queue::quorum(at.name("quorum"))).await?;
    let not_counting = chan.declare(Queue::classic(at.name("classic"))).await?;
    send(&chan, &counting, &["a"]).await?;
    send(&chan, &not_counting, &["a"]).await?;
    let on_failure = || OnFailure::Requeue { max_retries: 3 };
    let mut fates = Vec::new();
    let mut consumer = chan.consume(&counting).await?;
    while fates.last() != Some(&Fate::Rejected) {
        let job = Job::new(take(&mut consumer).await?, on_failure()).start();
        fates.push(job.fail(Failure::retry("again")).await?.fate());
    }
    assert_eq!(fates, [Fate::Requeued, Fate::Requeued, Fate::Requeued, Fate::Rejected]);
    drop(consumer);
    let mut consumer = chan.consume(&not_counting).await?;
    for fate in [Fate::Requeued, Fate::Rejected] {
        let job = Job::new(take(&mut consumer).await?, on_failure()).start();
        assert_eq!(job.fail(Failure::retry("again")).await?.fate(), fate);
    }
    send(&chan, &counting, &["b"]).await?;
    let mut consumer = chan.consume(&counting).await?;
    let job = Job::new(take(&mut consumer).await?, on_failure()).start();
    assert_eq!(job.fail(Failure::permanent("never")).await?.fate(), Fate::Rejected);
    Ok(())
}

#[test]
fn ids_and_times_survive_their_encoding() {
    let message = Message::new(String::new()).id(MessageId::new("7").expect("short"));
    let raw = message.encode(&Text).expect("text");
    assert_eq!(raw.properties().message_id(), Some("7"));
    assert_eq!(raw.properties().timestamp(), Some(message.timestamp));
    let since = message.timestamp.duration_since(UNIX_EPOCH).expect("after 1970");
    assert_eq!(since, Duration::from_secs(since.as_secs()));
}
