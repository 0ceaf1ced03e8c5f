//! Layers of tower around handlers.

use std::time::Duration;

use hopmq::{
    DeadLetter, Queue,
    service::{Failure, HandlerService, Message, Retry, Text, Tower, Worker},
};
use tower::ServiceBuilder;

use crate::{
    kit::{Seen, send, taken},
    place::{Outcome, Place},
};

on_both_brokers!(a_layer_fails_what_takes_too_long, a_permanent_failure_stays_one_behind_layers,);

async fn a_layer_fails_what_takes_too_long(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let dead = chan.declare(Queue::classic(at.name("dead"))).await?;
    let queue = Queue::classic(at.name("orders")).dead_letter(DeadLetter::to_queue(&dead));
    let queue = chan.declare(queue).await?;
    send(&chan, &queue, &["slow"]).await?;
    let handler = async |_: Message<String>| {
        std::future::pending::<()>().await;
        Ok::<_, Failure>(())
    };
    let layers = ServiceBuilder::new()
        .concurrency_limit(2)
        .timeout(Duration::from_millis(10))
        .service(HandlerService::new(handler));
    let worker = Worker::new(chan.consume(&queue).await?, Text);
    let run = tokio::spawn(worker.run(Tower::new(layers)));
    taken(&chan, &dead).await?.ack()?;
    run.abort();
    Ok(())
}

async fn a_permanent_failure_stays_one_behind_layers(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("orders"))).await?;
    at.name("orders.retry.3600000");
    at.name("orders.parked");
    let retries = Retry::times(5, Duration::from_secs(3600)).declare(&chan, &queue).await?;
    let parked = retries.parked().clone();
    send(&chan, &queue, &["bad"]).await?;
    let seen = Seen::default();
    let stop = seen.clone();
    let handler = move |message: Message<String>| {
        seen.push(message.payload);
        async { Err::<(), _>(Failure::permanent("a negative amount")) }
    };
    let layers = ServiceBuilder::new()
        .timeout(Duration::from_secs(60))
        .service(HandlerService::new(handler));
    let worker = Worker::new(chan.consume(&queue).await?, Text).on_failure(retries);
    let run = worker.run_until(Tower::new(layers), async move {
        stop.wait(1).await;
    });
    assert_eq!(run.await?.parked, 1);
    taken(&chan, &parked).await?.ack()?;
    Ok(())
}
