//! The embedded broker: its ports open or do not, it ends or goes on, and no event is lost.

use std::time::Duration;

use hopmq::{
    Conn,
    broker::{Broker, Event, Listening},
};

use super::Point;
use crate::place::{Outcome, Place, until};

dropped_at_each_point!(
    on_the_embedded_broker:
    starting_a_broker,
    opening_another_port,
    waiting_for_events,
    waiting_for_a_broker_to_stop,
);

const ANYWHERE: &str = "127.0.0.1:0";

async fn is_up(broker: &Broker<Listening>) -> Outcome {
    let config: hopmq::Config = broker.uri().parse()?;
    Conn::new(config).connect().await?.close().await?;
    Ok(())
}

async fn starting_a_broker(_: Place) -> Outcome {
    let (mut bound, mut built, mut opened) = (false, false, false);
    for point in Point::all() {
        // A port that nobody listens on now: what was dropped must have let go of it.
        let free = std::net::TcpListener::bind(ANYWHERE)?.local_addr()?;
        if let Some(broker) = point.reach(Broker::bind(free)).await {
            is_up(&broker?).await?;
            bound = true;
        }
        if let Some(broker) = point.reach(Broker::builder().bind(ANYWHERE)).await {
            is_up(&broker?).await?;
            built = true;
        }
        let stopped = Broker::bind(ANYWHERE).await?.drain().stopped(Duration::ZERO).await;
        if let Some(broker) = point.reach(stopped.into_unbound().listen(ANYWHERE)).await {
            is_up(&broker?).await?;
            opened = true;
        }
        is_up(&Broker::bind(ANYWHERE).await?).await?;
        if bound && built && opened {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn opening_another_port(at: Place) -> Outcome {
    for point in Point::all() {
        let port = point.reach(at.broker().also_listen(ANYWHERE)).await;
        at.conn().await?.close().await?;
        if let Some(port) = port {
            let address = port?;
            assert!(at.broker().addresses().contains(&address));
            tokio::net::TcpStream::connect(address).await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_events(at: Place) -> Outcome {
    let mut events = at.broker().events();
    let (mut seen, points) = (Vec::new(), 7);
    for point in Point::all().take(points) {
        at.conn().await?.close().await?;
        seen.extend(point.reach(events.next()).await.flatten());
    }
    let ended = |seen: &[Event]| {
        seen.iter().filter(|event| matches!(event, Event::Disconnected { .. })).count()
    };
    while ended(&seen) < points {
        seen.push(events.next().await.ok_or("the broker lives")?);
    }
    let opened = seen.iter().filter(|event| matches!(event, Event::Opened { .. })).count();
    assert_eq!(opened, points, "none is lost: {seen:?}");
    Ok(())
}

async fn waiting_for_a_broker_to_stop(_: Place) -> Outcome {
    for point in Point::all() {
        let broker = Broker::bind(ANYWHERE).await?;
        let address = broker.address();
        let config: hopmq::Config = broker.uri().parse()?;
        let conn = Conn::new(config.without_recovery()).connect().await?;
        let stopped = point.reach(broker.drain().stopped(Duration::from_secs(60))).await;
        // It is gone in any case, and who was connected is told.
        conn.closed().await;
        until(async || Ok(tokio::net::TcpStream::connect(address).await.is_err())).await?;
        if let Some(stopped) = stopped {
            assert_eq!(stopped.cut(), 0);
            return Ok(());
        }
    }
    Err("it never ends".into())
}
