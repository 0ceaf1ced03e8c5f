//! What a broker may do to a client: block it, keep silent, refuse, hang up. Everything still ends, and nothing
//! that was lost passes for success.

use std::time::{Duration, Instant};

use hopmq::{
    Chan, Config, Confirm, Confirming, Conn, ConsumeError, Error, Hold, Message, Queue,
    Unconfirmed, queue::Classic, wire::ReplyCode,
};

use crate::place::{Outcome, Place, default_exchange, fill, take, take_texts, until};

on_the_embedded_broker!(
    a_blocked_publish_waits_and_goes_on,
    many_wait_while_blocked_and_go_on,
    a_blocked_publish_ends_at_its_deadline,
    a_blocked_publish_fails_at_once_where_so_configured,
    a_blocked_connection_consumes_and_closes,
    a_withheld_confirm_leaves_the_outcome_unknown,
    a_confirm_that_comes_late_changes_nothing,
    a_broker_that_nacks_everything_is_heard,
    a_broker_that_does_not_read_holds_nobody_for_ever,
    a_call_ends_at_its_own_deadline,
    a_cut_leaves_outstanding_confirms_unknown,
    a_closed_connection_gives_its_reason,
    a_closed_channel_gives_its_reason,
    a_cancelled_consumer_hears_of_it,
    a_queue_that_is_deleted_cancels_its_consumers,
);

const SHORT: Duration = Duration::from_millis(100);
const PATIENT: Duration = Duration::from_secs(30);

fn impatient(at: &Place) -> Config {
    at.config().without_recovery().call_timeout(SHORT)
}

async fn confirming(config: Config) -> Outcome<(Conn<hopmq::Connected>, Chan<Confirming>)> {
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    Ok((conn, chan))
}

/// Raises the alarm, and publishes what makes the broker tell this connection of it.
async fn block(
    at: &Place,
    conn: &Conn<hopmq::Connected>,
    chan: &Chan<Confirming>,
    queue: &Queue<Classic>,
) -> Outcome<Confirm> {
    at.broker().faults().block();
    let confirm = chan.publish(&default_exchange(), queue, b"the last").await?;
    assert_eq!(&*conn.blocked().await?, "low on memory");
    Ok(confirm)
}

async fn a_blocked_publish_waits_and_goes_on(at: Place) -> Outcome {
    let (conn, chan) = confirming(at.config()).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let first = block(&at, &conn, &chan, &queue).await?;
    let default = default_exchange();
    let mut waiting = chan.publish(&default, &queue, b"waits").within(PATIENT);
    assert!(crate::place::is_pending(&mut waiting).await);
    at.broker().faults().unblock();
    waiting.await?.await?;
    first.await?;
    assert_eq!(conn.block_reason(), None);
    assert_eq!(chan.counts(&queue).await?.messages, 2);
    Ok(())
}

async fn many_wait_while_blocked_and_go_on(at: Place) -> Outcome {
    let (conn, chan) = confirming(at.config()).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let first = block(&at, &conn, &chan, &queue).await?;
    let default = default_exchange();
    let mut waiting = chan.publish_all(&default, &queue, [b"a", b"b", b"c"]).within(PATIENT);
    assert!(crate::place::is_pending(&mut waiting).await);
    at.broker().faults().unblock();
    let confirms = waiting.await?;
    first.await?;
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    at.broker().faults().block();
    let again = chan.publish(&default, &queue, b"d").await?;
    conn.blocked().await?;
    let all = [b"e", b"f"];
    let partly = chan.publish_all(&default, &queue, all).within(SHORT).await.unwrap_err();
    let (error, handed_over, failed, untried) = partly.into_parts();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!((handed_over.len(), failed), (0, Message::new(b"e")));
    assert_eq!(untried.collect::<Vec<_>>(), [Message::new(b"f")]);
    at.broker().faults().unblock();
    again.await?;
    let mut consumer = chan.consume(&queue).await?;
    assert_eq!(take_texts(&mut consumer, 5).await?, ["the last", "a", "b", "c", "d"]);
    Ok(())
}

async fn a_blocked_publish_ends_at_its_deadline(at: Place) -> Outcome {
    let (conn, chan) = confirming(impatient(&at)).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let first = block(&at, &conn, &chan, &queue).await?;
    let failed = chan.publish(&default_exchange(), &queue, b"waits").await.unwrap_err();
    let (error, message) = failed.into_parts();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(message.body().len(), 5);
    // The one that the broker told us over was taken.
    first.await?;
    Ok(())
}

