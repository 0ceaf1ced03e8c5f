//! A broker in between that holds publishers back: the queue waits, says so, and goes on.

use std::time::Duration;

use hopmq::peer::{PeerEvent, PeerEvents, Settings};

use crate::{Outcome, Pair, Place, number, receive_in_order, soon};

/// So that the alarm lasts longer than a silence may.
const PATIENCE: Duration = Duration::from_secs(3);

async fn the_queue_waits_is_told_and_goes_on(
    place: &Place,
    mut alarm: impl AsyncFnMut(bool),
) -> Outcome {
    let mut settings = Settings::default();
    settings.patience = PATIENCE;
    settings.window_messages = 30;
    settings.send_timeout = Duration::from_millis(300);
    let Pair { ours, theirs, till, shop } = place.pair(settings).await?;
    let (mut at_till, mut at_shop) = (till.events(), shop.events());
    tokio::try_join!(crate::send_all(&ours, 0, 5), receive_in_order(&theirs, 0, 5))?;

    alarm(true).await;
    let (mut outcomes, mut answers) = (Vec::new(), Vec::new());
    outcomes.push(ours.send(number(5)).await?);
    answers.push(theirs.send(number(0)).await?);
    let reason = blocked(&mut at_till).await?;
    assert!(reason.contains("memory"), "{reason}");
    blocked(&mut at_shop).await?;
    // What is sent now waits, as far as there is room.
    for next in 6..30 {
        outcomes.push(ours.send(number(next)).await?);
    }
    tokio::time::sleep(PATIENCE * 2).await;
    assert_eq!((ours.end().is_none(), theirs.end().is_none()), (true, true));
    // At most what was on its way when the alarm was raised has arrived.
    assert!(theirs.waiting() <= 1, "{} arrived", theirs.waiting());

    alarm(false).await;
    tokio::try_join!(receive_in_order(&theirs, 5, 25), receive_in_order(&ours, 0, 1))?;
    for outcome in outcomes.into_iter().chain(answers) {
        outcome.await?;
    }
    unblocked(&mut at_till).await?;
    unblocked(&mut at_shop).await?;
    ours.close().await;
    Ok(())
}

/// The broker's reason. The queue is not interrupted meanwhile.
async fn blocked(events: &mut PeerEvents) -> Outcome<String> {
    loop {
        match events.next().await.ok_or("it ended")? {
            PeerEvent::Blocked { reason, .. } => return Ok(reason.to_string()),
            PeerEvent::Sent { .. } | PeerEvent::Arrived { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
}

async fn unblocked(events: &mut PeerEvents) -> Outcome {
    loop {
        match events.next().await.ok_or("it ended")? {
            PeerEvent::Unblocked { .. } => return Ok(()),
            PeerEvent::Sent { .. } | PeerEvent::Arrived { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
}

#[tokio::test]
async fn an_embedded_broker_under_alarm_holds_the_queue_back_and_loses_nothing() -> Outcome {
    soon(async {
        let place = Place::embedded().await?;
        let faults = place.broker.as_ref().expect("embedded").faults();
        the_queue_waits_is_told_and_goes_on(&place, async |raised| match raised {
            true => faults.block(),
            false => faults.unblock(),
        })
        .await
    })
    .await
}

mod own_nodes {
    use std::sync::Arc;

    use super::*;
    use crate::node::Node;

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn a_rabbitmq_under_alarm_holds_the_queue_back_and_loses_nothing() -> Outcome {
        let node = Arc::new(tokio::task::spawn_blocking(Node::start).await?);
        let place = Place { config: node.uri().parse()?, broker: None };
        soon(the_queue_waits_is_told_and_goes_on(&place, async |raised| {
            let node = Arc::clone(&node);
            let mark = if raised { "0" } else { "0.6" };
            let set = move || node.ctl(&["set_vm_memory_high_watermark", mark]);
            tokio::task::spawn_blocking(set).await.expect("rabbitmqctl");
        }))
        .await?;
        tokio::task::spawn_blocking(move || drop(node)).await?;
        Ok(())
    }
}
