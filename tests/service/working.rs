//! A worker runs its handler: several at once, each to its end, and stops in order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hopmq::{
    Queue,
    service::{Failure, Message, Once, RecentIds, Text, Worker},
};

use crate::{
    kit::{Seen, send, taken},
    place::{Outcome, Place, default_exchange},
};

on_both_brokers!(
    so_many_handlers_run_at_once_and_no_more,
    messages_of_a_key_keep_their_order,
    a_panic_is_a_failure,
    a_deadline_that_is_over_is_a_failure,
    a_stopped_worker_finishes_and_gives_the_rest_back,
    a_handler_that_does_not_end_is_dropped_in_time,
    a_dropped_worker_gives_everything_back,
    a_message_that_comes_twice_is_processed_once,
    a_deleted_queue_ends_its_worker,
);

async fn so_many_handlers_run_at_once_and_no_more(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["1", "2", "3", "4", "5", "6", "7"]).await?;
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (seen, gate) = (Seen::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let worker = Worker::new(chan.consume(&queue).await?, Text).concurrency(3);
    let handler = {
        let (running, most, seen, gate) =
            (running.clone(), most.clone(), seen.clone(), gate.clone());
        move |message: Message<String>| {
            let (running, most) = (running.clone(), most.clone());
            let (seen, gate) = (seen.clone(), gate.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                seen.push(message.payload);
                gate.acquire().await.map_err(Failure::retry)?.forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Failure>(())
            }
        }
    };
    let stop = seen.clone();
    let run = tokio::spawn(worker.run_until(handler, async move {
        stop.wait(7).await;
    }));
    seen.wait(3).await;
    gate.add_permits(7);
    let served = run.await??;
    assert_eq!((served.completed, most.load(Ordering::SeqCst)), (7, 3));
    Ok(())
}

async fn messages_of_a_key_keep_their_order(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    let texts: Vec<String> = (0..60).map(|number| format!("{}:{number}", number % 3)).collect();
    send(&chan, &queue, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let seen = Seen::default();
    let worker = Worker::new(chan.consume(&queue).prefetch(30).await?, Text)
        .concurrency(8)
        .order_by(|message: &Message<String>| message.payload.chars().next());
    let (handler_seen, stop) = (seen.clone(), seen.clone());
    let handler = move |message: Message<String>| {
        let seen = handler_seen.clone();
        async move {
            // Others get their turn meanwhile, of another key alone.
            for _ in 0..message.payload.len() {
                tokio::task::yield_now().await;
            }
            seen.push(message.payload);
            Ok::<_, Failure>(())
        }
    };
    let run = worker.run_until(handler, async move {
        stop.wait(60).await;
    });
    assert_eq!(run.await?.completed, 60);
    for key in ["0:", "1:", "2:"] {
        let of = |all: &[String]| -> Vec<String> {
            all.iter().filter(|text| text.starts_with(key)).cloned().collect()
        };
        assert_eq!(of(&seen.all()), of(&texts));
    }
    Ok(())
}

async fn a_panic_is_a_failure(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Queue::classic(at.name("dead"))).await?;
    let queue = Queue::classic(at.name("orders"));
    let queue = queue.dead_letter(hopmq::DeadLetter::to_queue(&dead));
    let queue = chan.declare(queue).await?;
    send(&chan, &queue, &["at once", "later", "good"]).await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let worker = Worker::new(chan.consume(&queue).await?, Text);
    let handler = move |message: Message<String>| {
        assert_ne!(message.payload, "at once", "before the first await");
        let seen = seen.clone();
        async move {
            tokio::task::yield_now().await;
            assert_ne!(message.payload, "later", "in the middle");
            seen.push(message.payload);
            Ok::<_, Failure>(())
        }
    };
    let run = worker.run_until(handler, async move {
        stop.wait(1).await;
    });
    let served = run.await?;
    assert_eq!((served.completed, served.rejected), (1, 2));
    for _ in 0..2 {
        let delivery = taken(&chan, &dead).await?;
        delivery.ack()?;
    }
    Ok(())
}