async fn a_blocked_publish_fails_at_once_where_so_configured(at: Place) -> Outcome {
    let (conn, chan) = confirming(at.config().while_blocked(Hold::FailFast)).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let first = block(&at, &conn, &chan, &queue).await?;
    let failed = chan.publish(&default_exchange(), &queue, b"no").await.unwrap_err();
    assert!(matches!(failed.error(), Error::Blocked { .. }), "{failed:?}");
    at.broker().faults().unblock();
    first.await?;
    conn.unblocked().await?;
    chan.publish(&default_exchange(), &queue, b"again").await?.await?;
    Ok(())
}

/// Ack and close are not held back by us; where the broker does not read, they end at their deadlines.
async fn a_blocked_connection_consumes_and_closes(at: Place) -> Outcome {
    let (conn, chan) = confirming(impatient(&at)).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let delivery = take(&mut consumer).await?;
    let _first = block(&at, &conn, &chan, &queue).await?;
    delivery.ack()?;
    take(&mut consumer).await?.ack()?;
    conn.close().await?;
    Ok(())
}

async fn a_withheld_confirm_leaves_the_outcome_unknown(at: Place) -> Outcome {
    let (_conn, chan) = confirming(impatient(&at)).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().withhold_confirms();
    let mut confirms = Vec::new();
    for _ in 0..10 {
        confirms.push(chan.publish(&default_exchange(), &queue, b"x").await?);
    }
    for confirm in confirms {
        let (reason, message) = confirm.await.unwrap_err().into_parts();
        assert!(matches!(reason, Unconfirmed::Unknown(Error::Timeout { .. })), "{reason:?}");
        assert_eq!(message.body().len(), 1);
    }
    Ok(())
}

async fn a_confirm_that_comes_late_changes_nothing(at: Place) -> Outcome {
    let (_conn, chan) = confirming(at.config().call_timeout(Duration::from_secs(1))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().withhold_confirms();
    let overdue = chan.publish(&default_exchange(), &queue, b"x").await?;
    overdue.await.unwrap_err();
    at.broker().faults().release_confirms();
    fill(&chan, &queue, &["y", "z"]).await?;
    Ok(())
}

async fn a_broker_that_nacks_everything_is_heard(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().nack_publishes(100);
    let mut confirms = Vec::new();
    for number in 0..100_u32 {
        let message = Message::new(number.to_be_bytes());
        confirms.push((number, chan.publish(&default_exchange(), &queue, message).await?));
    }
    for (number, confirm) in confirms {
        let (reason, message) = confirm.await.unwrap_err().into_parts();
        assert!(matches!(reason, Unconfirmed::Nacked), "{reason:?}");
        assert_eq!(message.into_body().into_bytes(), number.to_be_bytes().as_slice());
    }
    fill(&chan, &queue, &["taken again"]).await?;
    Ok(())
}

/// The broker stops reading in the middle of it all: every operation still ends.
async fn a_broker_that_does_not_read_holds_nobody_for_ever(at: Place) -> Outcome {
    let mut config = impatient(&at);
    config.limits.window_bytes = 1 << 30;
    let (conn, chan) = confirming(config).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().stop_reading();
    let began = Instant::now();
    let mut confirms = Vec::new();
    let refused = loop {
        match chan.publish(&default_exchange(), &queue, vec![0; 1 << 20]).await {
            Ok(confirm) => confirms.push(confirm),
            Err(failed) => break failed.into_parts().0,
        }
        assert!(confirms.len() < 500, "the outbound buffer is bounded");
    };
    assert!(matches!(refused, Error::Timeout { .. }), "{refused:?}");
    for confirm in confirms {
        assert!(matches!(confirm.await.unwrap_err().reason(), Unconfirmed::Unknown(_)));
    }
    let error = chan.counts(&queue).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    let _ = chan.close().await;
    conn.close().await?;
    assert!(began.elapsed() < PATIENT, "{:?}", began.elapsed());
    Ok(())
}

async fn a_call_ends_at_its_own_deadline(at: Place) -> Outcome {
    let conn = Conn::new(at.config().without_recovery()).connect().await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    at.broker().faults().stop_reading();
    let error = chan.counts(&queue).within(SHORT).await.unwrap_err();
    let Error::Timeout { operation, after } = error else { panic!("{error:?}") };
    assert_eq!((operation, after), ("queue.declare", SHORT));
    let error = conn.open_channel().within(SHORT).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { operation: "channel.open", .. }), "{error:?}");
    // The answer that nobody waits for any more is not taken for another's.
    at.broker().faults().resume_reading();
    chan.publish_unconfirmed(&default_exchange(), &queue, b"x").await?;
    assert_eq!(chan.counts(&queue).await?.messages, 1);
    Ok(())
}

