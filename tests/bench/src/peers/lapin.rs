//! lapin, twice: as its documentation has it, which awaits every publish and ack, and pipelined, with
//! the futures collected.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use futures_util::{
    StreamExt, TryStreamExt,
    future::try_join_all,
    stream::{self, FuturesUnordered},
};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, QueueDeclareOptions,
    },
    types::{FieldTable, ShortString},
};

use crate::{
    job::{CONFIRM_SINGLY, Failure, Job, Peer, QUEUE, STALL_MS, WINDOW, Workload, task_count},
    meter::Meter,
    peers,
};

pub struct Lapin {
    pub pipelined: bool,
}

impl Peer for Lapin {
    fn name(&self) -> &'static str {
        if self.pipelined { "lapin-pipelined" } else { "lapin" }
    }

    fn version(&self) -> String {
        peers::locked("lapin")
    }

    fn offers(&self, workload: Workload) -> bool {
        // What cannot be pipelined is measured once.
        !self.pipelined
            || matches!(
                workload,
                Workload::Publish
                    | Workload::Confirm
                    | Workload::ConfirmSingly
                    | Workload::ConsumeAck
                    | Workload::RabbitConfirm
                    | Workload::EndToEnd
            )
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let own = Lapin { pipelined: self.pipelined };
        peers::run_alone(job, meter, |job, mut meter| async move {
            (own.work(&job, &mut meter).await, meter)
        })
    }
}

impl Lapin {
    async fn work(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        match job.workload {
            Workload::Publish => self.publish(job, meter).await,
            Workload::Confirm | Workload::ConfirmSingly | Workload::RabbitConfirm => {
                self.confirm(job, meter).await
            }
            Workload::RoundTrip => round_trip(job, meter).await,
            Workload::Consume => consume(job, meter).await,
            Workload::ConsumeAck => self.consume_ack(job, meter).await,
            Workload::Tasks => tasks(job, meter).await,
            Workload::Connect => connect_often(job, meter).await,
            Workload::OpenChannel => open_channels(job, meter).await,
            Workload::IdleConnection => idle_connections(job, meter).await,
            Workload::IdleChannel => idle_channels(job, meter).await,
            Workload::Stall => stall(job, meter).await,
            Workload::EndToEnd => self.end_to_end(job, meter).await,
            Workload::Rpc | Workload::RpcPlain => rpc(job, meter).await,
        }
    }

    async fn publish(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let (_conn, channel) = open(job).await?;
        let body = job.body();
        meter.start();
        if self.pipelined {
            let publishes = stream::iter(0..job.count).map(|_| send(&channel, "bench", &body));
            publishes.buffer_unordered(WINDOW.into()).try_for_each(async |_| Ok(())).await?;
        } else {
            for _ in 0..job.count {
                send(&channel, "bench", &body).await?;
            }
        }
        declare(&channel, &job.expect_published()).await?;
        meter.stop();
        Ok(())
    }

    async fn confirm(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let (_conn, channel) = open(job).await?;
        if job.workload == Workload::ConfirmSingly {
            declare(&channel, CONFIRM_SINGLY).await?;
        }
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let key =
            if job.workload == Workload::RabbitConfirm { "hopmq-bench-nowhere" } else { "bench" };
        let body = job.body();
        meter.start();
        self.publish_all(&channel, key, &body, job.count).await?;
        meter.stop();
        Ok(())
    }

    /// Publishes with a window of unconfirmed messages.
    async fn publish_all(
        &self,
        channel: &Channel,
        key: &str,
        body: &[u8],
        count: u64,
    ) -> Result<(), Failure> {
        if self.pipelined {
            let publishes = stream::iter(0..count)
                .map(async |_| send(channel, key, body).await?.await.map(drop));
            publishes.buffer_unordered(WINDOW.into()).try_for_each(async |()| Ok(())).await?;
            return Ok(());
        }
        let mut unconfirmed = FuturesUnordered::new();
        for _ in 0..count {
            if unconfirmed.len() >= usize::from(WINDOW) {
                unconfirmed.try_next().await?;
            }
            unconfirmed.push(send(channel, key, body).await?);
        }
        while unconfirmed.try_next().await?.is_some() {}
        Ok(())
    }

    async fn consume_ack(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let (_conn, channel) = open(job).await?;
        channel.basic_qos(WINDOW, BasicQosOptions::default()).await?;
        meter.start();
        let consumer = consumer(&channel, &job.flood(), false).await?;
        self.ack_all(consumer, job.count).await?;
        declare(&channel, &job.expect_settled()).await?;
        meter.stop();
        Ok(())
    }

    async fn ack_all(&self, mut consumer: Consumer, count: u64) -> Result<(), Failure> {
        if self.pipelined {
            let taken = consumer.take(count as usize);
            let acks = taken.map(async |delivery| delivery?.ack(BasicAckOptions::default()).await);
            acks.buffer_unordered(WINDOW.into()).try_for_each(async |_| Ok(())).await?;
            return Ok(());
        }
        for _ in 0..count {
            let delivery = consumer.next().await.ok_or("the consumer ended")??;
            delivery.ack(BasicAckOptions::default()).await?;
        }
        Ok(())
    }

