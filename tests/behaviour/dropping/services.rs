//! Workers, typed publishers and calls: a message whose handling or publishing was dropped is there, once or again.

use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hopmq::{
    Chan, Classic, Confirming, Exchange, Queue, Responder,
    service::{
        CallServer, Caller, Failure, Job, MemoryOutbox, Message, OnFailure, Publisher, Raw, Relay,
        Retry, Text, Worker,
    },
};

use super::Point;
use crate::place::{Outcome, Place, default_exchange, fill, take, until};

dropped_at_each_point!(
    on_both_brokers:
    running_a_worker,
    running_a_worker_until_something,
    failing_a_job,
    declaring_retries,
    publishing_typed_messages,
    relaying_an_outbox,
    asking_a_typed_question,
    answering_typed_questions,
    answering_typed_questions_until_something,
);

fn typed(text: &str) -> Message<String> {
    Message::new(text.to_owned())
}

/// A queue in which there are messages, and a handler that counts them.
struct Work {
    chan: Chan<Confirming>,
    queue: Queue<Classic>,
    handled: Arc<AtomicUsize>,
}

impl Work {
    async fn new(at: &Place, messages: &[&str]) -> Outcome<Work> {
        let chan = at.publisher().await?;
        let queue = chan.declare(Queue::classic(at.name("work"))).await?;
        for message in messages {
            let message = typed(message).encode(&Text)?;
            chan.publish(&default_exchange(), &queue, message).await?.await?;
        }
        Ok(Work { chan, queue, handled: Arc::default() })
    }

    async fn worker(&self) -> Outcome<Worker<String, Text>> {
        Ok(Worker::new(self.chan.consume(&self.queue).await?, Text).concurrency(2))
    }

    fn handler(
        &self,
    ) -> impl Fn(Message<String>) -> std::future::Ready<Result<(), Failure>> + Send + Sync + 'static
    {
        let handled = self.handled.clone();
        move |_| {
            handled.fetch_add(1, Ordering::SeqCst);
            ready(Ok(()))
        }
    }

    /// Drops a worker, at the latest when it has nothing left to do. Nothing is left over once another has done what
    /// there was.
    async fn is_dropped(&self, point: Point, run: impl Future) -> Outcome {
        let idle = until(async || Ok(self.handled.load(Ordering::SeqCst) >= 3));
        tokio::select! {
            ended = point.reach(run) => assert!(ended.is_none(), "nothing stops it"),
            idle = idle => idle?,
        }
        let another = tokio::spawn(self.worker().await?.run(self.handler()));
        until(async || {
            let info = self.chan.counts(&self.queue).await?;
            Ok(info.messages == 0 && self.handled.load(Ordering::SeqCst) >= 3)
        })
        .await?;
        another.abort();
        let _ = another.await;
        until(async || Ok(self.chan.counts(&self.queue).await?.consumers == 0)).await?;
        assert_eq!(self.chan.counts(&self.queue).await?.messages, 0);
        Ok(())
    }
}

async fn running_a_worker(at: Place) -> Outcome {
    for point in Point::all().take(9) {
        let work = Work::new(&at, &["a", "b", "c"]).await?;
        let run = work.worker().await?.run(work.handler());
        work.is_dropped(point, run).await?;
    }
    Ok(())
}

async fn running_a_worker_until_something(at: Place) -> Outcome {
    for point in Point::all().take(9) {
        let work = Work::new(&at, &["a", "b", "c"]).await?;
        let run = work.worker().await?.run_until(work.handler(), pending());
        work.is_dropped(point, run).await?;
    }
    Ok(())
}

