//! HopMQ as a reader of its quick start uses it, on one thread and on a runtime of two; and as who has many messages
//! at hand publishes them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hopmq::{
    Chan, Classic, Confirming, Confirms, Conn, Connected, Consumer, Exchange, Message, Open, Queue,
    Responder, Uri, exchange::DefaultExchange,
};

use crate::{
    job::{CONFIRM_SINGLY, Failure, Job, Peer, QUEUE, STALL_MS, WINDOW, Workload, task_count},
    meter::Meter,
    peers,
};

pub struct HopMq {
    pub threads: usize,
}

impl Peer for HopMq {
    fn name(&self) -> &'static str {
        if self.threads == 1 { "hopmq" } else { "hopmq-2-threads" }
    }

    fn version(&self) -> String {
        peers::locked("hopmq")
    }

    fn offers(&self, workload: Workload) -> bool {
        // Memory does not depend on the number of threads, nor does what is done once.
        self.threads == 1
            || !workload.is_memory()
                && !matches!(workload, Workload::Connect | Workload::OpenChannel)
    }

    fn pinned(&self) -> bool {
        self.threads == 1
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let work =
            |job: Job, mut meter: Meter| async move { (work(&job, &mut meter).await, meter) };
        if self.threads == 1 {
            return peers::run_alone(job, meter, work);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads)
            .enable_all()
            .build()?;
        peers::run_on(&runtime, job, meter, work)
    }
}

/// On one thread, with many messages in each call that publishes.
pub struct HopMqPublishAll;

/// Messages in one call: few enough to keep the window filled from one call to the next.
const AT_ONCE: u64 = 250;

impl Peer for HopMqPublishAll {
    fn name(&self) -> &'static str {
        "hopmq-publish-all"
    }

    fn version(&self) -> String {
        peers::locked("hopmq")
    }

    fn offers(&self, workload: Workload) -> bool {
        matches!(workload, Workload::Publish | Workload::Confirm | Workload::RabbitConfirm)
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        peers::run_alone(job, meter, |job, mut meter| async move {
            let result = match job.workload {
                Workload::Publish => publish_in_chunks(&job, &mut meter).await,
                _ => confirm_in_chunks(&job, &mut meter).await,
            };
            (result, meter)
        })
    }
}

async fn work(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    match job.workload {
        Workload::Publish => publish(job, meter).await,
        Workload::Confirm | Workload::ConfirmSingly | Workload::RabbitConfirm => {
            confirm(job, meter).await
        }
        Workload::RoundTrip => round_trip(job, meter).await,
        Workload::Consume => consume(job, meter).await,
        Workload::ConsumeAck => consume_ack(job, meter).await,
        Workload::Tasks => tasks(job, meter).await,
        Workload::Connect => connect_often(job, meter).await,
        Workload::OpenChannel => open_channels(job, meter).await,
        Workload::IdleConnection => idle_connections(job, meter).await,
        Workload::IdleChannel => idle_channels(job, meter).await,
        Workload::Stall => stall(job, meter).await,
        Workload::EndToEnd => end_to_end(job, meter).await,
        Workload::Rpc | Workload::RpcPlain => rpc(job, meter).await,
    }
}

async fn connect(job: &Job) -> Result<Conn<Connected>, Failure> {
    Ok(Conn::new(job.uri().parse::<Uri>()?).connect().await?)
}

async fn open(job: &Job) -> Result<(Conn<Connected>, Chan<Open>), Failure> {
    let conn = connect(job).await?;
    let chan = conn.open_channel().await?;
    Ok((conn, chan))
}

async fn declare(chan: &Chan<Open>, queue: &str) -> Result<Queue<Classic>, Failure> {
    Ok(chan.declare(Queue::classic(queue).exclusive()).await?)
}

fn body(job: &Job) -> Bytes {
    job.body().into()
}

async fn publish(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let (exchange, body) = (Exchange::default_exchange(), body(job));
    meter.start();
    for _ in 0..job.count {
        chan.publish_unconfirmed(&exchange, "bench", body.clone()).await?;
    }
    declare(&chan, &job.expect_published()).await?;
    meter.stop();
    Ok(())
}

/// The bodies of each call.
fn chunks(job: &Job) -> impl Iterator<Item = impl Iterator<Item = Bytes> + use<>> + use<> {
    let (body, count) = (body(job), job.count);
    (0..count).step_by(AT_ONCE as usize).map(move |start| {
        let body = body.clone();
        (start..count.min(start + AT_ONCE)).map(move |_| body.clone())
    })
}

async fn publish_in_chunks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let exchange = Exchange::default_exchange();
    meter.start();
    for chunk in chunks(job) {
        chan.publish_all_unconfirmed(&exchange, "bench", chunk).await?;
    }
    declare(&chan, &job.expect_published()).await?;
    meter.stop();
    Ok(())
}

/// Keeps the window filled, and looks at the outcome of each message.
async fn confirm_in_chunks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let chan = chan.confirm_select().await?;
    let (exchange, mut confirms) = (Exchange::default_exchange(), Confirms::new());
    meter.start();
    for chunk in chunks(job) {
        while confirms.len() > usize::from(WINDOW) - AT_ONCE as usize
            && let Some(oldest) = confirms.next().await
        {
            oldest?;
        }
        confirms.append(chan.publish_all(&exchange, key(job), chunk).await?);
    }
    while let Some(outcome) = confirms.next().await {
        outcome?;
    }
    meter.stop();
    Ok(())
}

