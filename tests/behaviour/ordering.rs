//! What was called before goes out before, and each call gets its own answer.

use std::{pin::pin, sync::Arc};

use hopmq::{Classic, Exchange, Message, Queue};

use crate::place::{Outcome, Place, default_exchange, is_pending, take_texts, text, until};

on_both_brokers!(
    calls_take_effect_in_the_order_of_their_first_poll,
    two_tasks_declare_at_once,
    answers_find_their_calls,
    a_publish_goes_out_between_calls,
    messages_arrive_in_the_order_of_publishing,
    what_follows_a_dropped_consumer_is_answered,
);

async fn calls_take_effect_in_the_order_of_their_first_poll(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let exchange = chan.declare(Exchange::fanout(at.name("fanout"))).await?;
    for _ in 0..20 {
        let mut bind = chan.bind(&queue, &exchange, ());
        let mut unbind = chan.unbind(&queue, &exchange, ());
        assert!(is_pending(&mut bind).await && is_pending(&mut unbind).await);
        // Awaited the other way round.
        unbind.await?;
        bind.await?;
        let message = chan.publish(&exchange, (), b"nobody").mandatory().await?;
        message.await.unwrap_err();
    }
    Ok(())
}

/// Two tasks declare at once on one channel: each gets its own queue.
async fn two_tasks_declare_at_once(at: Place) -> Outcome {
    let chan = Arc::new(at.chan().await?);
    for _ in 0..50 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let (chan, name) = (chan.clone(), at.name("inbox"));
                tokio::spawn(async move {
                    let declared = chan.declare(Queue::classic(&name).exclusive()).await;
                    declared.map(|queue| (name, queue))
                })
            })
            .collect();
        for task in tasks {
            let (name, queue) = task.await??;
            assert_eq!(queue.name().as_str(), name);
        }
    }
    Ok(())
}

async fn answers_find_their_calls(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let mut queues: Vec<Queue<Classic>> = Vec::new();
    for count in 0..10 {
        let queue = chan.declare(Queue::server_named()).await?;
        for _ in 0..count {
            chan.publish(&default_exchange(), &queue, b"x").await?.await?;
        }
        queues.push(queue);
    }
    let mut calls: Vec<_> = queues.iter().map(|queue| chan.counts(queue)).collect();
    for call in &mut calls {
        assert!(is_pending(call).await);
    }
    for (count, call) in calls.into_iter().enumerate().rev() {
        assert_eq!(call.await?.messages as usize, count);
    }
    Ok(())
}

async fn a_publish_goes_out_between_calls(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let exchange = chan.declare(Exchange::fanout(at.name("fanout"))).await?;
    for round in 0..50 {
        let mut bind = chan.bind(&queue, &exchange, ());
        assert!(is_pending(&mut bind).await);
        chan.publish_unconfirmed(&exchange, (), Message::text(round.to_string())).await?;
        let mut unbind = pin!(chan.unbind(&queue, &exchange, ()));
        assert!(is_pending(&mut unbind).await);
        chan.publish_unconfirmed(&exchange, (), b"nobody hears").await?;
        bind.await?;
        unbind.await?;
        let delivery = chan.get(&queue).await?.ok_or("sent while it was bound")?;
        assert_eq!(text(&delivery), round.to_string());
        delivery.ack()?;
    }
    assert!(chan.get(&queue).await?.is_none());
    Ok(())
}

async fn messages_arrive_in_the_order_of_publishing(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let mut consumer = chan.consume(&queue).prefetch(7).await?;
    let bodies: Vec<String> = (0..2_000).map(|number| number.to_string()).collect();
    let mut confirms = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        // Large ones in between, which are written apart from the rest.
        let message = match number % 100 {
            50 => Message::new(vec![b'0'; 200_000]),
            _ => Message::text(body),
        };
        confirms.push(chan.publish(&default_exchange(), &queue, message).await?);
        if confirms.len() == 500 {
            for confirm in confirms.drain(..) {
                confirm.await?;
            }
        }
    }
    for (number, body) in bodies.iter().enumerate() {
        let got = take_texts(&mut consumer, 1).await?;
        if number % 100 == 50 {
            assert_eq!(got[0].len(), 200_000);
        } else {
            assert_eq!(got[0], *body);
        }
    }
    Ok(())
}

/// RabbitMQ answers basic.cancel from the queue's process: what is asked after it may be answered first.
async fn what_follows_a_dropped_consumer_is_answered(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    for _ in 0..50 {
        let consumer = chan.consume(&queue).await?;
        let mut consume = pin!(std::future::IntoFuture::into_future(chan.consume(&queue)));
        assert!(is_pending(&mut consume).await);
        drop(consumer);
        chan.declare(Queue::classic(queue.name()).passive()).await?;
        drop(consume.await?);
    }
    until(async || Ok(chan.counts(&queue).await?.consumers == 0)).await
}
