//! Connections that are cut while messages flow: nothing is lost, repeated or reordered.

use std::time::Duration;

use hopmq::{
    Config,
    peer::{End, Peer, PeerEvent, Settings},
};

use crate::{Outcome, Pair, Place, number, receive_in_order, send_all, soon, unique};

const MANY: u32 = 2_000;

/// Both ways at once, while `cut` is called again and again.
async fn talk_while(pair: &Pair, mut cut: impl AsyncFnMut()) -> Outcome {
    let Pair { ours, theirs, till, .. } = pair;
    let mut events = till.events();
    let talking = async {
        tokio::try_join!(
            slowly(ours, MANY),
            slowly(theirs, MANY),
            receive_in_order(ours, 0, MANY),
            receive_in_order(theirs, 0, MANY),
        )
    };
    let cutting = async {
        for _ in 0..4 {
            cut().await;
            loop {
                match events.next().await {
                    // What was missed may have been it.
                    Some(PeerEvent::Resumed { .. } | PeerEvent::Missed { .. }) | None => break,
                    Some(_) => {}
                }
            }
        }
    };
    let (talked, ()) = tokio::join!(talking, cutting);
    talked?;
    Ok(())
}

/// So that it lasts from the first cut to the last.
async fn slowly(queue: &hopmq::peer::MessageQueue<hopmq::Open>, count: u32) -> Outcome {
    let mut outcomes = Vec::new();
    for next in 0..count {
        outcomes.push(queue.send(number(next)).await?);
        if next % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for outcome in outcomes {
        outcome.await?;
    }
    Ok(())
}

#[tokio::test]
async fn over_an_embedded_broker_cuts_lose_nothing() -> Outcome {
    soon(async {
        let place = Place::embedded().await?;
        let pair = place.pair(Settings::default()).await?;
        let faults = place.broker.as_ref().expect("embedded").faults();
        talk_while(&pair, async || faults.cut_connections()).await
    })
    .await
}

#[tokio::test]
async fn a_broker_that_forgets_the_queues_loses_nothing() -> Outcome {
    soon(async {
        let place = Place::embedded().await?;
        let pair = place.pair(Settings::default()).await?;
        let broker = place.broker.as_ref().expect("embedded");
        let forget = async || {
            for queue in broker.queues("/") {
                if queue.name.starts_with("hopmq.queue.") {
                    broker.faults().delete_queue("/", &queue.name);
                }
            }
        };
        talk_while(&pair, forget).await
    })
    .await
}

/// The listening side is reached again after its door was cut off.
#[tokio::test]
async fn a_peer_listens_again_after_a_cut() -> Outcome {
    soon(async {
        let place = Place::embedded().await?;
        let shop = place.listening("shop", Settings::default()).await?;
        place.broker.as_ref().expect("embedded").faults().cut_connections();
        let till = Peer::new(unique("till"));
        let ours = loop {
            match till.connect(shop.name()).at(place.config.clone()).await {
                Ok(queue) => break queue,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let theirs = shop.accept().await;
        tokio::try_join!(send_all(&ours, 0, 5), receive_in_order(&theirs, 0, 5))?;
        Ok(())
    })
    .await
}

/// The broker goes and stays away: both sides notice, and senders get back what was not confirmed.
#[tokio::test]
async fn silence_ends_the_queue_and_gives_back_what_was_not_confirmed() -> Outcome {
    soon(async {
        let mut place = Place::embedded().await?;
        let mut settings = Settings::default();
        settings.patience = Duration::from_secs(4);
        let Pair { ours, theirs, .. } = place.pair(settings).await?;
        tokio::try_join!(send_all(&ours, 0, 5), receive_in_order(&theirs, 0, 5))?;
        drop(place.broker.take());
        let lost = ours.send(number(5)).await?;
        let End::Silent { cause, .. } = ours.ended().await else { panic!("{:?}", ours.end()) };
        assert!(cause.is_some(), "it says what was wrong with the way");
        let back = lost.await.expect_err("nobody was there");
        assert_eq!(crate::read(back.message()), 5);
        assert!(matches!(theirs.ended().await, End::Silent { .. }));
        Ok(())
    })
    .await
}

mod own_nodes {
    use super::*;
    use crate::node::Node;

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn over_rabbitmq_connections_closed_by_force_lose_nothing() -> Outcome {
        let node = tokio::task::spawn_blocking(Node::start).await?;
        let place = Place { config: node.uri().parse::<Config>()?, broker: None };
        let node = std::sync::Arc::new(node);
        soon(async {
            let pair = place.pair(Settings::default()).await?;
            talk_while(&pair, async || {
                let node = node.clone();
                tokio::task::spawn_blocking(move || node.ctl(&["close_all_connections", "test"]))
                    .await
                    .expect("rabbitmqctl");
            })
            .await
        })
        .await?;
        tokio::task::spawn_blocking(move || drop(node)).await?;
        Ok(())
    }

    /// The node dies while they talk and comes back: durable or not, what was under way goes out
    /// again, once and in order.
    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn a_rabbitmq_that_is_killed_and_comes_back_loses_nothing() -> Outcome {
        let node = std::sync::Arc::new(tokio::task::spawn_blocking(Node::start).await?);
        let place = Place { config: node.uri().parse::<Config>()?, broker: None };
        soon(async {
            let pair = place.pair(Settings::default()).await?;
            let Pair { ours, theirs, .. } = &pair;
            tokio::try_join!(send_all(ours, 0, 100), receive_in_order(theirs, 0, 100))?;
            let mut outcomes = Vec::new();
            for next in 100..200 {
                outcomes.push(ours.send(number(next)).await?);
            }
            let killed = std::sync::Arc::clone(&node);
            tokio::task::spawn_blocking(move || {
                killed.kill();
                killed.restart();
            })
            .await?;
            for next in 200..300 {
                outcomes.push(ours.send(number(next)).await?);
            }
            receive_in_order(theirs, 100, 200).await?;
            for outcome in outcomes {
                outcome.await?;
            }
            Ok(())
        })
        .await?;
        tokio::task::spawn_blocking(move || drop(node)).await?;
        Ok(())
    }

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn a_rabbitmq_that_stays_away_ends_the_queue_and_gives_back_what_was_not_confirmed()
    -> Outcome {
        let node = tokio::task::spawn_blocking(Node::start).await?;
        let place = Place { config: node.uri().parse::<Config>()?, broker: None };
        let mut settings = Settings::default();
        settings.patience = Duration::from_secs(5);
        soon(async {
            let Pair { ours, theirs, .. } = place.pair(settings).await?;
            tokio::try_join!(send_all(&ours, 0, 5), receive_in_order(&theirs, 0, 5))?;
            tokio::task::spawn_blocking(move || drop(node)).await?;
            let mut lost = Vec::new();
            for next in 5..10 {
                lost.push(ours.send(number(next)).await?);
            }
            assert!(matches!(ours.ended().await, End::Silent { .. }));
            for (next, lost) in (5..10).zip(lost) {
                let back = lost.await.expect_err("nobody was there");
                assert_eq!(crate::read(back.message()), next);
            }
            assert!(matches!(theirs.ended().await, End::Silent { .. }));
            Ok(())
        })
        .await
    }
}