async fn failing_a_job(at: Place) -> Outcome {
    let work = Work::new(&at, &[]).await?;
    let retries = retries(&at, &work).await?;
    let parked = retries.parked().clone();
    let on_failure = Arc::new(OnFailure::from(retries));
    for point in Point::all() {
        fill(&work.chan, &work.queue, &["bad"]).await?;
        let mut consumer = work.chan.consume(&work.queue).await?;
        let job = Job::new(take(&mut consumer).await?, on_failure.clone()).with(());
        let failed = point.reach(job.start().fail(Failure::permanent("bad"))).await;
        drop(consumer);
        // It is in one of the two, or in both where what was dropped was on its way.
        until(async || {
            let left = work.chan.counts(&work.queue).await?;
            let there = left.messages + work.chan.counts(&parked).await?.messages;
            Ok(left.consumers == 0 && there >= 1)
        })
        .await?;
        work.chan.purge(&work.queue).await?;
        work.chan.purge(&parked).await?;
        if let Some(failed) = failed {
            failed?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn retries(at: &Place, work: &Work) -> Outcome<hopmq::service::Retries> {
    // Registered, so that they are deleted.
    let (_, _) = (at.name("work.retry.1000"), at.name("work.parked"));
    Ok(Retry::times(1, Duration::from_secs(1)).declare(&work.chan, &work.queue).await?)
}

async fn declaring_retries(at: Place) -> Outcome {
    let work = Work::new(&at, &[]).await?;
    for point in Point::all() {
        let retry = Retry::times(1, Duration::from_secs(1));
        let declared = point.reach(retry.declare(&work.chan, &work.queue)).await;
        let again = retries(&at, &work).await?;
        assert_eq!(work.chan.counts(again.parked()).await?.messages, 0);
        if let Some(declared) = declared {
            assert_eq!(declared?.parked().name(), again.parked().name());
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing_typed_messages(at: Place) -> Outcome {
    let work = Work::new(&at, &[]).await?;
    let (default, queue) = (default_exchange(), &work.queue);
    let publisher = Publisher::new(work.chan.publisher(), default, Text);
    let (one, many) = (typed("one"), [typed("two"), typed("three")]);
    let (mut single, mut all) = (false, false);
    for point in Point::all() {
        if let Some(published) = point.reach(publisher.publish(queue, &one)).await {
            published?;
            single = true;
        }
        let messages = many.iter().map(|message| (queue, message));
        if let Some(published) = point.reach(publisher.publish_all(messages)).await {
            published?;
            all = true;
        }
        // What was dropped may have been published or not; the next one is, and once.
        work.chan.purge(queue).await?;
        publisher.publish(queue, &one).await?;
        assert_eq!(work.chan.purge(queue).await?, 1, "{point:?}");
        if single && all {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn relaying_an_outbox(at: Place) -> Outcome {
    let work = Work::new(&at, &[]).await?;
    let orders = work.chan.declare(Exchange::topic(at.name("orders"))).await?;
    work.chan.bind(&work.queue, &orders, "#").await?;
    for point in Point::all().take(9) {
        let outbox = Arc::new(MemoryOutbox::new(10));
        for _ in 0..3 {
            outbox.push("order", typed("x").to_bytes(&Text)?)?;
        }
        let relay = || {
            Relay::new(outbox.clone(), Publisher::new(work.chan.publisher(), orders.clone(), Raw))
        };
        assert!(point.reach(relay().run_until(pending())).await.is_none(), "nothing stops it");
        // The next one does what is left: everything is published at least once.
        let watched = outbox.clone();
        relay()
            .run_until(async move {
                while !watched.is_empty() {
                    tokio::task::yield_now().await
                }
            })
            .await?;
        let count = work.chan.purge(&work.queue).await?;
        assert!((3..=6).contains(&count), "{count} of 3 were published");
    }
    Ok(())
}

async fn server(work: &Work) -> Outcome<CallServer<String, Text>> {
    let requests = work.chan.consume(&work.queue).await?;
    Ok(CallServer::new(Responder::new(requests, work.chan.publisher()), Text))
}

async fn caller(at: &Place) -> Outcome<Caller<Text>> {
    Ok(Caller::new(at.publisher().await?.rpc_client().await?, Text))
}

async fn echo(question: Message<String>) -> Result<String, Failure> {
    Ok(question.payload)
}

async fn asking_a_typed_question(at: Place) -> Outcome {
    let work = Work::new(&at, &[]).await?;
    let serving = tokio::spawn(server(&work).await?.run(echo));
    let (caller, default) = (caller(&at).await?, default_exchange());
    for (number, point) in Point::all().enumerate() {
        let dropped = typed("dropped");
        let answer =
            point.reach(caller.call::<_, _, _, String>(&default, &work.queue, &dropped)).await;
        let question = typed(&number.to_string());
        let own: Message<String> = caller.call(&default, &work.queue, &question).await?;
        assert_eq!(own.payload, question.payload);
        if let Some(answer) = answer {
            assert_eq!(answer?.payload, "dropped");
            serving.abort();
            return Ok(());
        }
    }
    Err("it never ends".into())
}

/// Asks while a server is dropped and another takes over.
async fn takes_over<S: Future>(
    at: Place,
    serve: impl Fn(CallServer<String, Text>) -> S,
) -> Outcome {
    let (caller, default) = (caller(&at).await?, default_exchange());
    let work = Work::new(&at, &[]).await?;
    for point in Point::all().take(9) {
        let question = typed("?");
        let asking = caller.call::<_, _, _, String>(&default, &work.queue, &question);
        let serving = async {
            let dropped = point.reach(serve(server(&work).await?)).await;
            assert!(dropped.is_none(), "it ends with its consumer");
            server(&work).await?.run(echo).await?;
            Outcome::Ok(())
        };
        tokio::select! {
            answer = asking => assert_eq!(answer?.payload, "?"),
            ended = serving => { ended?; return Err("it ends with its consumer".into()) }
        }
        until(async || Ok(work.chan.counts(&work.queue).await?.consumers == 0)).await?;
        work.chan.purge(&work.queue).await?;
    }
    Ok(())
}

async fn answering_typed_questions(at: Place) -> Outcome {
    takes_over(at, |server| server.run(echo)).await
}

async fn answering_typed_questions_until_something(at: Place) -> Outcome {
    takes_over(at, |server| server.run_until(echo, pending())).await
}
