//! Queues between brokers: who stopped waiting misses nothing, and who was asked for is let go.

use std::time::Duration;

use hopmq::{
    Message,
    peer::{MessageQueue, Peer, PeerEvent, QueueState, Settings},
};

use super::Point;
use crate::place::{Outcome, Place};

dropped_at_each_point!(
    on_the_embedded_broker:
    listening,
    accepting,
    connecting,
    connecting_in_this_process,
    sending,
    waiting_for_what_became_of_a_message,
    receiving,
    waiting_for_the_end_of_a_queue,
    closing,
    waiting_for_events_of_a_peer,
);

fn named(at: &Place, what: &str) -> Peer {
    Peer::new(at.name(what))
}

async fn pair(at: &Place, what: &str) -> Outcome<Pair> {
    let (shop, till) = (named(at, &format!("shop.{what}")), named(at, &format!("till.{what}")));
    shop.listen_on(at.broker()).await?;
    let ours = till.connect(shop.name()).at(at.config()).await?;
    let theirs = shop.accept().await;
    Ok(Pair { _peers: [shop, till], ours, theirs })
}

/// Both ends of a queue.
struct Pair {
    _peers: [Peer; 2],
    ours: MessageQueue<hopmq::Open>,
    theirs: MessageQueue<hopmq::Open>,
}

impl Pair {
    async fn works(&self) -> Outcome {
        for (from, to) in [(&self.ours, &self.theirs), (&self.theirs, &self.ours)] {
            let sent = from.send(Message::text("works")).await?;
            assert_eq!(read(to.receive().await), "works");
            sent.await?;
        }
        Ok(())
    }
}

