//! `Publisher`: clones share the channel and keep it alive.

use hopmq::{Exchange, Publisher, Queue};

use super::{Result, embedded, on_both_brokers};

async fn it_outlives_the_channel_it_was_minted_from(conn: hopmq::Conn<hopmq::Connected>) -> Result {
    let chan = conn.open_channel().await?;
    let inbox = chan.declare(Queue::server_named()).await?;
    let publisher: Publisher = conn.open_channel().await?.confirm_select().await?.into();
    let default = Exchange::default_exchange();
    let tasks = (0..4u8).map(|number| {
        let (publisher, default, inbox) = (publisher.clone(), default.clone(), inbox.clone());
        tokio::spawn(async move {
            publisher.publish(&default, &inbox, [number]).mandatory().await?.await?;
            super::Result::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    assert_eq!(chan.counts(&inbox).await?.messages, 4);
    assert!(publisher.close_reason().is_none());
    Ok(())
}

#[tokio::test]
async fn it_tells_what_its_channel_ended_of() -> Result {
    let (_broker, conn) = embedded().await?;
    let publisher = conn.open_channel().await?.confirm_select().await?.publisher();
    let nowhere = Exchange::<hopmq::Topic>::by_name("surface.nowhere")?;
    publisher.publish(&nowhere, "key", *b"body").await?.await.unwrap_err();
    let reason = publisher.close_reason().expect("the broker closed the channel");
    assert_eq!(reason.reply_code(), Some(hopmq::wire::ReplyCode::NOT_FOUND));
    let failed = publisher.publish(&nowhere, "key", *b"body").await.unwrap_err();
    assert_eq!(failed.into_parts().1, hopmq::Message::new(b"body"), "the message is given back");
    Ok(())
}

on_both_brokers!(it_outlives_the_channel_it_was_minted_from);
