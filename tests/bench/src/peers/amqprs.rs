//! amqprs: confirms come to a callback, deliveries through a channel of tokio's.

use std::time::{Duration, Instant};

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return,
    callbacks::ChannelCallback,
    channel::{
        BasicAckArguments, BasicConsumeArguments, BasicPublishArguments, BasicQosArguments,
        Channel, ConfirmSelectArguments, ConsumerMessage, QueueDeclareArguments,
    },
    connection::{Connection, OpenConnectionArguments},
};
use async_trait::async_trait;
use tokio::sync::{mpsc::UnboundedReceiver, watch};

use crate::{
    job::{CONFIRM_SINGLY, Failure, Job, Peer, QUEUE, STALL_MS, WINDOW, Workload, task_count},
    meter::Meter,
    peers,
};

type Result<T = (), E = amqprs::error::Error> = std::result::Result<T, E>;
type Deliveries = UnboundedReceiver<ConsumerMessage>;

pub struct Amqprs;

impl Peer for Amqprs {
    fn name(&self) -> &'static str {
        "amqprs"
    }

    fn version(&self) -> String {
        peers::locked("amqprs")
    }

    fn offers(&self, _: Workload) -> bool {
        true
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        peers::run_alone(job, meter, |job, mut meter| async move {
            (work(&job, &mut meter).await, meter)
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

/// Tells up to which tag the broker has confirmed.
struct Confirms(watch::Sender<u64>);

#[async_trait]
impl ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result {
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        self.0.send_replace(ack.delivery_tag());
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}

    async fn publish_return(&mut self, _: &Channel, _: Return, _: BasicProperties, _: Vec<u8>) {}
}

async fn connect(job: &Job) -> Result<Connection> {
    let arguments = OpenConnectionArguments::new("127.0.0.1", job.port, "guest", "guest");
    Connection::open(&arguments).await
}

async fn open(job: &Job) -> Result<(Connection, Channel)> {
    let conn = connect(job).await?;
    let channel = conn.open_channel(None).await?;
    Ok((conn, channel))
}

async fn confirming(channel: &Channel) -> Result<watch::Receiver<u64>> {
    let (confirms, confirmed) = watch::channel(0);
    channel.register_callback(Confirms(confirms)).await?;
    channel.confirm_select(ConfirmSelectArguments::default()).await?;
    Ok(confirmed)
}

async fn declare(channel: &Channel, queue: &str) -> Result {
    let arguments = QueueDeclareArguments::new(queue).exclusive(true).finish();
    channel.queue_declare(arguments).await.map(drop)
}

async fn consumer(channel: &Channel, queue: &str, automatic: bool) -> Result<Deliveries> {
    let arguments = BasicConsumeArguments::new(queue, "bench").auto_ack(automatic).finish();
    channel.basic_consume_rx(arguments).await.map(|(_, deliveries)| deliveries)
}

async fn send(channel: &Channel, key: &str, body: &[u8]) -> Result {
    let arguments = BasicPublishArguments::new("", key);
    channel.basic_publish(BasicProperties::default(), body.to_vec(), arguments).await
}

async fn publish(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    let body = job.body();
    meter.start();
    for _ in 0..job.count {
        send(&channel, "bench", &body).await?;
    }
    declare(&channel, &job.expect_published()).await?;
    meter.stop();
    Ok(())
}

async fn confirm(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    if job.workload == Workload::ConfirmSingly {
        declare(&channel, CONFIRM_SINGLY).await?;
    }
    let mut confirmed = confirming(&channel).await?;
    let key = if job.workload == Workload::RabbitConfirm { "hopmq-bench-nowhere" } else { "bench" };
    meter.start();
    publish_all(&channel, &mut confirmed, key, &job.body(), job.count).await?;
    meter.stop();
    Ok(())
}

/// Publishes with a window of unconfirmed messages.
async fn publish_all(
    channel: &Channel,
    confirmed: &mut watch::Receiver<u64>,
    key: &str,
    body: &[u8],
    count: u64,
) -> Result<(), Failure> {
    for sent in 0..count {
        if sent >= u64::from(WINDOW) {
            confirmed.wait_for(|confirmed| sent - confirmed < u64::from(WINDOW)).await?;
        }
        send(channel, key, body).await?;
    }
    confirmed.wait_for(|confirmed| *confirmed == count).await?;
    Ok(())
}

async fn round_trip(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    let mut confirmed = confirming(&channel).await?;
    let body = job.body();
    meter.start();
    for sent in 1..=job.count {
        let begun = Instant::now();
        send(&channel, "bench", &body).await?;
        confirmed.wait_for(|confirmed| *confirmed >= sent).await?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn consume(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    meter.start();
    let mut deliveries = consumer(&channel, &job.flood(), true).await?;
    for _ in 0..job.count {
        deliveries.recv().await.ok_or("the consumer ended")?;
    }
    meter.stop();
    Ok(())
}

async fn consume_ack(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    channel.basic_qos(BasicQosArguments::new(0, WINDOW, false)).await?;
    meter.start();
    let deliveries = consumer(&channel, &job.flood(), false).await?;
    ack_all(&channel, deliveries, job.count).await?;
    declare(&channel, &job.expect_settled()).await?;
    meter.stop();
    Ok(())
}

async fn ack_all(channel: &Channel, mut deliveries: Deliveries, count: u64) -> Result<(), Failure> {
    for _ in 0..count {
        let message = deliveries.recv().await.ok_or("the consumer ended")?;
        let tag = message.deliver.ok_or("no tag")?.delivery_tag();
        channel.basic_ack(BasicAckArguments::new(tag, false)).await?;
    }
    Ok(())
}

async fn tasks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = connect(job).await?;
    let mut channels = Vec::new();
    for _ in 0..task_count() {
        let channel = conn.open_channel(None).await?;
        let confirmed = confirming(&channel).await?;
        channels.push((channel, confirmed));
    }
    meter.start();
    let spawn = |(channel, mut confirmed): (Channel, watch::Receiver<u64>)| {
        let (body, count) = (job.body(), job.per_task());
        tokio::spawn(async move {
            for sent in 1..=count {
                send(&channel, "bench", &body).await?;
                confirmed.wait_for(|confirmed| *confirmed >= sent).await?;
            }
            Ok::<_, Failure>(channel)
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
        connect(job).await?.close().await?;
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
        held.push(conn.open_channel(None).await?);
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

async fn idle_connections(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    connect(job).await?.close().await?;
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
        held.push(conn.open_channel(None).await?);
    }
    meter.memory_after();
    Ok(())
}

async fn stall(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_conn, channel) = open(job).await?;
    meter.memory_before();
    let _deliveries = consumer(&channel, &job.flood(), true).await?;
    tokio::time::sleep(Duration::from_millis(STALL_MS)).await;
    meter.memory_after();
    Ok(())
}

async fn end_to_end(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (_consuming, channel) = open(job).await?;
    declare(&channel, QUEUE).await?;
    channel.basic_qos(BasicQosArguments::new(0, WINDOW, false)).await?;
    let deliveries = consumer(&channel, QUEUE, false).await?;
    let (_publishing, publisher) = open(job).await?;
    let mut confirmed = confirming(&publisher).await?;
    let body = job.body();
    meter.start();
    tokio::try_join!(
        publish_all(&publisher, &mut confirmed, QUEUE, &body, job.count),
        ack_all(&channel, deliveries, job.count)
    )?;
    meter.stop();
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
    let mut confirmed = None;
    let mut answered = None;
    if sure {
        confirmed = Some(confirming(&client).await?);
        answered = Some(confirming(&server).await?);
    }
    let (body, answer) = (job.body(), job.body());
    let serving = tokio::spawn(async move {
        let mut sent = 0;
        while let Some(request) = requests.recv().await {
            let properties = request.basic_properties.unwrap_or_default();
            let reply_to = properties.reply_to().map_or("", String::as_str);
            send(&server, reply_to, &answer).await?;
            sent += 1;
            if let Some(answered) = &mut answered {
                let tag = request.deliver.ok_or("no tag")?.delivery_tag();
                server.basic_ack(BasicAckArguments::new(tag, false)).await?;
                answered.wait_for(|answered| *answered >= sent).await?;
            }
        }
        Ok::<(), Failure>(())
    });
    meter.start();
    for sent in 1..=job.count {
        let begun = Instant::now();
        let properties = BasicProperties::default().with_reply_to(REPLY_TO).finish();
        let arguments = BasicPublishArguments::new("", QUEUE);
        client.basic_publish(properties, body.clone(), arguments).await?;
        answers.recv().await.ok_or("the consumer ended")?;
        if let Some(confirmed) = &mut confirmed {
            confirmed.wait_for(|confirmed| *confirmed >= sent).await?;
        }
        meter.latency(begun);
    }
    meter.stop();
    serving.abort();
    Ok(())
}
