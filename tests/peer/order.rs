//! The order that the documentation of `hopmq::peer` states, line by line.

use std::{sync::Arc, time::Duration};

use hopmq::peer::{End, Peer, PeerEvent, PeerEvents, QueueId, Settings};
use tokio::task::{JoinSet, yield_now};

use crate::{Outcome, Pair, Place, at_both_brokers, number, read, soon, unique};

at_both_brokers!(
    messages_arrive_in_the_order_in_which_they_were_put_in_from_whichever_handle,
    events_come_in_the_order_of_what_happened,
    closing_comes_after_what_was_sent_before_it,
);

async fn messages_arrive_in_the_order_in_which_they_were_put_in_from_whichever_handle(
    place: Place,
) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let put_in = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let mut senders = JoinSet::new();
    for sender in 0..4 {
        let (handle, put_in) = (ours.sender(), Arc::clone(&put_in));
        senders.spawn(async move {
            for next in 0..50 {
                // The lock makes what was put in and the note of it one step.
                let mut noted = put_in.lock().await;
                let sent = handle.send(number(sender * 1_000 + next)).await?;
                noted.push(sender * 1_000 + next);
                drop((noted, sent));
                yield_now().await;
            }
            Outcome::Ok(())
        });
    }
    let mut received = Vec::new();
    while received.len() < 200 {
        received.push(read(&theirs.receive().await.ok_or("it ended")?));
    }
    while let Some(sender) = senders.join_next().await {
        sender??;
    }
    assert_eq!(received, *put_in.lock().await);
    Ok(())
}

/// Until the queue has ended, and a moment more.
async fn events_of(mut events: PeerEvents) -> Vec<PeerEvent> {
    let mut seen = Vec::new();
    while !matches!(seen.last(), Some(PeerEvent::Disconnected { .. })) {
        seen.push(events.next().await.expect("an event"));
    }
    if let Ok(Some(late)) = tokio::time::timeout(Duration::from_millis(100), events.next()).await {
        seen.push(late);
    }
    seen
}

