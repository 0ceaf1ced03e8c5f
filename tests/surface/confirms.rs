//! `Confirms`: outcomes in order, and those that failed with their messages.

use hopmq::{Confirms, Conn, Connected, Exchange, Message, Unconfirmed};

use super::{Result, on_both_brokers};

async fn all_gives_back_what_was_not_confirmed(conn: Conn<Connected>) -> Result {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(hopmq::Queue::server_named()).await?;
    let default = Exchange::default_exchange();
    let mut confirms = Confirms::new();
    for number in 0..20u8 {
        let confirm = match number % 10 {
            3 => chan.publish(&default, "surface.no.such.queue", [number]).mandatory().await?,
            _ => chan.publish(&default, &queue, [number]).mandatory().await?,
        };
        confirms.push(confirm);
    }
    assert_eq!(confirms.len(), 20);
    let unconfirmed = confirms.all().await.unwrap_err();
    let returned: Vec<_> = unconfirmed.into_iter().map(|error| error.into_parts()).collect();
    assert!(
        returned.iter().all(|(reason, _)| matches!(reason, Unconfirmed::Returned { .. })),
        "{returned:?}"
    );
    let messages: Vec<_> = returned.into_iter().map(|(_, message)| message).collect();
    assert_eq!(messages, [Message::new([3]), Message::new([13])]);
    Ok(())
}

async fn the_stream_is_in_the_order_of_publishing(conn: Conn<Connected>) -> Result {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let default = Exchange::default_exchange();
    let queue = chan.declare(hopmq::Queue::server_named()).await?;
    let mut confirms = Confirms::new();
    for number in 0..10u8 {
        // The unroutable ones are answered sooner than what a queue must take.
        let confirm = match number % 2 {
            0 => chan.publish(&default, &queue, [number]).await?,
            _ => chan.publish(&default, "surface.no.such.queue", [number]).mandatory().await?,
        };
        confirms.push(confirm);
    }
    for number in 0..10u8 {
        let outcome = confirms.next().await.expect("an outcome");
        assert_eq!(outcome.is_ok(), number % 2 == 0, "number {number}");
        if let Err(error) = outcome {
            assert_eq!(error.into_parts().1, Message::new([number]));
        }
    }
    assert!(confirms.next().await.is_none() && confirms.is_empty());
    Ok(())
}

async fn none_are_all_confirmed(conn: Conn<Connected>) -> Result {
    Confirms::new().all().await.expect("nothing that could fail");
    let chan = conn.open_channel().await?.confirm_select().await?;
    let news = Exchange::amq_fanout();
    let mut confirms: Confirms = [chan.publish(&news, (), []).await?].into_iter().collect();
    confirms.extend([chan.publish(&news, (), []).await?]);
    assert_eq!(confirms.len(), 2);
    confirms.all().await.expect("both confirmed");
    Ok(())
}

on_both_brokers!(
    all_gives_back_what_was_not_confirmed,
    the_stream_is_in_the_order_of_publishing,
    none_are_all_confirmed,
);
