//! Health says what is so, and why: from the state of connections, and from round trips.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hopmq::{
    Conn, Queue,
    fsm::supervisor::Reasons,
    service::{
        health::{Health, Level, Report},
        pool::ChanPool,
    },
};

use crate::place::{Outcome, Place, default_exchange, until};

on_both_brokers!(
    a_connection_that_answers_is_up,
    a_degraded_connection_says_why,
    a_connection_that_the_program_closed_is_left_out,
    a_pool_dials_to_find_out,
);

async fn a_connection_that_answers_is_up(at: Place) -> Outcome {
    let conn = Arc::new(at.conn().await?);
    let health = Health::builder().connection("orders", &conn).build();
    let before = health.report();
    assert!(before.is_ready() && before.sources[0].round_trip.is_none(), "{before}");
    for checks in 1..4 {
        let report = health.check().await;
        let orders = &report.sources[0];
        assert_eq!((orders.level, orders.checks, orders.failures), (Level::Up, checks, 0));
        assert!(orders.round_trip.is_some_and(|time| Some(time) <= orders.slowest));
        assert_eq!(report.liveness().status, 200);
        assert!(report.readiness().text.starts_with("ready\norders: up, Connected"), "{report}");
    }
    // What was opened is closed.
    until(async || Ok(conn.stats().channels == 0)).await
}

async fn a_degraded_connection_says_why(at: Place) -> Outcome {
    let conn = Arc::new(at.conn().await?);
    let health = Health::builder().connection("orders", &conn).build();
    conn.state_changes().degrade(Reasons::own(3));
    let report = health.check().await;
    assert_eq!(report.sources[0].level, Level::Degraded);
    assert_eq!(report.sources[0].reasons, ["the program's own reason 3"]);
    assert!(report.is_ready() && report.is_live());
    Ok(())
}

async fn a_connection_that_the_program_closed_is_left_out(at: Place) -> Outcome {
    let conn = Arc::new(at.conn().await?);
    let health = Health::builder().connection("orders", &conn).build();
    assert_eq!(health.check().await.sources.len(), 1);
    Arc::into_inner(conn).ok_or("health does not hold it")?.close().await?;
    let report = health.check().await;
    assert!(report.sources.is_empty() && report.is_live());
    Ok(())
}

async fn a_pool_dials_to_find_out(at: Place) -> Outcome {
    let pool = ChanPool::publishing(at.config()).build()?;
    let health = Health::builder().pool("publishing", &pool).build();
    let report = health.check().await;
    assert_eq!(report.level(), Level::Up, "{report}");
    assert_eq!(report.sources[0].state, "1 of 1 connections up");
    assert!(health.check().await.sources[0].round_trip.is_some());
    pool.close().await;
    let report = health.check().await;
    assert!(!report.is_ready() && report.is_live());
    assert_eq!(report.sources[0].reasons, ["the pool is closed"]);
    Ok(())
}

mod faults {
    use super::*;

    on_the_embedded_broker!(
        a_connection_that_does_not_answer_is_not_ready_until_it_does,
        a_connection_that_is_recovered_is_not_ready_until_it_is_back,
        a_connection_that_has_ended_for_good_is_not_live,
        blocked_publishers_are_degraded_and_say_the_brokers_reason,
        a_pool_recovers_what_failed,
        checks_go_on_until_the_last_handle_is_gone,
    );

    fn health(conn: &Arc<Conn<hopmq::Connected>>) -> Health {
        Health::builder().connection("orders", conn).within(Duration::from_millis(50)).build()
    }

    /// As a probe would, again and again.
    async fn wait_for(health: &Health, holds: impl Fn(&Report) -> bool) -> Outcome {
        until(async || Ok(holds(&health.check().await))).await
    }

    async fn a_connection_that_does_not_answer_is_not_ready_until_it_does(at: Place) -> Outcome {
        let conn = Arc::new(at.conn().await?);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let health = Health::builder()
            .connection("orders", &conn)
            .within(Duration::from_millis(50))
            .on_failure(move |failed| {
                telling.lock().expect("unpoisoned").push(failed.reasons.join("; "));
            })
            .build();
        at.broker().faults().stop_reading();
        for failures in 1..3 {
            let report = health.check().await;
            assert!(report.is_live() && !report.is_ready(), "{report}");
            assert_eq!((report.sources[0].failures, report.readiness().status), (failures, 503));
        }
        let told = told.lock().expect("unpoisoned").clone();
        assert_eq!(told, ["no answer to channel.open within 50ms"], "once");
        at.broker().faults().resume_reading();
        wait_for(&health, Report::is_ready).await
    }

    async fn a_connection_that_is_recovered_is_not_ready_until_it_is_back(at: Place) -> Outcome {
        let conn = Arc::new(at.conn().await?);
        let health = health(&conn);
        at.broker().faults().refuse_connections();
        at.broker().faults().cut_connections();
        wait_for(&health, |report| !report.is_ready()).await?;
        let report = health.report();
        assert!(report.is_live() && !report.sources[0].reasons.is_empty(), "{report}");
        at.broker().faults().accept_connections();
        wait_for(&health, Report::is_ready).await
    }

    async fn a_connection_that_has_ended_for_good_is_not_live(at: Place) -> Outcome {
        let conn = Conn::new(at.config().without_recovery()).connect().await?;
        let conn = Arc::new(conn);
        let health = health(&conn);
        at.broker().faults().cut_connections();
        conn.closed().await;
        let report = health.check().await;
        assert_eq!((report.liveness().status, report.readiness().status), (503, 503));
        assert!(!report.sources[0].reasons.is_empty(), "{report}");
        Ok(())
    }

    async fn blocked_publishers_are_degraded_and_say_the_brokers_reason(at: Place) -> Outcome {
        let conn = Arc::new(at.conn().await?);
        let health = health(&conn);
        let chan = conn.open_channel().await?;
        let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
        at.broker().faults().block();
        chan.publish_unconfirmed(&default_exchange(), &queue, b"x").await?;
        let reason = conn.blocked().await?;
        let report = health.check().await;
        assert_eq!((report.level(), report.readiness().status), (Level::Degraded, 200), "{report}");
        let reasons = &report.sources[0].reasons;
        assert!(reasons.iter().any(|said| said.ends_with(&*reason)), "{report}");
        Ok(())
    }

    async fn a_pool_recovers_what_failed(at: Place) -> Outcome {
        let pool = ChanPool::consuming(at.config().without_recovery()).build()?;
        let health = Health::builder().pool("consuming", &pool).build();
        let chan = pool.get().await?;
        at.broker().faults().cut_connections();
        chan.as_chan().closed().await;
        let report = health.check().await;
        assert!(report.is_ready() && report.is_live(), "{report}");
        assert_eq!(pool.status().connections_created, 2);
        Ok(())
    }

    async fn checks_go_on_until_the_last_handle_is_gone(at: Place) -> Outcome {
        let conn = Arc::new(at.conn().await?);
        let health = Health::builder().connection("orders", &conn);
        let health = health.every(Duration::from_millis(1)).build();
        let running = tokio::spawn(health.run());
        until(async || {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(health.report().sources[0].checks >= 3)
        })
        .await?;
        drop(health);
        Ok(running.await?)
    }
}