async fn a_deadline_that_is_over_is_a_failure(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Queue::classic(at.name("dead"))).await?;
    let queue = Queue::classic(at.name("orders"));
    let queue = queue.dead_letter(hopmq::DeadLetter::to_queue(&dead));
    let queue = chan.declare(queue).await?;
    send(&chan, &queue, &["slow"]).await?;
    let worker = Worker::new(chan.consume(&queue).await?, Text).deadline(Duration::from_millis(10));
    let run = tokio::spawn(worker.run(async |_: Message<String>| {
        std::future::pending::<()>().await;
        Ok::<_, Failure>(())
    }));
    taken(&chan, &dead).await?.ack()?;
    run.abort();
    Ok(())
}

async fn a_stopped_worker_finishes_and_gives_the_rest_back(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a", "b", "c", "d", "e"]).await?;
    let (seen, gate) = (Seen::default(), Arc::new(tokio::sync::Semaphore::new(0)));
    let worker = Worker::new(chan.consume(&queue).await?, Text).concurrency(2);
    let handler = {
        let (seen, gate) = (seen.clone(), gate.clone());
        move |message: Message<String>| {
            let (seen, gate) = (seen.clone(), gate.clone());
            async move {
                seen.push(message.payload);
                gate.acquire().await.map_err(Failure::retry)?.forget();
                Ok::<_, Failure>(())
            }
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let run = tokio::spawn(worker.run_until(handler, async { drop(stopped.await) }));
    seen.wait(2).await;
    drop(stop);
    // The consumer is gone first: what was not begun is in the queue again.
    crate::place::until(async || Ok(chan.counts(&queue).await?.messages == 3)).await?;
    gate.add_permits(5);
    let served = run.await??;
    assert_eq!((served.completed, served.aborted), (2, 0));
    assert_eq!(chan.counts(&queue).await?.messages, 3);
    Ok(())
}

async fn a_handler_that_does_not_end_is_dropped_in_time(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a"]).await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let worker =
        Worker::new(chan.consume(&queue).await?, Text).drain_within(Duration::from_millis(10));
    let handler = move |message: Message<String>| {
        seen.push(message.payload);
        std::future::pending::<Result<(), Failure>>()
    };
    let run = worker.run_until(handler, async move {
        stop.wait(1).await;
    });
    assert_eq!(run.await?.aborted, 1);
    let again = taken(&chan, &queue).await?;
    assert!(again.is_redelivered());
    again.ack()?;
    Ok(())
}

async fn a_dropped_worker_gives_everything_back(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    send(&chan, &queue, &["a", "b", "c"]).await?;
    let seen = Seen::default();
    let worker = Worker::new(chan.consume(&queue).await?, Text).concurrency(1);
    let handler_seen = seen.clone();
    let run = tokio::spawn(worker.run(move |message: Message<String>| {
        handler_seen.push(message.payload);
        std::future::pending::<Result<(), Failure>>()
    }));
    seen.wait(1).await;
    run.abort();
    crate::place::until(async || Ok(chan.counts(&queue).await?.messages == 3)).await
}

async fn a_message_that_comes_twice_is_processed_once(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    let message = Message::new("a".to_owned());
    for _ in 0..3 {
        let raw = message.encode(&Text)?;
        chan.publish(&default_exchange(), &queue, raw).await?.await?;
    }
    send(&chan, &queue, &["b"]).await?;
    let seen = Seen::default();
    let (handler_seen, stop) = (seen.clone(), seen.clone());
    let handler = move |message: Message<String>| {
        handler_seen.push(message.payload);
        async { Ok::<_, Failure>(()) }
    };
    let worker = Worker::new(chan.consume(&queue).await?, Text).concurrency(1);
    let once = Once::new(handler, RecentIds::new(10));
    let run = worker.run_until(once, async move {
        stop.wait(2).await;
    });
    assert_eq!(run.await?.completed, 4);
    assert_eq!(seen.all(), ["a", "b"]);
    Ok(())
}

async fn a_deleted_queue_ends_its_worker(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    let worker = Worker::new(chan.consume(&queue).await?, Text);
    let run = tokio::spawn(worker.run(async |_: Message<String>| Ok::<_, Failure>(())));
    chan.delete_queue(&queue).await?;
    let error = run.await?.expect_err("nothing is left to consume");
    assert!(matches!(error, hopmq::ConsumeError::CancelledByBroker { .. }), "{error}");
    Ok(())
}