/// Where confirmed messages go.
fn key(job: &Job) -> &'static str {
    if job.workload == Workload::RabbitConfirm { "hopmq-bench-nowhere" } else { "bench" }
}

async fn confirm(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    if job.workload == Workload::ConfirmSingly {
        declare(&chan, CONFIRM_SINGLY).await?;
    }
    let chan = chan.confirm_select().await?;
    meter.start();
    publish_all(&chan, key(job), body(job), job.count).await?;
    meter.stop();
    Ok(())
}

/// Publishes with a window of unconfirmed messages, and looks at the outcome of each.
async fn publish_all(
    chan: &Chan<Confirming>,
    key: &str,
    body: Bytes,
    count: u64,
) -> Result<(), Failure> {
    let exchange: Exchange<DefaultExchange> = Exchange::default_exchange();
    let mut unconfirmed = VecDeque::with_capacity(WINDOW.into());
    for _ in 0..count {
        if unconfirmed.len() == usize::from(WINDOW)
            && let Some(oldest) = unconfirmed.pop_front()
        {
            oldest.await?;
        }
        unconfirmed.push_back(chan.publish(&exchange, key, body.clone()).await?);
    }
    for confirm in unconfirmed {
        confirm.await?;
    }
    Ok(())
}

async fn round_trip(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let chan = chan.confirm_select().await?;
    let (exchange, body) = (Exchange::default_exchange(), body(job));
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        chan.publish(&exchange, "bench", body.clone()).await?.await?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn consume(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let queue = declare(&chan, &job.flood()).await?;
    meter.start();
    let mut messages = chan.consume(&queue).automatic_ack().await?;
    for _ in 0..job.count {
        messages.next().await.ok_or("the consumer ended")??;
    }
    meter.stop();
    Ok(())
}

async fn consume_ack(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let queue = declare(&chan, &job.flood()).await?;
    meter.start();
    let deliveries = chan.consume(&queue).prefetch(WINDOW).await?;
    ack_all(deliveries, job.count, async || declare(&chan, &job.expect_settled()).await.map(drop))
        .await?;
    meter.stop();
    Ok(())
}

/// Acks each delivery; the consumer lives until `last` is done.
async fn ack_all(
    mut deliveries: Consumer,
    count: u64,
    last: impl AsyncFnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    for _ in 0..count {
        deliveries.next().await.ok_or("the consumer ended")??.ack()?;
    }
    last().await
}

async fn tasks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = connect(job).await?;
    let mut channels = Vec::new();
    for _ in 0..task_count() {
        channels.push(conn.open_channel().await?.confirm_select().await?);
    }
    meter.start();
    let spawn = |chan: Chan<Confirming>| {
        let (body, count) = (body(job), job.per_task());
        tokio::spawn(async move {
            let exchange = Exchange::default_exchange();
            for _ in 0..count {
                chan.publish(&exchange, "bench", body.clone()).await?.await?;
            }
            Ok::<_, Failure>(chan)
        })
    };
    let tasks: Vec<_> = channels.into_iter().map(spawn).collect();
    let mut held = Vec::new();
    for task in tasks {
        held.push(task.await??);
    }
    meter.stop();
    Ok(())
}

async fn connect_often(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        let _closed = connect(job).await?.close().await?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn open_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = connect(job).await?;
    let mut held = Vec::new();
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        held.push(conn.open_channel().await?);
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn idle_connections(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let _closed = connect(job).await?.close().await?;
    meter.memory_before();
    let mut held = Vec::new();
    for _ in 0..job.count {
        held.push(connect(job).await?);
    }
    meter.memory_after();
    Ok(())
}

async fn idle_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, _chan) = open(job).await?;
    meter.memory_before();
    let mut held = Vec::new();
    for _ in 0..job.count {
        held.push(conn.open_channel().await?);
    }
    meter.memory_after();
    Ok(())
}

async fn stall(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, chan) = open(job).await?;
    let queue = declare(&chan, &job.flood()).await?;
    meter.memory_before();
    let _messages = chan.consume(&queue).automatic_ack().await?;
    tokio::time::sleep(Duration::from_millis(STALL_MS)).await;
    meter.memory_after();
    Ok(())
}

async fn end_to_end(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_consuming, chan) = open(job).await?;
    let queue = declare(&chan, QUEUE).await?;
    let deliveries = chan.consume(&queue).prefetch(WINDOW).await?;
    let (_publishing, publisher) = open(job).await?;
    let publisher = publisher.confirm_select().await?;
    meter.start();
    tokio::try_join!(
        publish_all(&publisher, QUEUE, body(job), job.count),
        ack_all(deliveries, job.count, async || Ok(()))
    )?;
    meter.stop();
    Ok(())
}

/// It has but one way: requests are acked, and both sides' messages confirmed.
async fn rpc(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (serving, chan) = open(job).await?;
    let queue = declare(&chan, QUEUE).await?;
    let chan = chan.confirm_select().await?;
    let responder = Responder::new(chan.consume(&queue).await?, chan.publisher());
    let answer = body(job);
    let task = tokio::spawn(responder.serve(move |_| {
        let answer = answer.clone();
        async move { Message::new(answer) }
    }));
    let (_calling, caller) = open(job).await?;
    let client = caller.confirm_select().await?.rpc_client().await?;
    let (exchange, body) = (Exchange::default_exchange(), body(job));
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        client.call(&exchange, &queue, body.clone()).await?;
        meter.latency(begun);
    }
    meter.stop();
    task.abort();
    drop(serving);
    Ok(())
}
