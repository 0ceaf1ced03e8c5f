//! Publishing: confirmed one by one and in bulk, returned, refused, and without any outcome.

use hopmq::{
    Chan, Confirming, Exchange, Message, Overflow, Queue, Topic, Unconfirmed, wire::ReplyCode,
};

use crate::place::{Outcome, Place, default_exchange, is_pending, text};

on_both_brokers!(
    a_publish_is_confirmed,
    many_publishes_are_confirmed_at_once,
    confirms_are_awaited_in_any_order,
    a_return_belongs_to_its_own_publish,
    many_returns_among_many_confirms,
    an_unroutable_message_that_is_not_mandatory_is_confirmed,
    a_full_queue_refuses,
    returns_without_confirms_are_a_stream,
    a_missing_exchange_leaves_the_outcome_unknown,
    dropped_confirms_do_not_matter,
    tasks_publish_on_one_channel,
    a_small_window_holds_publishers_back,
);

async fn a_publish_is_confirmed(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::quorum(at.name("inbox"))).await?;
    let confirm = chan.publish(&default_exchange(), &queue, b"one").mandatory().await?;
    confirm.await?;
    Ok(())
}

async fn many_publishes_are_confirmed_at_once(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let default = default_exchange();
    let mut confirms = Vec::new();
    for number in 0..5_000_u32 {
        confirms.push(chan.publish(&default, &queue, number.to_be_bytes()).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    assert_eq!(chan.counts(&queue).await?.messages, 5_000);
    Ok(())
}

async fn confirms_are_awaited_in_any_order(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let default = default_exchange();
    let mut confirms = Vec::new();
    for _ in 0..100 {
        confirms.push(chan.publish(&default, &queue, b"x").await?);
    }
    let (early, late) = (confirms.split_off(50), confirms);
    for confirm in early.into_iter().rev().chain(late) {
        confirm.await?;
    }
    Ok(())
}

/// Publish 1, 2, 3 as mandatory; 2 is unroutable: the return is matched to 2 alone.
async fn a_return_belongs_to_its_own_publish(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let default = default_exchange();
    let one = chan.publish(&default, &queue, b"1").mandatory().await?;
    let message = Message::new(b"2").content_type("text/plain").header("k", 7);
    let two = chan.publish(&default, "nobody", message.clone()).mandatory().await?;
    let three = chan.publish(&default, &queue, b"3").mandatory().await?;
    three.await?;
    one.await?;
    let (reason, returned) = two.await.unwrap_err().into_parts();
    let Unconfirmed::Returned { code, text } = reason else { panic!("{reason:?}") };
    assert_eq!((code, &*text), (ReplyCode::NO_ROUTE, "NO_ROUTE"));
    assert_eq!(returned, message, "as it was published, without the library's own header");
    assert_eq!(chan.counts(&queue).await?.messages, 2);
    Ok(())
}

async fn many_returns_among_many_confirms(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let exchange = chan.declare(Exchange::topic(at.name("topic"))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &exchange, "yes").await?;
    let mut confirms = Vec::new();
    for number in 0..1_000_u32 {
        // Two in the same words, only one of which is routed.
        let key = if number % 7 == 3 { "no" } else { "yes" };
        let publish = chan.publish(&exchange, key, number.to_be_bytes());
        let publish = if number % 3 == 0 { publish } else { publish.mandatory() };
        confirms.push((number, publish.await?));
    }
    for (number, confirm) in confirms {
        let outcome = confirm.await;
        let returned = number % 7 == 3 && number % 3 != 0;
        assert_eq!(outcome.is_err(), returned, "{number}: {outcome:?}");
        if let Err(error) = outcome {
            assert!(matches!(error.reason(), Unconfirmed::Returned { .. }), "{error:?}");
            let (_, message) = error.into_parts();
            assert_eq!(message.into_body().into_bytes(), number.to_be_bytes().as_slice());
        }
    }
    Ok(())
}

async fn an_unroutable_message_that_is_not_mandatory_is_confirmed(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    chan.publish(&default_exchange(), at.name("nobody").as_str(), b"x").await?.await?;
    Ok(())
}

async fn a_full_queue_refuses(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let full = Queue::classic(at.name("full")).max_length(1).overflow(Overflow::RejectPublish);
    let queue = chan.declare(full).await?;
    let default = default_exchange();
    chan.publish(&default, &queue, b"fits").await?.await?;
    for _ in 0..3 {
        let error = chan.publish(&default, &queue, b"does not").await?.await.unwrap_err();
        let (reason, message) = error.into_parts();
        assert!(matches!(reason, Unconfirmed::Nacked), "{reason:?}");
        assert_eq!(message.body().len(), 8);
    }
    Ok(())
}

async fn returns_without_confirms_are_a_stream(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut returns = chan.returns();
    let default = default_exchange();
    let nobody = at.name("nobody");
    chan.publish_unconfirmed(&default, &queue, b"routed").mandatory().await?;
    chan.publish_unconfirmed(&default, nobody.as_str(), b"dropped").await?;
    let message = Message::text("back").message_id("id");
    chan.publish_unconfirmed(&default, nobody.as_str(), message).mandatory().await?;
    let returned = returns.next().await.ok_or("it comes back")?;
    assert_eq!((returned.code, &*returned.text), (ReplyCode::NO_ROUTE, "NO_ROUTE"));
    assert_eq!(text(&returned.message), "back");
    assert_eq!(returned.message.routing_key(), nobody);
    assert_eq!(returned.message.properties().message_id(), Some("id"));
    assert!(is_pending(&mut returns.next()).await, "only one came back");
    chan.close().await?;
    assert!(returns.next().await.is_none());
    Ok(())
}

async fn a_missing_exchange_leaves_the_outcome_unknown(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let default = default_exchange();
    let nowhere = Exchange::<Topic>::by_name(at.name("nowhere"))?;
    let routed = chan.publish(&default, &queue, b"before").await?;
    let lost = chan.publish(&nowhere, "key", b"lost").await?;
    // Whether the broker confirmed it before it closed the channel is its own affair; it does not hang.
    let _ = routed.await;
    let error = lost.await.unwrap_err();
    let Unconfirmed::Unknown(cause) = error.reason() else { panic!("{error:?}") };
    assert_eq!(cause.reply_code(), Some(ReplyCode::NOT_FOUND));
    Ok(())
}

async fn dropped_confirms_do_not_matter(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let default = default_exchange();
    for number in 0..200 {
        let confirm = chan.publish(&default, &queue, b"x").mandatory().await?;
        if number % 2 == 0 {
            drop(confirm);
        } else {
            confirm.await?;
        }
    }
    assert_eq!(chan.counts(&queue).await?.messages, 200);
    Ok(())
}

async fn tasks_publish_on_one_channel(at: Place) -> Outcome {
    let chan = std::sync::Arc::new(at.publisher().await?);
    let queue = chan.declare(Queue::server_named()).await?;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (chan, queue) = (chan.clone(), queue.clone());
            tokio::spawn(async move { publish_some(&chan, &queue).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    assert_eq!(chan.counts(&queue).await?.messages, 800);
    Ok(())
}

async fn publish_some(chan: &Chan<Confirming>, queue: &Queue<hopmq::Classic>) -> Outcome {
    for _ in 0..100 {
        chan.publish(&default_exchange(), queue, b"x").mandatory().await?.await?;
    }
    Ok(())
}

async fn a_small_window_holds_publishers_back(at: Place) -> Outcome {
    let mut limits = at.config().limits;
    limits.window_messages = 10;
    let conn = hopmq::Conn::new(at.config().limits(limits)).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let default = default_exchange();
    let mut confirms = Vec::new();
    let mut held_back = false;
    for _ in 0..100 {
        let mut publish = chan.publish(&default, &queue, b"x");
        held_back |= confirms.len() >= 10 && is_pending(&mut publish).await;
        confirms.push(chan.publish(&default, &queue, b"x").await?);
    }
    assert!(held_back, "the eleventh waits");
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}
