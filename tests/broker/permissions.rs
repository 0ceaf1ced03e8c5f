//! What a user may not do is refused in RabbitMQ's words.

use hopmq::{
    broker::{Broker, Names, Permissions},
    wire::{
        FieldTable, RawTable,
        method::{basic, queue},
    },
};

use crate::raw::{Raw, short};

#[tokio::test]
async fn permissions_by_regular_expression_are_read_as_rabbitmqctl_reads_them() {
    let limited = Permissions::all()
        .configure(Names::matching("").unwrap())
        .read(Names::matching("^in").unwrap());
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let mut guest = Raw::connect(&broker).await;
    for name in ["inbox", "begin"] {
        guest.declare(1, name, &FieldTable::new()).await;
    }
    broker.faults().add_user("limited", "secret", limited);
    let mut raw = Raw::dial(&broker).await.tuned_as(b"\0limited\0secret", 0).await;
    raw.open_channel(1).await;
    assert!(raw.get(1, "inbox", true).await.is_none());
    raw.send(1, &basic::Get { queue: short("begin"), no_ack: true }).await;
    let text =
        "ACCESS_REFUSED - read access to queue 'begin' in vhost '/' refused for user 'limited'";
    raw.channel_closes(1, 403, text).await;
    assert!(Names::matching("(").is_err());
}

#[tokio::test]
async fn configure_write_and_read_are_told_apart() {
    let limited = Permissions::all()
        .configure(Names::None)
        .write(Names::Exactly(["amq.default".to_owned()].into()))
        .read(Names::Prefix("in".to_owned()));
    let broker = Broker::builder()
        .user("guest", "guest")
        .user_with("limited", "secret", limited)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut guest = Raw::connect(&broker).await;
    for name in ["inbox", "other"] {
        guest.declare(1, name, &FieldTable::new()).await;
    }
    let mut raw = Raw::dial(&broker).await.tuned_as(b"\0limited\0secret", 0).await;
    raw.open_channel(1).await;

    let declare = queue::Declare {
        queue: short("mine"),
        passive: false,
        durable: true,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::EMPTY,
    };
    raw.send(1, &declare).await;
    raw.channel_closes(
        1,
        403,
        "ACCESS_REFUSED - configure access to queue 'mine' in vhost '/' refused for user 'limited'",
    )
    .await;
    raw.open_channel(1).await;
    raw.publish(1, "amq.topic", "k", b"").await;
    raw.channel_closes(
        1,
        403,
        "ACCESS_REFUSED - write access to exchange 'amq.topic' in vhost '/' refused for user \
         'limited'",
    )
    .await;
    raw.open_channel(1).await;
    raw.send(1, &basic::Get { queue: short("other"), no_ack: true }).await;
    raw.channel_closes(
        1,
        403,
        "ACCESS_REFUSED - read access to queue 'other' in vhost '/' refused for user 'limited'",
    )
    .await;

    raw.open_channel(1).await;
    raw.publish(1, "", "inbox", b"allowed").await;
    assert_eq!(raw.get(1, "inbox", true).await.unwrap().body, b"allowed");
}

#[tokio::test]
async fn topics_are_told_apart_by_their_routing_keys() {
    let permissions =
        Permissions::all().topics("amq.topic", Names::matching("^mine").unwrap(), Names::None);
    let broker = Broker::builder()
        .user_with("limited", "secret", permissions)
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let mut raw = Raw::dial(&broker).await.tuned_as(b"\0limited\0secret", 0).await;
    raw.open_channel(1).await;
    raw.publish(1, "amq.topic", "mine.own", b"").await;
    raw.publish(1, "amq.direct", "other", b"").await;
    raw.publish(1, "amq.topic", "other", b"").await;
    let text = "ACCESS_REFUSED - write access to topic 'other' in exchange 'amq.topic' in vhost '/' \
                refused for user 'limited'";
    raw.channel_closes(1, 403, text).await;
}

#[tokio::test]
async fn the_address_carries_the_first_users_credentials() {
    let broker = Broker::builder()
        .user("a/b", "p@ss:word")
        .user("second", "x")
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let port = broker.address().port();
    assert_eq!(broker.uri(), format!("amqp://a%2Fb:p%40ss%3Aword@127.0.0.1:{port}"));
}
