//! Transactions: all of it, or nothing.

use hopmq::{Exchange, Queue, Topic, wire::ReplyCode};

use crate::place::{Outcome, Place, default_exchange, is_pending, text};

on_both_brokers!(
    a_commit_publishes,
    a_rollback_publishes_nothing,
    settling_is_part_of_it,
    a_transaction_that_cannot_be_committed_closes_the_channel,
    what_is_not_committed_is_gone_with_the_channel,
    messages_that_no_queue_takes_come_back_with_the_commit,
);

async fn a_commit_publishes(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    for _ in 0..3 {
        chan.publish_in_tx(&default_exchange(), &queue, b"x").await?;
    }
    assert_eq!(chan.counts(&queue).await?.messages, 0, "nothing before the commit");
    chan.commit().await?;
    assert_eq!(chan.counts(&queue).await?.messages, 3);
    chan.commit().await?;
    assert_eq!(chan.counts(&queue).await?.messages, 3, "an empty commit changes nothing");
    Ok(())
}

async fn a_rollback_publishes_nothing(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.publish_in_tx(&default_exchange(), &queue, b"undone").await?;
    chan.rollback().await?;
    chan.publish_in_tx(&default_exchange(), &queue, b"done").await?;
    chan.commit().await?;
    let delivery = chan.get(&queue).await?.ok_or("it is there")?;
    assert_eq!(text(&delivery), "done");
    assert!(chan.get(&queue).await?.is_none());
    delivery.ack()?;
    chan.commit().await?;
    Ok(())
}

async fn settling_is_part_of_it(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let name = at.name("inbox");
    let queue = chan.declare(Queue::classic(&name)).await?;
    chan.publish_in_tx(&default_exchange(), &queue, b"x").await?;
    chan.commit().await?;

    // Acked, and rolled back: with the channel it goes back to the queue.
    chan.get(&queue).await?.ok_or("it is there")?.ack()?;
    chan.rollback().await?;
    chan.close().await?;
    let chan = at.chan().await?.tx_select().await?;
    let delivery = chan.get(&queue).await?.ok_or("the ack was rolled back")?;
    assert!(delivery.is_redelivered());

    delivery.ack()?;
    chan.commit().await?;
    chan.close().await?;
    let chan = at.chan().await?;
    assert!(chan.get(&queue).await?.is_none(), "the ack was committed");
    Ok(())
}

async fn a_transaction_that_cannot_be_committed_closes_the_channel(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let nowhere = Exchange::<Topic>::by_name(at.name("nowhere"))?;
    chan.publish_in_tx(&nowhere, "key", b"x").await?;
    let error = chan.commit().await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND), "{error:?}");
    assert_eq!(chan.rollback().await.unwrap_err().reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn what_is_not_committed_is_gone_with_the_channel(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.publish_in_tx(&default_exchange(), &queue, b"x").await?;
    chan.close().await?;
    assert_eq!(at.chan().await?.counts(&queue).await?.messages, 0);
    Ok(())
}

/// AMQP 0-9-1, 1.9.2.3: what is published takes effect at the commit, and so does its return.
async fn messages_that_no_queue_takes_come_back_with_the_commit(at: Place) -> Outcome {
    let chan = at.chan().await?.tx_select().await?;
    let news = chan.declare(Exchange::fanout(at.name("news"))).await?;
    let mut returns = chan.returns();
    chan.publish_in_tx(&news, (), b"undone").mandatory().await?;
    chan.rollback().await?;
    chan.publish_in_tx(&news, (), b"done").mandatory().await?;
    let mut next = returns.next();
    chan.counts(&chan.declare(Queue::classic(at.name("inbox"))).await?).await?;
    assert!(is_pending(&mut next).await, "nothing before the commit");
    chan.commit().await?;
    let returned = next.await.ok_or("the channel has ended")?;
    assert_eq!(returned.code, ReplyCode::NO_ROUTE);
    assert_eq!(text(&returned.message), "done");
    chan.close().await?;
    assert!(returns.next().await.is_none(), "what was rolled back does not come back");
    Ok(())
}
