//! Channels: opened, closed, reopened; their exceptions, told for good and kept to themselves.

use hopmq::{Blame, Conn, Error, Exchange, Queue, Topic, Unconfirmed, wire::ReplyCode};

use crate::place::{Outcome, Place, default_exchange, fill, take};

on_both_brokers!(
    a_channel_opens_closes_and_reopens,
    an_open_channel_is_not_closed,
    an_exception_is_told_to_every_later_call,
    an_exception_stays_on_its_channel,
    an_exception_ends_consumers_and_confirms,
    a_channel_that_died_reopens,
    all_channels_are_used_and_given_back,
    channels_open_and_close_in_a_loop,
    a_dropped_channel_is_closed,
);

async fn a_channel_opens_closes_and_reopens(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let mut chan = conn.open_channel().await?;
    for _ in 0..3 {
        chan.declare(Queue::server_named()).await?;
        let closed = chan.close().await?;
        assert!(matches!(closed.close_reason(), Some(Error::Closed)));
        chan = closed.reopen().await?;
        assert!(chan.close_reason().is_none());
    }
    let confirming = chan.confirm_select().await?.close().await?;
    confirming.reopen().await?.tx_select().await?.close().await?;
    Ok(())
}

async fn an_open_channel_is_not_closed(at: Place) -> Outcome {
    let chan = at.chan().await?.into_closed().expect_err("it is open");
    chan.declare(Queue::server_named()).await?;
    Ok(())
}

async fn an_exception_is_told_to_every_later_call(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let missing = at.name("missing");
    let first = chan.declare(Queue::classic(&missing).passive()).await.unwrap_err();
    is_not_found(&first, &missing);

    let default = default_exchange();
    let errors = [
        chan.declare(Queue::classic(at.name("other"))).await.map(drop).unwrap_err(),
        chan.counts(&queue).await.map(drop).unwrap_err(),
        chan.get(&queue).await.map(drop).unwrap_err(),
        chan.consume(&queue).await.map(drop).unwrap_err(),
        chan.delete_queue(&queue).await.map(drop).unwrap_err(),
        chan.publish_unconfirmed(&default, &queue, b"x").await.unwrap_err().into(),
        chan.close_reason().ok_or("it is closed")?,
        chan.confirm_select().await.map(drop).unwrap_err(),
    ];
    for error in &errors {
        is_not_found(error, &missing);
    }
    Ok(())
}

fn is_not_found(error: &Error, name: &str) {
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND), "{error:?}");
    let text = format!("NOT_FOUND - no queue '{name}' in vhost '/'");
    assert_eq!(error.reply_text(), Some(text.as_str()));
    assert_eq!(error.method().map(|method| method.to_string()).as_deref(), Some("queue.declare"));
    assert_eq!(error.blame(), Blame::Broker);
}

async fn an_exception_stays_on_its_channel(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let (one, other) = (conn.open_channel().await?, conn.open_channel().await?);
    let queue = other.declare(Queue::server_named()).await?;
    one.declare(Queue::classic(at.name("missing")).passive()).await.unwrap_err();
    assert_eq!(other.counts(&queue).await?.messages, 0);
    assert!(conn.close_reason().is_none());
    conn.open_channel().await?;
    Ok(())
}

async fn an_exception_ends_consumers_and_confirms(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    fill(&chan, &queue, &["one"]).await?;
    let mut consumer = chan.consume(&queue).await?;
    let held = take(&mut consumer).await?;

    let nowhere = Exchange::<Topic>::by_name(at.name("nowhere"))?;
    let confirm = chan.publish(&nowhere, "key", b"lost").await?;
    let unconfirmed = confirm.await.unwrap_err();
    assert_eq!(unconfirmed.into_parts().1.body().len(), 4, "the message comes back");

    let ended = consumer.next().await.ok_or("the end comes with its reason")?.unwrap_err();
    let error = Error::from(ended);
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND), "{error:?}");
    assert!(consumer.next().await.is_none());
    assert_eq!(held.ack().unwrap_err().reply_code(), Some(ReplyCode::NOT_FOUND));

    let failed = chan.publish(&default_exchange(), &queue, b"late").await.unwrap_err();
    assert_eq!(failed.error().reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn a_channel_that_died_reopens(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let nowhere = Exchange::<Topic>::by_name(at.name("nowhere"))?;
    let failed = chan.publish(&nowhere, "key", b"lost").await?.await.unwrap_err();
    let Unconfirmed::Unknown(error) = failed.reason() else { panic!("{failed:?}") };
    assert_eq!(error.reply_code(), Some(ReplyCode::NOT_FOUND));
    let chan = chan.into_closed().expect("it is dead").reopen().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let chan = chan.confirm_select().await?;
    fill(&chan, &queue, &["fine"]).await?;
    Ok(())
}

async fn all_channels_are_used_and_given_back(at: Place) -> Outcome {
    let conn = at.conn().await?;
    for _ in 0..2 {
        let mut channels = Vec::new();
        for _ in 0..2_047 {
            channels.push(conn.open_channel().await?);
        }
        let error = conn.open_channel().await.unwrap_err();
        assert!(matches!(error, Error::TooManyChannels { max: 2_047 }), "{error:?}");
        for chan in channels {
            chan.close().await?;
        }
    }
    Ok(())
}

async fn channels_open_and_close_in_a_loop(at: Place) -> Outcome {
    let conn = Conn::new(at.config().channel_max(3)).connect().await?;
    let keeps = conn.open_channel().await?;
    let queue = keeps.declare(Queue::server_named()).await?;
    for round in 0..2_047 {
        let chan = loop {
            match conn.open_channel().await {
                // The id of a dropped channel is free once the broker has answered its close, and
                // nobody waits for that but this loop.
                Err(Error::TooManyChannels { .. }) => tokio::task::yield_now().await,
                opened => break opened?,
            }
        };
        match round % 3 {
            0 => drop(chan.close().await?),
            1 => drop(chan),
            _ => {
                chan.declare(Queue::classic(at.name("missing")).passive()).await.unwrap_err();
            }
        }
    }
    assert_eq!(keeps.counts(&queue).await?.consumers, 0);
    Ok(())
}

async fn a_dropped_channel_is_closed(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let keeps = conn.open_channel().await?;
    let queue = keeps.declare(Queue::server_named()).await?;
    let chan = conn.open_channel().await?;
    let consumer = chan.consume(&queue).await?;
    assert_eq!(keeps.counts(&queue).await?.consumers, 1);
    drop((consumer, chan));
    crate::place::until(async || Ok(keeps.counts(&queue).await?.consumers == 0)).await
}
