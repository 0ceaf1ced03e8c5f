//! Publishing many messages in one call: in order, into the window, and nothing lost in silence.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use hopmq::{
    Chan, Config, Confirming, Confirms, Conn, Connected, ConnectionState, Error, Message,
    PartlyPublished, Queue, Unconfirmed, UsageError,
    fsm::supervisor::{Backoff, Policy},
    queue::Classic,
};

use crate::{
    place::{Outcome, Place, default_exchange, is_pending, until},
    proxy::Proxy,
};

on_both_brokers!(
    all_arrive_in_order_and_are_confirmed,
    none_at_all_are_published_too,
    a_window_that_is_too_small_is_waited_for,
    what_is_confirmed_is_let_go_on_the_way,
    two_at_once_have_each_its_own_outcomes,
    what_came_back_is_named,
    a_message_that_is_too_large_leaves_all_others,
    an_exchange_that_is_none_leaves_all,
    what_was_handed_over_before_it_was_dropped_is_published,
    outcomes_that_nobody_awaits_do_not_matter,
    a_call_for_many_ends_at_its_deadline_and_gives_them_back,
    without_confirms_their_number_is_told,
    in_a_transaction_they_take_effect_together,
    what_is_published_at_least_once_waits_in_order_for_the_connection,
    what_is_published_at_least_once_is_in_order_through_cuts,
);

fn numbers(count: u32) -> impl Iterator<Item = [u8; 4]> + Clone {
    (0..count).map(u32::to_be_bytes)
}

/// Takes all that is in the queue.
async fn taken(chan: &Chan<Confirming>, queue: &Queue<Classic>) -> Outcome<Vec<u32>> {
    let mut numbers = Vec::new();
    while let Some(delivery) = chan.get(queue).await? {
        let body = delivery.body().into_bytes();
        numbers.push(u32::from_be_bytes(body[..].try_into()?));
        delivery.ack()?;
    }
    Ok(numbers)
}

async fn bench(
    at: &Place,
    config: Config,
) -> Outcome<(Conn<Connected>, Chan<Confirming>, Queue<Classic>)> {
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    Ok((conn, chan, queue))
}

fn windowed(at: &Place, messages: usize) -> Config {
    let mut config = at.config();
    config.limits.window_messages = messages;
    config
}

async fn all_arrive_in_order_and_are_confirmed(at: Place) -> Outcome {
    let (conn, chan, queue) = bench(&at, at.config()).await?;
    let default = default_exchange();
    let messages = numbers(500).map(|number| Message::new(number).message_id("an id"));
    let mut confirms = chan.publish_all(&default, &queue, messages).mandatory().await?;
    assert_eq!(confirms.len(), 500);
    confirms.append(chan.publisher().publish_all(&default, &queue, numbers(20)).await?);
    assert_eq!(confirms.len(), 520);
    confirms.next().await.ok_or("one of many")??;
    assert_eq!(confirms.len(), 519);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    assert_eq!(conn.stats().traffic.published, 520);
    assert_eq!(taken(&chan, &queue).await?, (0..500).chain(0..20).collect::<Vec<_>>());
    Ok(())
}

async fn none_at_all_are_published_too(at: Place) -> Outcome {
    let (_conn, chan, queue) = bench(&at, at.config()).await?;
    let none: [Message; 0] = [];
    let mut confirms = chan.publish_all(&default_exchange(), &queue, none).await?;
    assert!(confirms.is_empty() && confirms.next().await.is_none());
    Ok(())
}

async fn a_window_that_is_too_small_is_waited_for(at: Place) -> Outcome {
    let (conn, chan, queue) = bench(&at, windowed(&at, 7)).await?;
    let default = default_exchange();
    let mut publishing = chan.publish_all(&default, &queue, numbers(300));
    assert!(is_pending(&mut publishing).await);
    assert_eq!(conn.stats().unconfirmed, 7);
    let confirms = publishing.await?;
    assert_eq!(confirms.len(), 300);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    assert_eq!(taken(&chan, &queue).await?, (0..300).collect::<Vec<_>>());
    Ok(())
}

