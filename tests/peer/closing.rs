//! Closing, from either side, in order and by force.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use hopmq::peer::{End, NotSent, Peer, Settings};

use crate::{
    Outcome, Pair, Place, at_both_brokers, number, read, receive_in_order, send_all, unique,
};

async fn closing_drains_and_then_tells_the_other_side(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let mut outcomes = Vec::new();
    for next in 0..200 {
        outcomes.push(ours.send(number(next)).await?);
    }
    let closing = tokio::spawn(ours.close());
    receive_in_order(&theirs, 0, 200).await?;
    assert!(theirs.receive().await.is_none());
    let closed = closing.await?;
    assert!(matches!(closed.end(), Some(End::Closed)), "{:?}", closed.end());
    for outcome in outcomes {
        outcome.await?;
    }
    assert!(closed.into_unsent().is_empty());
    let theirs = theirs.into_closed().expect("it has ended");
    assert!(matches!(theirs.end(), Some(End::ClosedByPeer)));
    Ok(())
}

async fn the_accepting_side_closes_as_well(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let outcome = theirs.send(number(7)).await?;
    let closing = tokio::spawn(theirs.close());
    receive_in_order(&ours, 7, 1).await?;
    assert!(ours.receive().await.is_none());
    outcome.await?;
    closing.await?;
    let refused = ours.send(number(1)).await.expect_err("it is closed");
    assert!(matches!(refused.reason(), NotSent::Ended(End::ClosedByPeer)), "{refused}");
    Ok(())
}

async fn what_the_closing_side_did_not_take_goes_back_to_its_sender(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let taken = theirs.send(number(1)).await?;
    let not_taken = theirs.send(number(2)).await?;
    drop(theirs.send(number(3)).await?);
    receive_in_order(&ours, 1, 1).await?;
    ours.close().await;
    taken.await?;
    let back = not_taken.await.expect_err("nobody took it");
    assert!(!back.may_have_arrived());
    assert_eq!(read(back.message()), 2);
    theirs.ended().await;
    let rest = theirs.into_closed().expect("it has ended").into_unsent();
    assert_eq!(rest.iter().map(|back| read(back.message())).collect::<Vec<_>>(), [3]);
    Ok(())
}

async fn both_sides_close_at_once(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    let (ours, theirs) = tokio::join!(ours.close(), theirs.close());
    assert!(matches!(ours.end(), Some(End::Closed)), "{:?}", ours.end());
    assert!(matches!(theirs.end(), Some(End::Closed | End::ClosedByPeer)), "{:?}", theirs.end());
    Ok(())
}

async fn a_side_that_does_not_take_is_left_by_force(place: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.drain_timeout = Duration::from_millis(300);
    let Pair { ours, theirs, .. } = place.pair(settings).await?;
    let outcome = ours.send(number(1)).await?;
    let closed = ours.close().await;
    assert!(matches!(closed.end(), Some(End::Aborted)), "{:?}", closed.end());
    let back = outcome.await.expect_err("nobody took it");
    assert!(back.may_have_arrived());
    assert!(matches!(theirs.ended().await, End::AbortedByPeer));
    assert!(theirs.receive().await.is_none(), "its sender has it back");
    Ok(())
}

async fn dropping_a_queue_ends_it_by_force(place: Place) -> Outcome {
    let Pair { ours, theirs, .. } = place.pair(Settings::default()).await?;
    send_and_take(&ours, &theirs).await?;
    let not_taken = theirs.send(number(2)).await?;
    drop(ours);
    assert!(matches!(theirs.ended().await, End::AbortedByPeer));
    assert!(!not_taken.await.expect_err("nobody took it").may_have_arrived());
    Ok(())
}

async fn send_and_take(
    from: &hopmq::peer::MessageQueue<hopmq::Open>,
    to: &hopmq::peer::MessageQueue<hopmq::Open>,
) -> Outcome {
    tokio::try_join!(send_all(from, 1, 1), receive_in_order(to, 1, 1))?;
    Ok(())
}

/// The hello was said and the answer not heard: nobody has the queue at this side.
async fn who_no_longer_waits_for_a_queue_has_left_it(place: Place) -> Outcome {
    let mut settings = Settings::default();
    settings.patience = Duration::from_secs(3600);
    let shop = place.listening("shop", settings).await?;
    let till = Peer::with_settings(unique("till"), settings);
    let theirs = {
        let mut connecting = pin!(till.connect(shop.name()).at(place.config.clone()));
        let mut accepting = pin!(shop.accept());
        // It is ready to be accepted before its welcome is on the way.
        let theirs = poll_fn(|cx| match accepting.as_mut().poll(cx) {
            Poll::Pending => connecting.as_mut().poll(cx).map(Err),
            ready => ready.map(Ok),
        });
        theirs.await.expect("it is accepted first")
    };
    assert!(matches!(theirs.ended().await, End::AbortedByPeer), "{:?}", theirs.end());
    Ok(())
}

at_both_brokers!(
    who_no_longer_waits_for_a_queue_has_left_it,
    closing_drains_and_then_tells_the_other_side,
    the_accepting_side_closes_as_well,
    what_the_closing_side_did_not_take_goes_back_to_its_sender,
    both_sides_close_at_once,
    a_side_that_does_not_take_is_left_by_force,
    dropping_a_queue_ends_it_by_force,
);

#[tokio::test]
async fn a_queue_leaves_nothing_behind_at_the_broker() -> Outcome {
    let place = Place::embedded().await?;
    let Pair { ours, theirs, till, shop } = place.pair(Settings::default()).await?;
    send_and_take(&ours, &theirs).await?;
    let broker = place.broker.as_ref().expect("embedded");
    assert_eq!(broker.queues("/").len(), 3);
    ours.close().await;
    theirs.ended().await;
    let deadline = tokio::time::Instant::now() + crate::LONG;
    while broker.queues("/").len() > 1 || broker.connections().len() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", broker.queues("/"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((till, shop));
    Ok(())
}
