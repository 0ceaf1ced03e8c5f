//! A typed publisher: at least once, never lost in silence.

use hopmq::{
    Exchange, Overflow, Queue,
    service::{Message, PublishError, Publisher, Text},
};
use std::time::Duration;

use crate::{
    kit::next_job,
    place::{Outcome, Place, default_exchange},
};

on_both_brokers!(
    what_is_published_arrives_in_order,
    what_no_queue_takes_is_an_error,
    what_a_full_queue_refuses_is_sent_again,
    of_many_messages_each_failure_is_told,
);

async fn what_is_published_arrives_in_order(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let orders = chan.declare(Exchange::topic(at.name("orders"))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "order.#").await?;
    let publisher = Publisher::new(chan.publisher(), orders, Text);
    let messages: Vec<_> = (0..100).map(|number| Message::new(number.to_string())).collect();
    publisher.publish("order.first", &Message::new("first".to_owned())).await?;
    let key = String::from("order.eu");
    publisher.publish_all(messages.iter().map(|message| (&key, message))).await?;
    let mut consumer = chan.consume(&queue).await?;
    next_job(&mut consumer).await?.start().complete()?;
    for message in &messages {
        let job = next_job(&mut consumer).await?;
        assert_eq!((&job.message().payload, &job.message().id), (&message.payload, &message.id));
        job.start().complete()?;
    }
    Ok(())
}

async fn what_no_queue_takes_is_an_error(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let nowhere = chan.declare(Exchange::fanout(at.name("nowhere"))).await?;
    let publisher = Publisher::new(chan.publisher(), nowhere, Text);
    let error = publisher.publish((), &Message::new("lost".to_owned())).await;
    let error = error.expect_err("no queue is bound");
    assert!(matches!(error, PublishError::Returned { .. }), "{error}");
    assert_eq!(error.kind(), "returned");
    Ok(())
}

async fn what_a_full_queue_refuses_is_sent_again(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = Queue::classic(at.name("full")).max_length(1).overflow(Overflow::RejectPublish);
    let queue = chan.declare(queue).await?;
    let publisher = Publisher::new(chan.publisher(), default_exchange(), Text);
    publisher.publish(&queue, &Message::new("first".to_owned())).await?;
    // RabbitMQ lets one or two more in than the limit says.
    let impatient = publisher.clone().resend(1, Duration::from_millis(1));
    let second = Message::new("second".to_owned());
    let error = loop {
        if let Err(error) = impatient.publish(&queue, &second).await {
            break error;
        }
    };
    assert!(matches!(error, PublishError::Refused { times: 2 }), "{error}");
    let patient = publisher.resend(u32::MAX, Duration::from_millis(5));
    let waiting = patient.publish(&queue, &second);
    let emptying = async {
        let mut consumer = chan.consume(&queue).await?;
        loop {
            let job = next_job(&mut consumer).await?;
            let last = job.message().payload == "second";
            job.start().complete()?;
            if last {
                return Outcome::Ok(());
            }
        }
    };
    let (published, emptied) = tokio::join!(waiting, emptying);
    published?;
    emptied
}

async fn of_many_messages_each_failure_is_told(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let orders = chan.declare(Exchange::direct(at.name("orders"))).await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    chan.bind(&queue, &orders, "there").await?;
    let publisher = Publisher::new(chan.publisher(), orders, Text);
    let message = Message::new("x".to_owned());
    let long = "x".repeat(256);
    let routes = ["there", "nowhere", "there", &long, "nowhere"];
    let error = publisher.publish_all(routes.map(|route| (route, &message))).await;
    let error = error.expect_err("three of five");
    let failed: Vec<_> = error.failed.iter().map(|(at, error)| (*at, error.kind())).collect();
    assert_eq!(failed, [(1, "returned"), (3, "not_sent"), (4, "returned")]);
    assert_eq!(error.to_string(), "3 of 5 messages were not published");
    assert_eq!(chan.counts(&queue).await?.messages, 2);
    Ok(())
}
