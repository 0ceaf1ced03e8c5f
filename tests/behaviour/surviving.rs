//! Connections that are cut: consumers live on, and learn whether they missed anything; what cannot
//! be declared again at once is reported by name, and tried again.

use std::time::Duration;

use hopmq::{
    Config, Conn, Connected, ConnectionState, ConsumeError, Exchange, Missed, Queue, StateChanges,
    WhenCancelled,
    fsm::supervisor::{Backoff, Policy},
    queue::{Offset, QueueDeclaration, QueueKind},
    wire::ShortString,
};

use crate::{
    place::{Outcome, Place, fill, take, take_texts, text, until},
    proxy::Proxy,
};

on_both_brokers!(
    a_consumer_goes_on_and_missed_nothing,
    a_consumer_of_a_queue_that_ends_with_it_may_have_missed_something,
    an_automatic_consumer_may_have_missed_what_was_on_its_way,
    interruptions_end_with_the_consumer,
    a_stream_is_read_on_behind_what_was_settled,
    a_stream_of_which_nothing_came_may_skip_something,
    a_cancelled_consumer_declares_its_queue_again,
    a_cancelled_consumer_waits_for_its_queue,
    a_consumer_that_waits_for_its_queue_survives_a_cut,
    a_consumer_waits_only_as_often_as_the_policy_says,
    a_queue_that_was_refused_is_tried_again,
    a_queue_that_was_refused_and_is_deleted_here_is_forgotten,
    a_consumer_waits_for_a_queue_that_was_refused,
);

/// Reconnects soon, and tries again soon.
fn soon(config: Config) -> Config {
    let millis = Duration::from_millis;
    let backoff = Backoff::exponential(millis(10), millis(200));
    config.recovery(Policy { backoff, breaker: None, ..Policy::default() })
}

/// A connection whose wire can be cut.
async fn cuttable(at: &Place) -> Outcome<(Proxy, Conn<Connected>)> {
    let proxy = Proxy::to(soon(at.config())).await?;
    let conn = Conn::new(proxy.config()).connect().await?;
    Ok((proxy, conn))
}

/// Fills a queue on a connection of its own. To that it is another broker than behind the wire, where
/// brokers are told apart by address: so the queue is declared there as well.
async fn fill_there<K: QueueKind>(
    at: &Place,
    queue: QueueDeclaration<K>,
    bodies: &[&str],
) -> Outcome {
    let publisher = at.publisher().await?;
    let queue = publisher.declare(queue).await?;
    fill(&publisher, &queue, bodies).await
}

/// Deletes a queue on a connection of its own.
async fn delete_there(at: &Place, name: &ShortString) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::classic(name).passive()).await?;
    chan.delete_queue(&queue).await?;
    Ok(())
}

/// Waits until the connection comes to this state, from here on.
async fn comes_to(changes: &mut StateChanges, state: ConnectionState) -> Outcome {
    while changes.next().await.ok_or("it ended")?.to != state {}
    Ok(())
}

async fn a_consumer_goes_on_and_missed_nothing(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let inbox = Queue::classic(at.name("inbox"));
    let queue = chan.declare(inbox.clone()).await?;
    let mut consumer = chan.consume(&queue).await?;
    let mut interruptions = consumer.interruptions();
    for body in ["a", "b"] {
        proxy.cut();
        let interruption = interruptions.next().await.ok_or("the consumer ended")?;
        assert_eq!(interruption.missed, Missed::Nothing);
        assert!(!interruption.may_have_missed());
        assert!(matches!(interruption.cause, ConsumeError::Ended(_)), "{interruption:?}");
        fill_there(&at, inbox.clone(), &[body]).await?;
        assert_eq!(take_texts(&mut consumer, 1).await?, [body]);
        // An answer comes after what was sent before the call on its channel: the ack is there.
        chan.counts(&queue).await?;
    }
    Ok(())
}

async fn a_consumer_of_a_queue_that_ends_with_it_may_have_missed_something(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let mine = chan.declare(Queue::server_named()).await?;
    let shared = chan.declare(Queue::classic(at.name("shared")).auto_delete()).await?;
    let mut interruptions = Vec::new();
    let consumers = (chan.consume(&mine).await?, chan.consume(&shared).await?);
    interruptions.extend([consumers.0.interruptions(), consumers.1.interruptions()]);
    proxy.cut();
    for mut interruptions in interruptions {
        let interruption = interruptions.next().await.ok_or("the consumer ended")?;
        assert_eq!(interruption.missed, Missed::Queue, "{interruption}");
    }
    Ok(())
}