async fn a_cut_leaves_outstanding_confirms_unknown(at: Place) -> Outcome {
    for config in [at.config(), at.config().without_recovery()] {
        let recovers = config.recovery.reconnect;
        let (conn, chan) = confirming(config).await?;
        let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
        at.broker().faults().withhold_confirms();
        let mut confirms = Vec::new();
        for _ in 0..50 {
            confirms.push(chan.publish(&default_exchange(), &queue, b"x").await?);
        }
        at.broker().faults().cut_connections();
        for confirm in confirms {
            let error = confirm.await.unwrap_err();
            let cause = matches!(error.reason(), Unconfirmed::Unknown(Error::Network { .. }));
            assert!(cause, "{error:?}");
        }
        at.broker().faults().release_confirms();
        if recovers {
            fill(&chan, &queue, &["afterwards"]).await?;
        } else {
            assert!(matches!(conn.closed().await, Error::Network { .. }));
        }
    }
    Ok(())
}

async fn a_closed_connection_gives_its_reason(at: Place) -> Outcome {
    let conn = Conn::new(at.config().without_recovery()).connect().await?;
    let chan = conn.open_channel().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut consumer = chan.consume(&queue).await?;
    at.broker().faults().close_connections(ReplyCode::CONNECTION_FORCED, "maintenance");
    let reasons = [
        conn.closed().await,
        consumer.next().await.ok_or("the end comes with its reason")?.unwrap_err().into(),
        chan.counts(&queue).await.unwrap_err(),
        conn.open_channel().await.unwrap_err(),
    ];
    for error in reasons {
        assert_eq!(error.reply_code(), Some(ReplyCode::CONNECTION_FORCED), "{error:?}");
        assert!(error.reply_text().is_some_and(|text| text.contains("maintenance")), "{error}");
    }
    Ok(())
}

async fn a_closed_channel_gives_its_reason(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    at.broker().faults().withhold_confirms();
    let confirm = chan.publish(&default_exchange(), &queue, b"x").await?;
    until(async || Ok(at.broker().queue_depth("/", queue.name().as_str()) == Some(1))).await?;
    let connection = at.broker().connections().first().ok_or("one connection")?.id;
    assert!(at.broker().faults().close_channel(connection, 1, ReplyCode::NOT_FOUND, "gone"));
    let error = confirm.await.unwrap_err();
    let Unconfirmed::Unknown(cause) = error.reason() else { panic!("{error:?}") };
    assert_eq!(cause.reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn a_cancelled_consumer_hears_of_it(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox"))).await?;
    let mut consumer = chan.consume(&queue).await?;
    fill(&chan, &queue, &["a"]).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["a"]);
    assert_eq!(at.broker().faults().cancel_consumers("/", queue.name().as_str()), 1);
    let error = consumer.next().await.ok_or("the end comes with its reason")?.unwrap_err();
    assert!(matches!(error, ConsumeError::CancelledByBroker { .. }), "{error:?}");
    assert!(consumer.next().await.is_none());
    let mut again = chan.consume(&queue).await?;
    fill(&chan, &queue, &["b"]).await?;
    assert_eq!(take_texts(&mut again, 1).await?, ["b"]);
    Ok(())
}

async fn a_queue_that_is_deleted_cancels_its_consumers(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&chan, &queue, &["a", "b"]).await?;
    let mut consumer = chan.consume(&queue).prefetch(10).await?;
    let held = take(&mut consumer).await?;
    assert!(at.broker().faults().delete_queue("/", queue.name().as_str()));
    // What had arrived can still be taken; then the reason comes.
    let end = loop {
        match consumer.next().await.ok_or("the end comes with its reason")? {
            Ok(delivery) => delivery.ack()?,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, ConsumeError::CancelledByBroker { .. }), "{end:?}");
    held.ack()?;
    Ok(())
}
