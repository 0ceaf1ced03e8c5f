//! Outages: how the connection comes back, what calls and publishes do meanwhile, what is seen of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hopmq::{
    Conn, Connected, ConnectionState, Error, Hold, Queue, StateChanges, Unconfirmed,
    fsm::supervisor::{Backoff, Breaker, Hooks, Policy, Reasons, Resume},
};

use crate::{
    place::{Outcome, Place, default_exchange, text, until},
    proxy::Proxy,
};

on_both_brokers!(
    every_backoff_brings_it_back,
    the_first_connect_is_retried_when_asked,
    attempts_are_given_up,
    the_circuit_opens_and_closes,
    calls_wait_or_fail_fast_each_as_it_says,
    missed_events_are_seen_to_before_it_is_connected,
    a_transaction_that_was_cut_is_lost_until_it_is_rolled_back,
    a_connection_that_was_lost_for_good_is_dialled_again,
    messages_are_kept_in_order_while_the_connection_is_lost,
    a_full_outbox_holds_publishers_back,
    an_outbox_ends_with_its_connection,
    hooks_see_every_transition,
    a_hook_that_blocks_holds_nothing_up,
    statistics_tell_of_a_recovery,
);

const MILLI: Duration = Duration::from_millis(1);

fn policy() -> Policy {
    let backoff = Backoff::exponential(10 * MILLI, 100 * MILLI);
    Policy { backoff, breaker: None, ..Policy::default() }
}

async fn cuttable(at: &Place, policy: Policy) -> Outcome<(Proxy, Conn<Connected>)> {
    let proxy = Proxy::to(at.config().recovery(policy)).await?;
    let conn = Conn::new(proxy.config()).connect().await?;
    Ok((proxy, conn))
}

async fn comes_to(changes: &mut StateChanges, state: ConnectionState) -> Outcome {
    while changes.next().await.ok_or("it ended")?.to != state {}
    Ok(())
}

async fn every_backoff_brings_it_back(at: Place) -> Outcome {
    for backoff in [
        Backoff::fixed(MILLI),
        Backoff::fixed(MILLI).wait_first(),
        Backoff::listed([MILLI, 2 * MILLI]),
        Backoff::exponential(MILLI, 10 * MILLI),
        Backoff::custom(|wait, random| MILLI * (wait + (random % 3) as u32)).cap(5 * MILLI),
    ] {
        let (proxy, conn) = cuttable(&at, Policy { backoff, ..policy() }).await?;
        let mut changes = conn.state_changes();
        comes_to(&mut changes, ConnectionState::Connected).await?;
        proxy.hold();
        until(async || Ok(conn.stats().machine.failures >= 3)).await?;
        proxy.release();
        comes_to(&mut changes, ConnectionState::Connected).await?;
        conn.open_channel().await?;
        conn.close().await?;
    }
    Ok(())
}

async fn the_first_connect_is_retried_when_asked(at: Place) -> Outcome {
    for first_connect_retries in [false, true] {
        let policy = Policy { first_connect_retries, ..policy() };
        let proxy = Proxy::to(at.config().recovery(policy)).await?;
        proxy.hold();
        let connecting = tokio::spawn(Conn::new(proxy.config()).connect());
        if first_connect_retries {
            until(async || Ok(proxy.dialled() >= 3)).await?;
            proxy.release();
            connecting.await??.close().await?;
        } else {
            assert!(connecting.await?.is_err());
        }
    }
    Ok(())
}

async fn attempts_are_given_up(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, Policy { max_attempts: Some(3), ..policy() }).await?;
    proxy.hold();
    let reason = conn.closed().await;
    assert!(matches!(reason, Error::Network { .. }), "{reason:?}");
    // A connection that is lost soon after it was made goes on with the count that made it.
    assert!((3..=4).contains(&conn.stats().machine.attempts));
    proxy.release();
    let conn = conn.into_disconnected().map_err(|_| "it has ended")?;
    conn.connect().await?.close().await?;
    Ok(())
}

async fn the_circuit_opens_and_closes(at: Place) -> Outcome {
    let cool_down = 300 * MILLI;
    let breaker = Some(Breaker { threshold: 2, cool_down, ..Breaker::default() });
    let (proxy, conn) = cuttable(&at, Policy { breaker, ..policy() }).await?;
    let mut changes = conn.state_changes();
    comes_to(&mut changes, ConnectionState::Connected).await?;
    proxy.hold();
    comes_to(&mut changes, ConnectionState::CircuitOpen).await?;
    match conn.open_channel().await {
        Err(Error::CircuitOpen { next_probe_in }) => assert!(next_probe_in <= 2 * cool_down),
        // This machine may be slow enough for the probe to be under way already.
        other => assert!(conn.state() != ConnectionState::CircuitOpen, "{other:?}"),
    }
    proxy.release();
    comes_to(&mut changes, ConnectionState::Connected).await?;
    conn.open_channel().await?;
    Ok(())
}

