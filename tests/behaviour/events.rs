//! What the broker tells by itself: each event can be awaited, and ignored, and holds nobody up.

use std::time::Duration;

use hopmq::{
    Conn, ConnectionState, ConsumeError, Error, Exchange, Message, Queue, Topic, wire::ReplyCode,
};

use crate::place::{Outcome, Place, default_exchange, fill, is_pending, take_texts};

on_both_brokers!(
    the_end_of_a_channel_is_awaited,
    the_end_of_a_connection_is_awaited,
    waiting_for_an_end_keeps_nothing_alive,
    a_consumer_that_the_broker_cancels_ends_otherwise_than_one_that_we_cancel,
    returns_are_taken_or_left,
    nobody_is_blocked,
);

async fn the_end_of_a_channel_is_awaited(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let (chan, other) = (conn.open_channel().await?, conn.open_channel().await?);
    let (mut closed, mut others) = (chan.closed(), other.closed());
    assert!(is_pending(&mut closed).await && is_pending(&mut others).await);
    let nowhere = Exchange::<Topic>::by_name(at.name("nowhere"))?;
    chan.publish_unconfirmed(&nowhere, "key", b"lost").await?;
    assert_eq!(closed.await.reply_code(), Some(ReplyCode::NOT_FOUND));
    // Whoever asks later hears the same.
    assert_eq!(chan.closed().await.reply_code(), Some(ReplyCode::NOT_FOUND));
    assert!(is_pending(&mut others).await, "the other channel lives");
    other.close().await?;
    assert!(matches!(others.await, Error::Closed));
    Ok(())
}

async fn the_end_of_a_connection_is_awaited(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?;
    let (mut closed, mut with_it) = (conn.closed(), chan.closed());
    assert!(is_pending(&mut closed).await && is_pending(&mut with_it).await);
    let (blocked, unblocked) = (conn.blocked(), conn.unblocked());
    conn.close().await?;
    assert!(matches!(closed.await, Error::Closed));
    assert!(matches!(with_it.await, Error::Closed));
    assert!(matches!(blocked.await, Err(Error::Closed)));
    assert!(matches!(unblocked.await, Err(Error::Closed)));
    Ok(())
}

async fn waiting_for_an_end_keeps_nothing_alive(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let chan = conn.open_channel().await?;
    let (of_conn, of_chan) = (conn.closed(), chan.closed());
    drop(chan);
    assert!(matches!(of_chan.await, Error::Closed));
    drop(conn);
    assert!(matches!(of_conn.await, Error::Closed));
    Ok(())
}

async fn a_consumer_that_the_broker_cancels_ends_otherwise_than_one_that_we_cancel(
    at: Place,
) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let (mut ours, mut theirs) = (chan.consume(&queue).await?, chan.consume(&queue).await?);
    ours.cancel().await?;
    assert!(ours.next().await.is_none(), "a normal end");
    chan.delete_queue(&queue).await?;
    let end = theirs.next().await.ok_or("it says why")?.unwrap_err();
    let ConsumeError::CancelledByBroker { queue: of } = &end else { panic!("{end:?}") };
    assert_eq!(*of, queue.name());
    assert!(theirs.next().await.is_none(), "once");
    Ok(())
}

/// Returns that nobody listens to do not hold the channel up; who listens has them in order.
async fn returns_are_taken_or_left(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let news = chan.declare(Exchange::fanout(at.name("news"))).await?;
    for number in 0..3u8 {
        chan.publish_unconfirmed(&news, (), [number]).mandatory().await?;
    }
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    assert_eq!(chan.counts(&queue).await?.messages, 0, "the channel goes on");
    let mut returns = chan.returns();
    for number in 0..3u8 {
        let returned = returns.next().await.ok_or("the channel has ended")?;
        assert_eq!(returned.code, ReplyCode::NO_ROUTE);
        assert_eq!(returned.message.body().into_bytes(), [number][..]);
    }
    chan.close().await?;
    assert!(returns.next().await.is_none());
    Ok(())
}

async fn nobody_is_blocked(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let mut blocked = conn.blocked();
    assert!(is_pending(&mut blocked).await);
    conn.unblocked().await?;
    assert_eq!(conn.block_reason(), None);
    Ok(())
}

/// The broker's alarm: the embedded broker's by command, RabbitMQ's for its memory.
/// An alarm that hangs says where.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    let in_time = tokio::time::timeout(Duration::from_secs(60), future).await;
    in_time.map_err(|_| format!("after a minute this is still not done: {what}"))
}

async fn an_alarm_is_awaited(conn: Conn<hopmq::Connected>, raise: impl AsyncFn(bool)) -> Outcome {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut changes = conn.state_changes();
    let mut blocked = conn.blocked();
    assert!(is_pending(&mut blocked).await);
    within("to raise the alarm", raise(true)).await?;
    // RabbitMQ tells whoever publishes.
    let default = default_exchange();
    let confirm = chan.publish(&default, &queue, Message::text("held back")).await?;
    let reason = within("to be told of the block", blocked).await??;
    assert_eq!(&*reason, "low on memory");
    assert_eq!(conn.block_reason(), Some(reason));
    assert_eq!(conn.state(), ConnectionState::Degraded);
    let mut unblocked = conn.unblocked();
    assert!(is_pending(&mut unblocked).await);
    within("to clear the alarm", raise(false)).await?;
    within("to be told of its end", unblocked).await??;
    assert_eq!(conn.block_reason(), None);
    within("the confirm of what was held back", confirm).await??;
    // Whoever reads the changes finds both there; nothing waited for that.
    let mut seen = Vec::new();
    while !(seen.contains(&"degrade") && seen.contains(&"clear")) {
        let change = within("to find both in the changes", changes.next()).await?;
        seen.push(change.ok_or("it ended")?.event);
    }
    let mut consumer = chan.consume(&queue).await?;
    assert_eq!(take_texts(&mut consumer, 1).await?, ["held back"]);
    fill(&chan, &queue, &["goes on"]).await?;
    Ok(())
}

#[tokio::test]
async fn an_alarm_of_the_embedded_broker_is_awaited() -> Outcome {
    let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    let conn = Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
    let alarm = an_alarm_is_awaited(conn, async |raise| match raise {
        true => broker.faults().block(),
        false => broker.faults().unblock(),
    });
    alarm.await
}

mod own_nodes {
    use std::sync::Arc;

    use super::*;
    use crate::node::Node;

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn an_alarm_of_rabbitmq_is_awaited() -> Outcome {
        let node = Arc::new(tokio::task::spawn_blocking(Node::start).await?);
        let conn = Conn::new(node.uri().parse::<hopmq::Uri>()?).connect().await?;
        let alarm = an_alarm_is_awaited(conn, async |raise| {
            let (node, mark) = (node.clone(), if raise { "0" } else { "0.4" });
            let set = move || node.ctl(&["set_vm_memory_high_watermark", mark]);
            tokio::task::spawn_blocking(set).await.expect("rabbitmqctl");
        });
        alarm.await
    }
}
