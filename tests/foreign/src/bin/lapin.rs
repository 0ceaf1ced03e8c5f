//! lapin: <https://crates.io/crates/lapin>

use futures_util::StreamExt;
use hopmq_foreign::{Done, can, holds, name, url};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Error, ErrorKind,
    ExchangeKind,
    message::BasicGetMessage,
    options::*,
    types::{AMQPValue, FieldTable, ShortString},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let connection = Connection::connect(&url()?, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let confirming = connection.create_channel().await?;
    let at = At { connection, channel, confirming, name: |what| name("lapin", what) };
    can("lapin", "declare", at.declare()).await?;
    can("lapin", "publish and confirm", at.confirm()).await?;
    can("lapin", "get", at.get()).await?;
    can("lapin", "consume", at.consume()).await?;
    can("lapin", "settle", at.settle()).await?;
    can("lapin", "tx", at.tx()).await?;
    can("lapin", "rpc", at.rpc()).await?;
    can("lapin", "errors", at.errors()).await?;
    can("lapin", "delete", at.delete()).await
}

struct At {
    connection: Connection,
    channel: Channel,
    confirming: Channel,
    name: fn(&str) -> String,
}

impl At {
    fn named(&self, what: &str) -> ShortString {
        (self.name)(what).as_str().into()
    }

    async fn declare(&self) -> Done {
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        let (exchange, arguments) = (self.named("x"), FieldTable::default());
        self.channel.exchange_declare(exchange, ExchangeKind::Topic, durable, arguments).await?;
        let queue = declare(&self.channel, self.named("q"), "x-max-length", 1000).await?;
        holds((queue.message_count(), queue.consumer_count()) == (0, 0), queue)?;
        let (queue, exchange) = (self.named("q"), self.named("x"));
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        Ok(self.channel.queue_bind(queue, exchange, "order.#".into(), options, arguments).await?)
    }

    async fn confirm(&self) -> Done {
        self.confirming.confirm_select(ConfirmSelectOptions::default()).await?;
        for number in 0..20_u8 {
            let confirmed = self.publish("x", "order.eu.new", &[number], "").await?;
            holds(matches!(confirmed, Confirmation::Ack(None)), confirmed)?;
        }
        let nowhere = self.publish("x", "nobody", b"", "").await?;
        let returned = nowhere.take_message().ok_or("it has no route")?;
        holds(returned.reply_code == 312, returned)
    }

    /// With confirms, and mandatory.
    async fn publish(
        &self,
        to: &str,
        key: &str,
        body: &[u8],
        reply_to: &str,
    ) -> Done<Confirmation> {
        let exchange = if to.is_empty() { ShortString::default() } else { self.named(to) };
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let mut headers = FieldTable::default();
        headers.insert("n".into(), AMQPValue::LongInt(7));
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_headers(headers)
            .with_reply_to(reply_to.into());
        let publish =
            self.confirming.basic_publish(exchange, key.into(), options, body, properties);
        Ok(publish.await?.await?)
    }

    async fn got(&self) -> Done<Option<BasicGetMessage>> {
        Ok(self.channel.basic_get(self.named("q"), BasicGetOptions::default()).await?)
    }

    async fn get(&self) -> Done {
        let got = self.got().await?.ok_or("a message")?;
        holds(got.message_count == 19 && got.delivery.data == [0], &got.delivery.data)?;
        let headers = got.delivery.properties.headers().clone().unwrap_or_default();
        holds(headers.inner().get("n") == Some(&AMQPValue::LongInt(7)), headers)?;
        got.delivery.ack(BasicAckOptions::default()).await?;
        Ok(())
    }