async fn calls_wait_or_fail_fast_each_as_it_says(at: Place) -> Outcome {
    let proxy = Proxy::to(at.config().recovery(policy())).await?;
    let queue = at.name("inbox");
    for configured in [Hold::Wait, Hold::FailFast] {
        let config = proxy.config().while_recovering(configured);
        let conn = Conn::new(config).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let inbox = chan.declare(Queue::classic(&queue)).await?;
        let default = default_exchange();
        proxy.hold();
        until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
        let failed = chan.counts(&inbox).while_recovering(Hold::FailFast).await;
        assert!(matches!(failed, Err(Error::Network { .. })), "{failed:?}");
        let publish = chan.publish(&default, &inbox, b"a").while_recovering(Hold::FailFast);
        let failed = publish.await.map_err(Error::from);
        assert!(matches!(failed, Err(Error::Network { .. })), "{failed:?}");
        if configured == Hold::FailFast {
            assert!(chan.counts(&inbox).await.is_err());
        }
        let waiting = chan.counts(&inbox).while_recovering(Hold::Wait);
        let publishing = chan.publish(&default, &inbox, b"b").while_recovering(Hold::Wait);
        let (waited, published, ()) = tokio::join!(waiting, publishing, async {
            tokio::task::yield_now().await;
            proxy.release();
        });
        waited?;
        published?.await?;
        conn.close().await?;
    }
    Ok(())
}

async fn missed_events_are_seen_to_before_it_is_connected(at: Place) -> Outcome {
    let resume = Resume::Degraded(Reasons::MISSED);
    let (proxy, conn) = cuttable(&at, Policy { resume, ..policy() }).await?;
    let mut changes = conn.state_changes();
    proxy.cut();
    comes_to(&mut changes, ConnectionState::Degraded).await?;
    assert_eq!(conn.stats().reasons, Reasons::MISSED);
    changes.degrade(Reasons::own(3));
    changes.clear(Reasons::MISSED);
    assert_eq!(conn.state(), ConnectionState::Degraded, "the program's own reason is left");
    changes.clear(Reasons::own(3));
    assert_eq!(conn.state(), ConnectionState::Connected);
    Ok(())
}

async fn a_transaction_that_was_cut_is_lost_until_it_is_rolled_back(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, policy()).await?;
    let chan = conn.open_channel().await?.tx_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let default = default_exchange();
    chan.publish_in_tx(&default, &queue, b"half").await?;
    proxy.cut();
    until(async || Ok(conn.stats().machine.recoveries == 1)).await?;
    let lost = chan.commit().await;
    assert!(matches!(lost, Err(Error::TransactionLost)), "{lost:?}");
    let lost = chan.publish_in_tx(&default, &queue, b"more").await.map_err(Error::from);
    assert!(matches!(lost, Err(Error::TransactionLost)), "{lost:?}");
    chan.rollback().await?;
    chan.publish_in_tx(&default, &queue, b"whole").await?;
    chan.commit().await?;
    let delivery = chan.get(&queue).await?.ok_or("it was committed")?;
    assert_eq!(text(&delivery), "whole");
    delivery.ack()?;
    chan.commit().await?;
    assert!(chan.get(&queue).await?.is_none());
    Ok(())
}

async fn a_connection_that_was_lost_for_good_is_dialled_again(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, Policy { reconnect: false, ..policy() }).await?;
    let conn = conn.into_disconnected().map_or_else(Ok, |_| Err("it is alive"))?;
    proxy.cut();
    let reason = conn.closed().await;
    assert!(matches!(reason, Error::Network { .. }), "{reason:?}");
    let conn = conn.into_disconnected().map_err(|_| "it has ended")?;
    conn.connect().await?.close().await?;
    Ok(())
}

async fn messages_are_kept_in_order_while_the_connection_is_lost(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, policy()).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let publisher = chan.publisher().at_least_once();
    let default = default_exchange();
    proxy.hold();
    until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
    let mut confirms = Vec::new();
    for number in 0..100_u8 {
        confirms.push(publisher.publish(&default, &queue, [number]).await?);
    }
    let stats = conn.stats();
    assert_eq!((stats.unconfirmed, stats.replayed), (100, 0));
    // What did not ask to be kept comes behind what did.
    let later = chan.publish(&default, &queue, [100]);
    let (later, ()) = tokio::join!(later, async { proxy.release() });
    confirms.push(later?);
    for confirm in confirms {
        confirm.await?;
    }
    assert_eq!(conn.stats().replayed, 0, "nothing was sent before");
    for number in 0..=100 {
        let delivery = chan.get(&queue).await?.ok_or("it was confirmed")?;
        assert_eq!(delivery.body().into_bytes(), [number][..]);
        assert_eq!(delivery.properties().message_id().is_some(), number < 100);
        delivery.ack()?;
    }
    Ok(())
}