/// A body that is counted while it lives.
struct Counted(Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        b"x"
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

async fn what_is_confirmed_is_let_go_on_the_way(at: Place) -> Outcome {
    let (_conn, chan, queue) = bench(&at, windowed(&at, 50)).await?;
    let (living, mut most) = (Arc::new(AtomicUsize::new(0)), 0);
    let messages = (0..3000).map(|_| {
        most = most.max(living.fetch_add(1, Relaxed) + 1);
        Bytes::from_owner(Counted(living.clone()))
    });
    let confirms = chan.publish_all(&default_exchange(), &queue, messages).await;
    let confirms = confirms.map_err(Error::from)?;
    assert_eq!(confirms.len(), 3000);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    // The window, what was confirmed since the last look, and what was taken from the iterator.
    assert!(most <= 50 + 50 + 64, "{most} messages at once");
    assert_eq!(living.load(Relaxed), 0);
    Ok(())
}

async fn two_at_once_have_each_its_own_outcomes(at: Place) -> Outcome {
    let (_conn, chan, queue) = bench(&at, windowed(&at, 10)).await?;
    let (default, nobody) = (default_exchange(), at.name("nobody"));
    let routed = chan.publish_all(&default, &queue, numbers(200)).mandatory();
    let unrouted = chan.publish_all(&default, &nobody, numbers(200)).mandatory();
    let outcomes =
        async { Ok::<_, Error>((routed.await?.all().await, unrouted.await?.all().await)) };
    let (routed, unrouted) = outcomes.await?;
    assert!(routed.is_ok(), "{routed:?}");
    assert_eq!(unrouted.unwrap_err().len(), 200);

    let routed = chan.publish_all(&default, &queue, numbers(200)).mandatory();
    let unrouted = chan.publish_all(&default, &nobody, numbers(200)).mandatory();
    let (routed, unrouted) = tokio::join!(routed, unrouted);
    let (routed, unrouted) = (routed?.all().await, unrouted?.all().await);
    assert!(routed.is_ok(), "{routed:?}");
    let returned = unrouted.unwrap_err().into_iter().map(|error| error.into_parts().1);
    assert_eq!(returned.collect::<Vec<_>>(), numbers(200).map(Message::new).collect::<Vec<_>>());
    assert_eq!(taken(&chan, &queue).await?, (0..200).chain(0..200).collect::<Vec<_>>());
    Ok(())
}

async fn what_came_back_is_named(at: Place) -> Outcome {
    let (_conn, chan, queue) = bench(&at, at.config()).await?;
    let (default, nobody) = (default_exchange(), at.name("nobody"));
    let mut confirms = chan.publish_all(&default, &queue, numbers(70)).mandatory().await?;
    let message = Message::text("nobody's").header("k", 7);
    let alone = [message.clone()];
    confirms.append(chan.publish_all(&default, &nobody, alone).mandatory().await?);
    confirms.append(chan.publish_all(&default, &queue, numbers(70)).mandatory().await?);
    for number in 0..141 {
        let outcome = confirms.next().await.ok_or("one for each")?;
        assert_eq!(outcome.is_err(), number == 70, "{number}: {outcome:?}");
        if let Err(error) = outcome {
            let (reason, returned) = error.into_parts();
            assert!(matches!(reason, Unconfirmed::Returned { .. }), "{reason:?}");
            assert_eq!(returned, message, "as it was published");
        }
    }
    assert!(confirms.next().await.is_none());
    Ok(())
}

async fn a_message_that_is_too_large_leaves_all_others(at: Place) -> Outcome {
    let mut config = at.config();
    config.limits.body_size = 1000;
    let (_conn, chan, queue) = bench(&at, config).await?;
    let default = default_exchange();
    let messages = (0..200_u32).map(|number| match number {
        100 => Message::new(vec![0; 1001]),
        number => Message::new(number.to_be_bytes()),
    });
    let partly = chan.publish_all(&default, &queue, messages).await.unwrap_err();
    assert_eq!(partly.handed_over().len(), 100);
    let (error, handed_over, failed, untried) = partly.into_parts();
    let Error::Usage(usage) = &error else { panic!("{error:?}") };
    assert_eq!(*usage, UsageError::BodyTooLarge { size: 1001, max: 1000 });
    assert_eq!(failed.body().len(), 1001);
    assert_eq!(untried.size_hint(), (99, Some(99)));
    let mut confirms = handed_over;
    confirms.append(chan.publish_all(&default, &queue, untried).await?);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    let arrived: Vec<_> = (0..200).filter(|number| *number != 100).collect();
    assert_eq!(taken(&chan, &queue).await?, arrived);
    Ok(())
}

async fn an_exchange_that_is_none_leaves_all(at: Place) -> Outcome {
    let (_conn, chan, _queue) = bench(&at, at.config()).await?;
    let default = default_exchange();
    let too_long = "x".repeat(256);
    let partly = chan.publish_all(&default, &too_long, numbers(3)).await.unwrap_err();
    assert!(matches!(partly.error(), Error::Usage(_)), "{partly:?}");
    let (_, handed_over, failed, untried) = partly.into_parts();
    assert!(handed_over.is_empty());
    let all: Vec<_> = std::iter::once(failed).chain(untried).collect();
    assert_eq!(all, numbers(3).map(Message::new).collect::<Vec<_>>());
    Ok(())
}

async fn what_was_handed_over_before_it_was_dropped_is_published(at: Place) -> Outcome {
    let (conn, chan, queue) = bench(&at, windowed(&at, 70)).await?;
    let default = default_exchange();
    let mut publishing = chan.publish_all(&default, &queue, numbers(300));
    assert!(is_pending(&mut publishing).await);
    drop(publishing);
    until(async || Ok(conn.stats().unconfirmed == 0)).await?;
    chan.publish(&default, &queue, 70_u32.to_be_bytes()).await?.await?;
    assert_eq!(taken(&chan, &queue).await?, (0..=70).collect::<Vec<_>>());
    Ok(())
}

async fn outcomes_that_nobody_awaits_do_not_matter(at: Place) -> Outcome {
    let (_conn, chan, queue) = bench(&at, at.config()).await?;
    let (default, nobody) = (default_exchange(), at.name("nobody"));
    for _ in 0..3 {
        let mut confirms = chan.publish_all(&default, &nobody, numbers(100)).mandatory().await?;
        assert!(is_pending(&mut confirms.next()).await);
        drop(confirms);
    }
    let confirms = chan.publish_all(&default, &queue, numbers(100)).mandatory().await?;
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    Ok(())
}

async fn a_call_for_many_ends_at_its_deadline_and_gives_them_back(at: Place) -> Outcome {
    let mut config = windowed(&at, 10).recovery(policy());
    config.call_timeout = Duration::from_secs(60);
    let proxy = Proxy::to(config).await?;
    let (conn, chan, queue) = bench(&at, proxy.config()).await?;
    proxy.hold();
    until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
    let default = default_exchange();
    let publishing = chan.publish_all(&default, &queue, numbers(100)).at_least_once();
    let partly = publishing.within(Duration::from_millis(50)).await.unwrap_err();
    let (error, handed_over, failed, untried) = partly.into_parts();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    // Those were kept: the window bounds what is.
    assert_eq!((handed_over.len(), untried.size_hint().0), (10, 89));
    assert_eq!(failed.into_body().into_bytes(), 10_u32.to_be_bytes()[..]);
    proxy.release();
    handed_over.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    assert_eq!(taken(&chan, &queue).await?, (0..10).collect::<Vec<_>>());
    Ok(())
}

async fn without_confirms_their_number_is_told(at: Place) -> Outcome {
    let (conn, reads, queue) = bench(&at, at.config()).await?;
    let chan = conn.open_channel().await?;
    let default = default_exchange();
    let count = chan.publish_all_unconfirmed(&default, &queue, numbers(1000)).await;
    assert_eq!(count.map_err(Error::from)?, 1000);
    let messages = [Message::new(b"fits"), Message::new(b"x").kind("x".repeat(256))];
    let partly = chan.publish_all_unconfirmed(&default, &queue, messages).await.unwrap_err();
    let (error, count, _, untried): (_, u64, _, _) = PartlyPublished::into_parts(partly);
    assert!(matches!(error, Error::Usage(_)), "{error:?}");
    assert_eq!((count, untried.count()), (1, 0));
    until(async || Ok(reads.counts(&queue).await?.messages == 1001)).await?;
    let first: Vec<_> = taken(&reads, &queue).await?.into_iter().take(1000).collect();
    assert_eq!(first, (0..1000).collect::<Vec<_>>());
    Ok(())
}

async fn in_a_transaction_they_take_effect_together(at: Place) -> Outcome {
    let (conn, reads, queue) = bench(&at, at.config()).await?;
    let chan = conn.open_channel().await?.tx_select().await?;
    let default = default_exchange();
    assert_eq!(chan.publish_all_in_tx(&default, &queue, numbers(3)).await?, 3);
    chan.rollback().await?;
    assert_eq!(chan.publish_all_in_tx(&default, &queue, numbers(100)).await?, 100);
    assert!(reads.get(&queue).await?.is_none(), "not before the commit");
    chan.commit().await?;
    assert_eq!(taken(&reads, &queue).await?, (0..100).collect::<Vec<_>>());
    Ok(())
}

fn policy() -> Policy {
    let millis = Duration::from_millis;
    let backoff = Backoff::exponential(millis(10), millis(100));
    Policy { backoff, breaker: None, ..Policy::default() }
}

async fn what_is_published_at_least_once_waits_in_order_for_the_connection(at: Place) -> Outcome {
    let proxy = Proxy::to(at.config().recovery(policy())).await?;
    let (conn, chan, queue) = bench(&at, proxy.config()).await?;
    proxy.hold();
    until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
    let default = default_exchange();
    let publisher = chan.publisher().at_least_once();
    let mut confirms = publisher.publish_all(&default, &queue, numbers(100)).await?;
    assert_eq!((conn.stats().unconfirmed, conn.stats().replayed), (100, 0));
    // What did not ask to be kept waits, and comes behind what did.
    let rest = numbers(200).skip(100);
    let mut later = chan.publish_all(&default, &queue, rest);
    assert!(is_pending(&mut later).await);
    proxy.release();
    confirms.append(later.await?);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    assert_eq!(taken(&chan, &queue).await?, (0..200).collect::<Vec<_>>());
    Ok(())
}

async fn what_is_published_at_least_once_is_in_order_through_cuts(at: Place) -> Outcome {
    let proxy = Proxy::to(windowed(&at, 40).recovery(policy())).await?;
    let (conn, chan, queue) = bench(&at, proxy.config()).await?;
    let default = default_exchange();
    let mut confirms = Confirms::new();
    for start in [0_u32, 500, 1000] {
        let messages = (start..start + 500).map(u32::to_be_bytes);
        let publishing = chan.publish_all(&default, &queue, messages).at_least_once();
        let cutting = async {
            until(async || Ok(conn.stats().traffic.published >= u64::from(start) + 100)).await?;
            proxy.cut();
            Outcome::Ok(())
        };
        let (published, cut) = tokio::join!(publishing, cutting);
        cut?;
        confirms.append(published?);
    }
    assert_eq!(confirms.len(), 1500);
    confirms.all().await.map_err(|unconfirmed| format!("{unconfirmed:?}"))?;
    let mut next = 0;
    for number in taken(&chan, &queue).await? {
        // Those after a cut may come again, from an earlier one on.
        assert!(number <= next, "{number} before {next}");
        next = next.max(number + 1);
    }
    assert_eq!(next, 1500);
    Ok(())
}