    async fn consume(&self) -> Done {
        self.channel.basic_qos(5, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let tag = self.named("tag");
        let consume = self.channel.basic_consume(self.named("q"), tag.clone(), options, arguments);
        let mut deliveries = consume.await?;
        for number in 1..20_u8 {
            let delivery = deliveries.next().await.ok_or("a delivery")??;
            holds(delivery.data == [number], &delivery.data)?;
            delivery.ack(BasicAckOptions::default()).await?;
        }
        Ok(self.channel.basic_cancel(tag, BasicCancelOptions::default()).await?)
    }

    async fn settle(&self) -> Done {
        self.publish("x", "order.again", b"again", "").await?;
        let first = self.got().await?.ok_or("a message")?;
        let requeue = BasicNackOptions { requeue: true, ..Default::default() };
        first.delivery.nack(requeue).await?;
        let again = self.got().await?.ok_or("a message")?;
        holds(again.delivery.redelivered, "redelivered")?;
        again.delivery.reject(BasicRejectOptions { requeue: false }).await?;
        holds(self.got().await?.is_none(), "it is dropped")
    }

    async fn tx(&self) -> Done {
        let transaction = self.connection.create_channel().await?;
        transaction.tx_select().await?;
        for (body, commit) in [(b"rolled back", false), (b"committed!!", true)] {
            let (options, properties) =
                (BasicPublishOptions::default(), BasicProperties::default());
            let queue = self.named("q");
            transaction.basic_publish("".into(), queue, options, body, properties).await?.await?;
            holds(self.got().await?.is_none(), "not yet")?;
            match commit {
                true => transaction.tx_commit().await?,
                false => transaction.tx_rollback().await?,
            }
        }
        let got = self.got().await?.ok_or("what was committed")?;
        holds(got.delivery.data == b"committed!!", &got.delivery.data)?;
        got.delivery.ack(BasicAckOptions::default()).await?;
        Ok(transaction.close(200, "".into()).await?)
    }

    async fn rpc(&self) -> Done {
        const REPLY_TO: &str = "amq.rabbitmq.reply-to";
        let options = BasicConsumeOptions { no_ack: true, ..Default::default() };
        let consume = self.confirming.basic_consume(
            REPLY_TO.into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        let mut answers = consume.await?;
        self.publish("", self.named("q").as_str(), b"question", REPLY_TO).await?;
        let question = self.got().await?.ok_or("the question")?;
        let reply_to = question.delivery.properties.reply_to().clone().unwrap_or_default();
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        self.channel
            .basic_publish("".into(), reply_to, options, b"answer", properties)
            .await?
            .await?;
        question.delivery.ack(BasicAckOptions::default()).await?;
        let answer = answers.next().await.ok_or("the answer")??;
        holds(answer.data == b"answer", &answer.data)
    }

    async fn errors(&self) -> Done {
        let doomed = self.connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let declare_none = doomed.queue_declare(self.named("none"), passive, FieldTable::default());
        refused(declare_none.await.map(drop), 404, "NOT_FOUND - no queue")?;
        let doomed = self.connection.create_channel().await?;
        let other = declare(&doomed, self.named("q"), "x-max-length", 999).await;
        refused(other.map(drop), 406, "inequivalent arg 'x-max-length'")?;
        let stranger = url()?.replace("guest:guest", "guest:wrong");
        let connected = Connection::connect(&stranger, ConnectionProperties::default()).await;
        refused(connected.map(drop), 403, "ACCESS_REFUSED")
    }

    async fn delete(&self) -> Done {
        let deleted = self.channel.queue_delete(self.named("q"), QueueDeleteOptions::default());
        holds(deleted.await? == 0, "it was empty")?;
        self.channel.exchange_delete(self.named("x"), ExchangeDeleteOptions::default()).await?;
        Ok(self.connection.close(200, "".into()).await?)
    }
}

async fn declare(
    on: &Channel,
    queue: ShortString,
    argument: &str,
    value: i32,
) -> lapin::Result<lapin::Queue> {
    let mut arguments = FieldTable::default();
    arguments.insert(argument.into(), AMQPValue::LongInt(value));
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    on.queue_declare(queue, durable, arguments).await
}

fn refused(result: Result<(), Error>, code: u16, words: &str) -> Done {
    let Err(error) = result else { return Err("it was to be refused".into()) };
    let ErrorKind::ProtocolError(told) = error.kind() else { return Err(error.into()) };
    holds(told.get_id() == code && told.get_message().as_str().contains(words), told)
}