async fn a_full_outbox_holds_publishers_back(at: Place) -> Outcome {
    for (messages, bytes) in [(3, usize::MAX), (1000, 3_000)] {
        let mut config = at.config().recovery(policy());
        config.limits.window_messages = messages;
        config.limits.window_bytes = bytes;
        let proxy = Proxy::to(config).await?;
        let conn = Conn::new(proxy.config()).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
        let publisher = chan.publisher().at_least_once();
        let default = default_exchange();
        proxy.hold();
        until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
        let mut confirms = Vec::new();
        let refused = loop {
            let publish = publisher.publish(&default, &queue, vec![7; 900]).within(100 * MILLI);
            match publish.await {
                Ok(confirm) => confirms.push(confirm),
                Err(refused) => break Error::from(refused),
            }
        };
        assert!(matches!(refused, Error::Timeout { .. }), "{refused:?}");
        assert_eq!(confirms.len(), 3);
        let fourth = publisher.publish(&default, &queue, vec![7; 900]);
        let (fourth, ()) = tokio::join!(fourth, async { proxy.release() });
        confirms.push(fourth?);
        for confirm in confirms {
            confirm.await?;
        }
        assert_eq!(chan.delete_queue(&queue).await?, 4);
    }
    Ok(())
}

async fn an_outbox_ends_with_its_connection(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, policy()).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    proxy.hold();
    until(async || Ok(conn.state() == ConnectionState::Reconnecting)).await?;
    let publisher = chan.publisher().at_least_once();
    let confirm = publisher.publish(&default_exchange(), &queue, b"kept").await?;
    let conn = conn.close().await?;
    assert_eq!(conn.left_over().map(|left| left.unconfirmed), Some(1));
    let unknown = confirm.await.err().ok_or("nobody has confirmed it")?;
    let (reason, message) = unknown.into_parts();
    assert!(matches!(reason, Unconfirmed::Unknown(_)), "{reason:?}");
    assert_eq!(message.body().clone().into_bytes(), "kept");
    Ok(())
}

async fn hooks_see_every_transition(at: Place) -> Outcome {
    let seen = Arc::<Mutex<Vec<String>>>::default();
    let noting = seen.clone();
    let config = at.config().recovery(policy()).hooks(move || {
        let note = |what: &'static str| {
            let seen = noting.clone();
            move |change: &hopmq::fsm::supervisor::Transition| {
                seen.lock().expect("unpoisoned").push(format!("{what} {change}"));
            }
        };
        let mut hooks = Hooks::new();
        hooks.before_any(note("before"));
        hooks.before_leaving(ConnectionState::Connected, note("leaving"));
        hooks.after_entering(ConnectionState::Reconnecting, note("entered"));
        hooks.after_any(note("after"));
        hooks
    });
    let proxy = Proxy::to(config).await?;
    let conn = Conn::new(proxy.config()).connect().await?;
    proxy.cut();
    until(async || Ok(conn.stats().machine.recoveries == 1)).await?;
    conn.close().await?;
    let closed = "after Closing --closed--> Closed";
    until(async || Ok(seen.lock().expect("unpoisoned").iter().any(|line| line == closed))).await?;
    let seen = seen.lock().expect("unpoisoned");
    assert_eq!(
        seen[..2],
        [
            "before Disconnected --connect--> Connecting",
            "after Disconnected --connect--> Connecting",
        ]
    );
    let lost = seen.iter().position(|line| line.ends_with("Connected --lost--> Reconnecting"));
    let lost = lost.ok_or("it was lost")?;
    let words: Vec<&str> =
        seen[lost..lost + 4].iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(words, ["before", "leaving", "entered", "after"]);
    Ok(())
}

async fn a_hook_that_blocks_holds_nothing_up(at: Place) -> Outcome {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let config = at.config().recovery(policy()).hooks(move || {
        let (mut hooks, held) = (Hooks::new(), held.clone());
        hooks.after_any(move |_| {
            let _ = held.lock().expect("unpoisoned").recv();
        });
        hooks
    });
    let proxy = Proxy::to(config).await?;
    let conn = Conn::new(proxy.config()).connect().await?;
    proxy.cut();
    until(async || Ok(conn.stats().machine.recoveries == 1)).await?;
    conn.open_channel().await?;
    conn.close().await?;
    drop(release);
    Ok(())
}

async fn statistics_tell_of_a_recovery(at: Place) -> Outcome {
    let (proxy, conn) = cuttable(&at, policy()).await?;
    let began = std::time::Instant::now();
    proxy.hold();
    until(async || Ok(conn.stats().machine.failures >= 2)).await?;
    let stats = conn.stats();
    assert_eq!(stats.previous, Some(ConnectionState::Reconnecting));
    assert!(stats.last_error.is_some());
    assert_eq!(stats.machine.losses, 1);
    proxy.release();
    until(async || Ok(conn.state() == ConnectionState::Connected)).await?;
    let stats = conn.stats();
    assert_eq!(stats.machine.recoveries, 1);
    let [took] = stats.machine.recent_recoveries[..] else { return Err("one recovery".into()) };
    assert_eq!((stats.machine.last_recovery, stats.machine.total_recovery), (Some(took), took));
    assert!(took <= began.elapsed());
    assert!(stats.machine.attempts >= 4, "the first, two that failed, the one that did not");
    assert_eq!(stats.previous, Some(ConnectionState::Recovering));
    assert!(stats.machine.machine.transitions >= 5);
    let down = stats.machine.machine.in_state(ConnectionState::Reconnecting);
    assert!(down.entered >= 3 && down.time <= took, "{down:?}");
    Ok(())
}