/// `Connected` or `Accepted` first, numbers as they are counted, `Disconnected` last.
fn assert_order(seen: &[PeerEvent], queue: QueueId, messages: u64) {
    let (mut sent, mut arrived) = (0, 0);
    for (at, event) in seen.iter().enumerate() {
        match event {
            PeerEvent::Connected { queue: of, .. } | PeerEvent::Accepted { queue: of, .. } => {
                assert_eq!((*of, at), (queue, 0), "{seen:?}");
            }
            PeerEvent::Sent { number, .. } => {
                assert_eq!(*number, sent + 1, "{seen:?}");
                sent += 1;
            }
            PeerEvent::Arrived { number, .. } => {
                assert_eq!(*number, arrived + 1, "{seen:?}");
                arrived += 1;
            }
            PeerEvent::Disconnected { .. } => assert_eq!(at + 1, seen.len(), "{seen:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((sent, arrived), (messages, messages), "{seen:?}");
}

async fn events_come_in_the_order_of_what_happened(place: Place) -> Outcome {
    const EACH: u32 = 100;
    let shop = place.listening("shop", Settings::default()).await?;
    let till = Peer::new(unique("till"));
    let (at_shop, at_till) = (shop.events(), till.events());
    let ours = till.connect(shop.name()).at(place.config.clone()).await?;
    let theirs = shop.accept().await;
    let queue = ours.id();
    tokio::try_join!(
        crate::send_all(&ours, 0, EACH),
        crate::send_all(&theirs, 0, EACH),
        crate::receive_in_order(&ours, 0, EACH),
        crate::receive_in_order(&theirs, 0, EACH),
    )?;
    ours.abort();
    theirs.ended().await;
    let (at_shop, at_till) = tokio::join!(events_of(at_shop), events_of(at_till));
    assert_order(&at_till, queue, EACH.into());
    assert_order(&at_shop, queue, EACH.into());
    Ok(())
}

async fn closing_comes_after_what_was_sent_before_it(place: Place) -> Outcome {
    let Pair { till, ours, theirs, .. } = place.pair(Settings::default()).await?;
    let mut events = till.events();
    let sender = ours.sender();
    let mut outcomes = Vec::new();
    for next in 0..20 {
        outcomes.push(sender.send(number(next)).await?);
    }
    let closing = tokio::spawn(ours.close());
    crate::receive_in_order(&theirs, 0, 20).await?;
    assert!(theirs.receive().await.is_none(), "then it is over");
    loop {
        match events.next().await.ok_or("it ended")? {
            PeerEvent::Disconnected { end, .. } => break assert!(matches!(end, End::Closed)),
            _ => assert!(!closing.is_finished(), "the listener is told before close is done"),
        }
    }
    // Each outcome is there by then.
    for outcome in outcomes {
        tokio::time::timeout(Duration::ZERO, outcome).await??;
    }
    closing.await?;
    assert!(sender.send(number(20)).await.is_err(), "it is closed");
    Ok(())
}

/// Time stands still unless all wait, and one thread runs: who waits first is known.
mod in_turn {
    use super::*;

    async fn waiting<T: Send + 'static>(
        tasks: &mut JoinSet<T>,
        task: impl Future<Output = T> + Send + 'static,
    ) {
        tasks.spawn(task);
        // It runs until it waits.
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_waits_in_turn_and_is_woken_by_room() -> Outcome {
        soon(async {
            let mut settings = Settings::default();
            settings.window_messages = 1;
            let Pair { ours, theirs, .. } = in_process(settings).await?;
            drop(ours.send(number(0)).await?);
            let mut senders = JoinSet::new();
            for sender in 1..=5 {
                let handle = ours.sender();
                waiting(&mut senders, async move {
                    handle.send(number(sender)).await.map(|sent| (sender, drop(sent)))
                })
                .await;
            }
            assert!(senders.try_join_next().is_none(), "there is room for one");
            for next in 0..5 {
                assert_eq!(read(&theirs.receive().await.ok_or("it ended")?), next);
                let (sender, ()) = senders.join_next().await.ok_or("all were served")???;
                assert_eq!(sender, next + 1);
                assert!(senders.try_join_next().is_none(), "one message makes room for one");
            }
            Ok(())
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn who_receives_waits_in_turn_and_is_woken_by_a_message() -> Outcome {
        soon(async {
            let Pair { ours, theirs, .. } = in_process(Settings::default()).await?;
            let theirs = Arc::new(theirs);
            let mut receivers = JoinSet::new();
            for receiver in 0..5 {
                let theirs = Arc::clone(&theirs);
                waiting(&mut receivers, async move {
                    (receiver, theirs.receive().await.map(|message| read(&message)))
                })
                .await;
            }
            for next in 0..4 {
                assert!(receivers.try_join_next().is_none(), "nothing was sent");
                drop(ours.send(number(next)).await?);
                assert_eq!(receivers.join_next().await.ok_or("all came")??, (next, Some(next)));
            }
            // The end wakes whoever still waits.
            ours.close().await;
            assert_eq!(receivers.join_next().await.ok_or("one is left")??, (4, None));
            Ok(())
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn who_accepts_waits_in_turn_and_is_woken_by_a_queue() -> Outcome {
        soon(async {
            let shop = Arc::new(Peer::new(unique("shop")));
            shop.listen_in_process()?;
            let mut accepting = JoinSet::new();
            for next in 0..3 {
                let shop = Arc::clone(&shop);
                waiting(&mut accepting, async move { (next, shop.accept().await.id()) }).await;
            }
            let till = Peer::new(unique("till"));
            for next in 0..3 {
                let queue = till.connect(shop.name()).in_process().await?;
                assert_eq!(accepting.join_next().await.ok_or("all came")??, (next, queue.id()));
            }
            Ok(())
        })
        .await
    }

    async fn in_process(settings: Settings) -> Outcome<Pair> {
        let shop = Peer::with_settings(unique("shop"), settings);
        shop.listen_in_process()?;
        let till = Peer::with_settings(unique("till"), settings);
        let ours = till.connect(shop.name()).in_process().await?;
        let theirs = shop.accept().await;
        Ok(Pair { till, shop, ours, theirs })
    }
}

/// A queue that is cut by force gives back what was not confirmed, the oldest first.
#[tokio::test]
async fn what_comes_back_comes_back_in_order() -> Outcome {
    soon(async {
        let place = Place::embedded().await?;
        let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
        for next in 0..10 {
            drop(ours.send(number(next)).await?);
        }
        crate::receive_in_order(&theirs, 0, 3).await?;
        while ours.unconfirmed() > 7 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let back = ours.abort().into_unsent();
        let numbers: Vec<_> = back.iter().map(|back| read(back.message())).collect();
        assert_eq!(numbers, (3..10).collect::<Vec<_>>());
        Ok(())
    })
    .await
}
