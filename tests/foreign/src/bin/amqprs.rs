//! amqprs: <https://crates.io/crates/amqprs>

use amqprs::{
    Ack, BasicProperties, Cancel, CloseChannel, Nack, Return,
    callbacks::ChannelCallback,
    channel::*,
    connection::{Connection, OpenConnectionArguments},
};
use async_trait::async_trait;
use hopmq_foreign::{Done, can, holds, name, url};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let connection = Connection::open(&address("guest")?).await?;
    let channel = connection.open_channel(None).await?;
    let at = At { connection, channel };
    can("amqprs", "declare", at.declare()).await?;
    can("amqprs", "publish and confirm", at.confirm()).await?;
    can("amqprs", "get", at.get()).await?;
    can("amqprs", "consume", at.consume()).await?;
    can("amqprs", "settle", at.settle()).await?;
    can("amqprs", "tx", at.tx()).await?;
    can("amqprs", "rpc", at.rpc()).await?;
    can("amqprs", "errors", at.errors()).await?;
    can("amqprs", "delete", at.delete()).await
}

fn address(password: &str) -> Done<OpenConnectionArguments> {
    let url = url()?;
    let host = url.split('@').nth(1).and_then(|rest| rest.split('/').next()).ok_or("a host")?;
    let (host, port) = host.rsplit_once(':').ok_or("a port")?;
    Ok(OpenConnectionArguments::new(host, port.parse()?, "guest", password))
}

fn queue() -> String {
    name("amqprs", "q")
}

fn exchange() -> String {
    name("amqprs", "x")
}

/// What the broker tells a channel.
#[derive(Debug, PartialEq)]
enum Told {
    Confirmed(u64),
    Returned(u16),
    Closed(u16, String),
}

struct Hears(UnboundedSender<Told>);

#[async_trait]
impl ChannelCallback for Hears {
    async fn close(
        &mut self,
        _: &Channel,
        close: CloseChannel,
    ) -> Result<(), amqprs::error::Error> {
        let _ = self.0.send(Told::Closed(close.reply_code(), close.reply_text().clone()));
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let _ = self.0.send(Told::Confirmed(ack.delivery_tag()));
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {}

    async fn publish_return(&mut self, _: &Channel, it: Return, _: BasicProperties, _: Vec<u8>) {
        let _ = self.0.send(Told::Returned(it.reply_code()));
    }
}

struct At {
    connection: Connection,
    channel: Channel,
}

impl At {
    async fn listening(&self) -> Done<(Channel, UnboundedReceiver<Told>)> {
        let channel = self.connection.open_channel(None).await?;
        let (tell, told) = unbounded_channel();
        channel.register_callback(Hears(tell)).await?;
        Ok((channel, told))
    }

    async fn declare(&self) -> Done {
        let arguments = ExchangeDeclareArguments::new(&exchange(), "topic").durable(true).finish();
        self.channel.exchange_declare(arguments).await?;
        let arguments = QueueDeclareArguments::new(&queue()).durable(true).finish();
        let declared = self.channel.queue_declare(arguments).await?;
        holds(declared == Some((queue(), 0, 0)), declared)?;
        let arguments = QueueBindArguments::new(&queue(), &exchange(), "order.*");
        Ok(self.channel.queue_bind(arguments).await?)
    }

    async fn confirm(&self) -> Done {
        let (channel, mut told) = self.listening().await?;
        channel.confirm_select(ConfirmSelectArguments::default()).await?;
        for number in 0..10 {
            publish(&channel, &exchange(), "order.eu", &[number], BasicProperties::default())
                .await?;
        }
        while told.recv().await.ok_or("confirms")? != Told::Confirmed(10) {}
        publish(&channel, &exchange(), "nobody", b"", BasicProperties::default()).await?;
        let returned = told.recv().await;
        holds(returned == Some(Told::Returned(312)), returned)?;
        Ok(channel.close().await?)
    }

    async fn got(&self, no_ack: bool) -> Done<Option<GetMessage>> {
        let arguments = BasicGetArguments::new(&queue()).no_ack(no_ack).finish();
        Ok(self.channel.basic_get(arguments).await?)
    }

    async fn get(&self) -> Done {
        let (got, _, body) = self.got(false).await?.ok_or("a message")?;
        holds((got.message_count(), &body[..]) == (9, &[0]), &body)?;
        Ok(self.channel.basic_ack(BasicAckArguments::new(got.delivery_tag(), false)).await?)
    }