    async fn end_to_end(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        let (_consuming, channel) = open(job).await?;
        declare(&channel, QUEUE).await?;
        channel.basic_qos(WINDOW, BasicQosOptions::default()).await?;
        let consumer = consumer(&channel, QUEUE, false).await?;
        let (_publishing, publisher) = open(job).await?;
        publisher.confirm_select(ConfirmSelectOptions::default()).await?;
        let body = job.body();
        meter.start();
        tokio::try_join!(
            self.publish_all(&publisher, QUEUE, &body, job.count),
            self.ack_all(consumer, job.count)
        )?;
        meter.stop();
        Ok(())
    }
}

async fn connect(job: &Job) -> lapin::Result<Connection> {
    Connection::connect(&job.uri(), ConnectionProperties::default()).await
}

async fn open(job: &Job) -> lapin::Result<(Connection, Channel)> {
    let conn = connect(job).await?;
    let channel = conn.create_channel().await?;
    Ok((conn, channel))
}

async fn declare(channel: &Channel, queue: &str) -> lapin::Result<()> {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, FieldTable::default()).await.map(drop)
}

async fn consumer(channel: &Channel, queue: &str, no_ack: bool) -> lapin::Result<Consumer> {
    let options = BasicConsumeOptions { no_ack, ..BasicConsumeOptions::default() };
    channel.basic_consume(queue.into(), "bench".into(), options, FieldTable::default()).await
}

fn send<'a>(
    channel: &'a Channel,
    key: &str,
    body: &'a [u8],
) -> impl Future<Output = lapin::Result<lapin::PublisherConfirm>> + use<'a> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish(ShortString::default(), key.into(), options, body, properties)
}

async fn round_trip(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let body = job.body();
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        send(&channel, "bench", &body).await?.await?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn consume(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    meter.start();
    let mut consumer = consumer(&channel, &job.flood(), true).await?;
    for _ in 0..job.count {
        consumer.next().await.ok_or("the consumer ended")??;
    }
    meter.stop();
    Ok(())
}

async fn tasks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = connect(job).await?;
    let mut channels = Vec::new();
    for _ in 0..task_count() {
        let channel = conn.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channels.push(channel);
    }
    meter.start();
    let tasks = channels.into_iter().map(|channel| {
        let (body, count) = (job.body(), job.per_task());
        tokio::spawn(async move {
            for _ in 0..count {
                send(&channel, "bench", &body).await?.await?;
            }
            lapin::Result::Ok(())
        })
    });
    for result in try_join_all(tasks).await? {
        result?;
    }
    meter.stop();
    Ok(())
}

async fn connect_often(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        connect(job).await?.close(200, ShortString::default()).await?;
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
        held.push(conn.create_channel().await?);
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn idle_connections(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    connect(job).await?.close(200, ShortString::default()).await?;
    meter.memory_before();
    let mut held = Vec::new();
    for _ in 0..job.count {
        held.push(connect(job).await?);
    }
    meter.memory_after();
    Ok(())
}

async fn idle_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, _channel) = open(job).await?;
    meter.memory_before();
    let mut held = Vec::new();
    for _ in 0..job.count {
        held.push(conn.create_channel().await?);
    }
    meter.memory_after();
    Ok(())
}

async fn stall(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    meter.memory_before();
    let _consumer = consumer(&channel, &job.flood(), true).await?;
    tokio::time::sleep(Duration::from_millis(STALL_MS)).await;
    meter.memory_after();
    Ok(())
}

async fn rpc(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    const REPLY_TO: &str = "amq.rabbitmq.reply-to";
    let sure = job.workload == Workload::Rpc;
    let (_serving, server) = open(job).await?;
    declare(&server, QUEUE).await?;
    let mut requests = consumer(&server, QUEUE, !sure).await?;
    let (_calling, client) = open(job).await?;
    let mut answers = consumer(&client, REPLY_TO, true).await?;
    if sure {
        client.confirm_select(ConfirmSelectOptions::default()).await?;
        server.confirm_select(ConfirmSelectOptions::default()).await?;
    }
    let (body, answer) = (job.body(), job.body());
    let serving = tokio::spawn(async move {
        while let Some(request) = requests.try_next().await? {
            let reply_to = request.properties.reply_to().clone().unwrap_or_default();
            let confirm = send(&server, reply_to.as_str(), &answer).await?;
            if sure {
                request.ack(BasicAckOptions::default()).await?;
                confirm.await?;
            }
        }
        lapin::Result::Ok(())
    });
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        let properties = BasicProperties::default().with_reply_to(REPLY_TO.into());
        let options = BasicPublishOptions::default();
        let publish = client.basic_publish("".into(), QUEUE.into(), options, &body, properties);
        let confirm = publish.await?;
        answers.next().await.ok_or("the consumer ended")??;
        if sure {
            confirm.await?;
        }
        meter.latency(begun);
    }
    meter.stop();
    serving.abort();
    Ok(())
}