async fn an_automatic_consumer_may_have_missed_what_was_on_its_way(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let consumer = chan.consume(&queue).automatic_ack().await?;
    proxy.cut();
    let interruption = consumer.interruptions().next().await.ok_or("the consumer ended")?;
    assert_eq!(interruption.missed, Missed::InFlight);
    Ok(())
}

async fn interruptions_end_with_the_consumer(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let consumer = chan.consume(&queue).await?;
    let (mut early, mut late) = (consumer.interruptions(), consumer.interruptions());
    proxy.cut();
    assert!(early.next().await.is_some());
    drop(consumer);
    assert!(early.next().await.is_none());
    drop(proxy);
    // Whoever reads late may find the consumer forgotten; it does not wait for what cannot come.
    while late.next().await.is_some() {}
    Ok(())
}

async fn a_stream_is_read_on_behind_what_was_settled(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let log = Queue::stream(at.name("log"));
    let queue = chan.declare(log.clone()).await?;
    fill_there(&at, log.clone(), &["a", "b", "c", "d", "e"]).await?;
    let mut consumer = chan.consume(&queue).prefetch(3).offset(Offset::First).await?;
    let mut interruptions = consumer.interruptions();
    let (a, b, c) =
        (take(&mut consumer).await?, take(&mut consumer).await?, take(&mut consumer).await?);
    assert_eq!([text(&a), text(&b), text(&c)], ["a", "b", "c"]);
    // `b` is not settled: it comes again, and what follows it.
    a.ack()?;
    c.ack()?;
    proxy.cut();
    let interruption = interruptions.next().await.ok_or("the consumer ended")?;
    assert_eq!(interruption.missed, Missed::Nothing);
    assert!(b.ack().is_err(), "it is stale");
    assert_eq!(take_texts(&mut consumer, 4).await?, ["b", "c", "d", "e"]);
    proxy.cut();
    interruptions.next().await.ok_or("the consumer ended")?;
    fill_there(&at, log, &["f"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["f"], "nothing comes twice that was settled");
    Ok(())
}

async fn a_stream_of_which_nothing_came_may_skip_something(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::stream(at.name("log"))).await?;
    let next = chan.consume(&queue).prefetch(1).offset(Offset::Next).await?;
    let first = chan.consume(&queue).prefetch(1).offset(Offset::First).await?;
    let (mut next, mut first) = (next.interruptions(), first.interruptions());
    proxy.cut();
    assert!(next.next().await.ok_or("it ended")?.may_have_missed());
    assert!(!first.next().await.ok_or("it ended")?.may_have_missed());
    Ok(())
}

async fn a_cancelled_consumer_declares_its_queue_again(at: Place) -> Outcome {
    let conn = Conn::new(soon(at.config())).connect().await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox"))).await?;
    let orders = chan.declare(Exchange::topic(at.name("orders"))).await?;
    chan.bind(&queue, &orders, "#").await?;
    let consume = chan.consume(&queue).when_cancelled(WhenCancelled::Redeclare);
    let mut consumer = consume.await?;
    let mut interruptions = consumer.interruptions();
    for body in ["a", "b"] {
        at.chan().await?.delete_queue(&queue).await?;
        let interruption = interruptions.next().await.ok_or("the consumer ended")?;
        assert!(matches!(interruption.cause, ConsumeError::CancelledByBroker { .. }));
        assert_eq!(interruption.missed, Missed::Queue);
        // The binding follows the queue.
        until(async || Ok(conn.state() == ConnectionState::Connected)).await?;
        let publisher = at.publisher().await?;
        publisher.publish(&orders, "order", body.as_bytes()).mandatory().await?.await?;
        assert_eq!(take_texts(&mut consumer, 1).await?, [body]);
    }
    Ok(())
}