    async fn consume(&self) -> Done {
        self.channel.basic_qos(BasicQosArguments::new(0, 3, false)).await?;
        let arguments = BasicConsumeArguments::new(&queue(), &name("amqprs", "tag"));
        let (tag, mut deliveries) = self.channel.basic_consume_rx(arguments).await?;
        for number in 1..10 {
            let message = deliveries.recv().await.ok_or("a delivery")?;
            holds(message.content.as_deref() == Some(&[number]), &message.content)?;
            let tag = message.deliver.ok_or("a tag")?.delivery_tag();
            self.channel.basic_ack(BasicAckArguments::new(tag, false)).await?;
        }
        self.channel.basic_cancel(BasicCancelArguments::new(&tag)).await?;
        Ok(())
    }

    async fn settle(&self) -> Done {
        // What is published and asked for on one channel comes in its order.
        publish(&self.channel, "", &queue(), b"again", BasicProperties::default()).await?;
        let (first, ..) = self.got(false).await?.ok_or("a message")?;
        self.channel.basic_nack(BasicNackArguments::new(first.delivery_tag(), false, true)).await?;
        let (again, ..) = self.got(false).await?.ok_or("a message")?;
        holds(again.redelivered(), "redelivered")?;
        self.channel.basic_reject(BasicRejectArguments::new(again.delivery_tag(), false)).await?;
        holds(self.got(false).await?.is_none(), "it is dropped")
    }

    async fn tx(&self) -> Done {
        let transaction = self.connection.open_channel(None).await?;
        transaction.tx_select().await?;
        publish(&transaction, "", &queue(), b"rolled back", BasicProperties::default()).await?;
        transaction.tx_rollback().await?;
        publish(&transaction, "", &queue(), b"committed", BasicProperties::default()).await?;
        transaction.tx_commit().await?;
        let (_, _, body) = self.got(true).await?.ok_or("what was committed")?;
        holds(body == b"committed", body)?;
        holds(self.got(true).await?.is_none(), "what was rolled back")?;
        Ok(transaction.close().await?)
    }

    async fn rpc(&self) -> Done {
        let arguments = BasicConsumeArguments::new(REPLY_TO, "").auto_ack(true).finish();
        let (_, mut answers) = self.channel.basic_consume_rx(arguments).await?;
        let ask = BasicProperties::default().with_reply_to(REPLY_TO).finish();
        publish(&self.channel, "", &queue(), b"question", ask).await?;
        let (_, asked, _) = self.got(true).await?.ok_or("the question")?;
        let reply_to = asked.reply_to().ok_or("where to answer")?;
        let server = self.connection.open_channel(None).await?;
        publish(&server, "", reply_to, b"answer", BasicProperties::default()).await?;
        let answer = answers.recv().await.ok_or("the answer")?.content;
        holds(answer.as_deref() == Some(b"answer"), answer)?;
        Ok(server.close().await?)
    }

    async fn errors(&self) -> Done {
        let (doomed, mut told) = self.listening().await?;
        let arguments = QueueDeclareArguments::new(&name("amqprs", "none")).passive(true).finish();
        holds(doomed.queue_declare(arguments).await.is_err(), "there is none")?;
        closed(&mut told, 404, "NOT_FOUND - no queue").await?;
        let (doomed, mut told) = self.listening().await?;
        let arguments = ExchangeDeclareArguments::new(&exchange(), "fanout").durable(true).finish();
        holds(doomed.exchange_declare(arguments).await.is_err(), "it is another")?;
        closed(&mut told, 406, "inequivalent arg 'type'").await?;
        let stranger =
            Connection::open(&address("wrong")?).await.err().map(|error| error.to_string());
        holds(stranger.is_some(), stranger)
    }

    async fn delete(self) -> Done {
        self.channel.queue_delete(QueueDeleteArguments::new(&queue())).await?;
        self.channel.exchange_delete(ExchangeDeleteArguments::new(&exchange())).await?;
        self.channel.close().await?;
        Ok(self.connection.close().await?)
    }
}

async fn closed(told: &mut UnboundedReceiver<Told>, code: u16, words: &str) -> Done {
    match told.recv().await {
        Some(Told::Closed(found, text)) if found == code && text.contains(words) => Ok(()),
        other => Err(format!("{other:?}").into()),
    }
}

async fn publish(
    on: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
    properties: BasicProperties,
) -> Done {
    let arguments = BasicPublishArguments::new(exchange, key).mandatory(true).finish();
    Ok(on.basic_publish(properties, body.to_vec(), arguments).await?)
}