fn read(message: Option<Message>) -> String {
    let body = message.expect("a message").into_body().into_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

fn is_over<S: QueueState>(queue: &MessageQueue<S>) -> bool {
    queue.end().is_some()
}

async fn listening(at: Place) -> Outcome {
    let (mut on, mut there) = (false, false);
    for (number, point) in Point::all().enumerate() {
        let shop = named(&at, &format!("one.{number}"));
        on |= point.reach(shop.listen_on(at.broker())).await.transpose()?.is_some();
        let other = named(&at, &format!("other.{number}"));
        there |= point.reach(other.listen_at(at.config())).await.transpose()?.is_some();
        let pair = pair(&at, &number.to_string()).await?;
        pair.works().await?;
        if on && there {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn accepting(at: Place) -> Outcome {
    let (shop, till) = (named(&at, "shop"), named(&at, "till"));
    shop.listen_on(at.broker()).await?;
    for point in Point::all().take(7) {
        let ours = till.connect(shop.name()).at(at.config()).await?;
        let theirs = match point.reach(shop.accept()).await {
            Some(theirs) => theirs,
            None => shop.accept().await,
        };
        assert_eq!(ours.id(), theirs.id(), "none is lost");
    }
    Ok(())
}

async fn connecting(at: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.patience = Duration::from_secs(2);
    let [shop, till] = ["shop", "till"].map(|name| Peer::with_settings(at.name(name), settings));
    shop.listen_on(at.broker()).await?;
    for point in Point::all() {
        let dropped = point.reach(till.connect(shop.name()).at(at.config())).await;
        let ours = till.connect(shop.name()).at(at.config()).await?;
        // Where the one that was dropped got through, its queue ends when nothing was heard of it.
        let mut theirs = shop.accept().await;
        while theirs.id() != ours.id() {
            let other = std::mem::replace(&mut theirs, shop.accept().await);
            if dropped.is_none() {
                other.ended().await;
            }
        }
        let sent = ours.send(Message::text("works")).await?;
        assert_eq!(read(theirs.receive().await), "works");
        sent.await?;
        if let Some(connected) = dropped {
            connected?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn connecting_in_this_process(at: Place) -> Outcome {
    let (shop, till) = (named(&at, "shop"), named(&at, "till"));
    shop.listen_in_process()?;
    for point in Point::all() {
        let dropped = point.reach(till.connect(shop.name()).in_process()).await;
        let ours = till.connect(shop.name()).in_process().await?;
        let mut theirs = shop.accept().await;
        while theirs.id() != ours.id() {
            theirs = shop.accept().await;
        }
        if let Some(connected) = dropped {
            connected?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn sending(at: Place) -> Outcome {
    let pair = pair(&at, "sending").await?;
    for point in Point::all() {
        let sent = point.reach(pair.ours.send(Message::text("maybe"))).await;
        let done = sent.is_some();
        let last = pair.ours.send(Message::text("last")).await?;
        let mut got = read(pair.theirs.receive().await);
        if got == "maybe" {
            assert!(done, "{point:?}");
            got = read(pair.theirs.receive().await);
        }
        assert_eq!(got, "last");
        last.await?;
        pair.works().await?;
        if let Some(sent) = sent {
            sent?.await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_what_became_of_a_message(at: Place) -> Outcome {
    let pair = pair(&at, "outcome").await?;
    for point in Point::all() {
        let sent = pair.ours.send(Message::text("sent")).await?;
        let taking = async { read(pair.theirs.receive().await) };
        // Dropped or not, the message arrives.
        let (outcome, got) = tokio::join!(point.reach(sent), taking);
        assert_eq!(got, "sent");
        pair.works().await?;
        if let Some(outcome) = outcome {
            return Ok(outcome?);
        }
    }
    Err("it never ends".into())
}

async fn receiving(at: Place) -> Outcome {
    let pair = pair(&at, "receiving").await?;
    let mut got = Vec::new();
    for (number, point) in Point::all().take(7).enumerate() {
        let sent = pair.ours.send(Message::text(number.to_string())).await?;
        got.extend(point.reach(pair.theirs.receive()).await.map(read));
        drop(sent);
    }
    while got.len() < 7 {
        got.push(read(pair.theirs.receive().await));
    }
    assert_eq!(got, ["0", "1", "2", "3", "4", "5", "6"], "none is lost");
    pair.works().await
}

async fn waiting_for_the_end_of_a_queue(at: Place) -> Outcome {
    let pair = pair(&at, "ended").await?;
    for polls in [0, 1, 1] {
        let point = Point { polls, woken: false };
        assert!(point.reach(pair.ours.ended()).await.is_none());
        pair.works().await?;
    }
    let Pair { _peers, ours, theirs } = pair;
    let (_, closed) = tokio::join!(ours.ended(), theirs.close());
    assert!(is_over(&closed) && is_over(&ours));
    Ok(())
}

async fn closing(at: Place) -> Outcome {
    for (number, point) in Point::all().enumerate() {
        let Pair { _peers, ours, theirs } = pair(&at, &number.to_string()).await?;
        let closed = point.reach(ours.close()).await;
        // It is over in any case, in order or by force.
        theirs.ended().await;
        if let Some(closed) = closed {
            assert!(is_over(&closed));
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_events_of_a_peer(at: Place) -> Outcome {
    let (shop, till) = (named(&at, "shop"), named(&at, "till"));
    shop.listen_on(at.broker()).await?;
    let mut events = till.events();
    let (mut connected, points) = (0, 7);
    let is_connected = |event: &PeerEvent| matches!(event, PeerEvent::Connected { .. });
    let mut count = |event: Option<PeerEvent>| {
        connected += usize::from(event.as_ref().is_some_and(is_connected));
        connected
    };
    for point in Point::all().take(points) {
        let _ours = till.connect(shop.name()).at(at.config()).await?;
        count(point.reach(events.next()).await.flatten());
        drop(shop.accept().await);
    }
    while count(None) < points {
        let event = events.next().await;
        assert!(event.is_some(), "none is lost");
        count(event);
    }
    Ok(())
}