async fn a_cancelled_consumer_waits_for_its_queue(at: Place) -> Outcome {
    let conn = Conn::new(soon(at.config())).connect().await?;
    let mut changes = conn.state_changes();
    let (other, chan) = (at.chan().await?, conn.open_channel().await?);
    let declaration = Queue::classic(at.name("inbox"));
    let queue = other.declare(declaration.clone()).await?;
    let mut consumer = chan.consume(&queue).when_cancelled(WhenCancelled::Resubscribe).await?;
    other.delete_queue(&queue).await?;
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    until(async || Ok(!conn.stats().not_recovered.is_empty())).await?;
    let reported = &conn.stats().not_recovered[0];
    assert_eq!(&*reported.entity, format!("queue '{}'", queue.name()));
    assert_eq!(reported.reason.code, hopmq::wire::ReplyCode::NOT_FOUND);
    assert!(chan.close_reason().is_none(), "its channel is not what was asked on");
    other.declare(declaration).await?;
    comes_to(&mut changes, ConnectionState::Connected).await?;
    assert!(conn.stats().not_recovered.is_empty());
    fill(&at.publisher().await?, &queue, &["a"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["a"]);
    Ok(())
}

async fn a_consumer_that_waits_for_its_queue_survives_a_cut(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let mut changes = conn.state_changes();
    let (other, chan) = (at.chan().await?, conn.open_channel().await?);
    let declaration = Queue::classic(at.name("inbox"));
    let queue = other.declare(declaration.clone()).await?;
    let seen = chan.declare(declaration.clone().passive()).await?;
    let mut consumer = chan.consume(&seen).when_cancelled(WhenCancelled::Resubscribe).await?;
    proxy.hold();
    other.delete_queue(&queue).await?;
    proxy.release();
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    proxy.cut();
    comes_to(&mut changes, ConnectionState::Reconnecting).await?;
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    other.declare(declaration.clone()).await?;
    comes_to(&mut changes, ConnectionState::Connected).await?;
    fill_there(&at, declaration, &["a"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["a"]);
    Ok(())
}

async fn a_consumer_waits_only_as_often_as_the_policy_says(at: Place) -> Outcome {
    let mut config = soon(at.config());
    config.recovery.max_attempts = Some(3);
    let chan = Conn::new(config).connect().await?.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).when_cancelled(WhenCancelled::Resubscribe).await?;
    at.chan().await?.delete_queue(&queue).await?;
    let end = consumer.next().await.ok_or("it says why")?;
    assert!(matches!(end, Err(ConsumeError::CancelledByBroker { .. })), "{end:?}");
    Ok(())
}

/// The queue is another one when the connection comes back.
async fn replaced(at: &Place, proxy: &Proxy, queue: &Queue<hopmq::Classic>) -> Outcome {
    proxy.hold();
    delete_there(at, &queue.name()).await?;
    at.chan().await?.declare(Queue::classic(queue.name()).max_length(7)).await?;
    proxy.release();
    Ok(())
}

async fn a_queue_that_was_refused_is_tried_again(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let mut changes = conn.state_changes();
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let orders = chan.declare(Exchange::topic(at.name("orders"))).await?;
    chan.bind(&queue, &orders, "#").await?;
    let mut consumer = chan.consume(&queue).await?;
    replaced(&at, &proxy, &queue).await?;
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    let reported = conn.stats().not_recovered;
    assert_eq!(&*reported[0].entity, format!("queue '{}'", queue.name()));
    assert_eq!(reported[0].reason.code, hopmq::wire::ReplyCode::PRECONDITION_FAILED);
    let end = consumer.next().await.ok_or("it says why")?;
    assert!(matches!(end, Err(ConsumeError::Ended(_))), "{end:?}");
    delete_there(&at, &queue.name()).await?;
    comes_to(&mut changes, ConnectionState::Connected).await?;
    assert!(conn.stats().not_recovered.is_empty());
    assert_eq!(chan.counts(&queue).await?.messages, 0, "it is there");
    Ok(())
}

async fn a_queue_that_was_refused_and_is_deleted_here_is_forgotten(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let mut changes = conn.state_changes();
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    replaced(&at, &proxy, &queue).await?;
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    chan.delete_queue(&queue).await?;
    comes_to(&mut changes, ConnectionState::Connected).await?;
    let gone = chan.declare(Queue::classic(queue.name()).passive()).await;
    assert!(gone.is_err(), "what was deleted stays deleted");
    Ok(())
}

async fn a_consumer_waits_for_a_queue_that_was_refused(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at).await?;
    let mut changes = conn.state_changes();
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).when_cancelled(WhenCancelled::Resubscribe).await?;
    replaced(&at, &proxy, &queue).await?;
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    delete_there(&at, &queue.name()).await?;
    comes_to(&mut changes, ConnectionState::Connected).await?;
    fill_there(&at, Queue::classic(queue.name()), &["a"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["a"]);
    Ok(())
}
