//! Supervised links of other kinds: a wait that was dropped leaves the link as it is, and a transition its way back.

use hopmq::link::{Connected, Failure, Link, Reasons, Restored, Retry, Service, State};
use tokio::sync::Notify;

use super::Point;
use crate::place::{Outcome, Place, until};

dropped_at_each_point!(
    on_the_embedded_broker:
    connecting_a_link,
    closing_a_link,
    waiting_for_a_link,
    waiting_for_transitions_of_a_link,
);

/// A service that takes its turns, and whose sessions end when they are told.
#[derive(Default)]
struct Turns(Notify);

#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

impl Failure for Cut {
    fn retry(&self) -> Retry {
        Retry::Can
    }
}

impl Service for Turns {
    type Session = ();
    type Error = Cut;

    async fn dial(&self) -> Result<(), Cut> {
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn probe(&self, (): &()) -> Result<(), Cut> {
        Ok(())
    }

    async fn close(&self, (): &()) {
        tokio::task::yield_now().await;
    }

    async fn lost(&self, (): &()) -> Cut {
        self.0.notified().await;
        Cut
    }

    async fn recover(&self, (): &()) -> Result<Restored, Cut> {
        tokio::task::yield_now().await;
        Ok(Restored::Everything)
    }

    async fn drain(&self, (): &()) {
        tokio::task::yield_now().await;
    }
}

async fn up() -> Outcome<Link<Connected, Turns>> {
    Ok(Link::new(Turns::default()).connect().await?)
}

async fn connecting_a_link(_: Place) -> Outcome {
    for point in Point::all() {
        let link = Link::new(Turns::default());
        let monitor = link.monitor();
        let connected = point.reach(link.connect()).await;
        if let Some(link) = connected {
            let link = link?;
            assert!(link.session().is_ok());
            return Ok(());
        }
        // Nobody owns it any more: it ends.
        until(async || Ok(matches!(monitor.state(), State::Disconnected | State::Closed))).await?;
    }
    Err("it never ends".into())
}

async fn closing_a_link(_: Place) -> Outcome {
    for point in Point::all() {
        let link = up().await?;
        let monitor = link.monitor();
        let closed = point.reach(link.close()).await;
        until(async || Ok(matches!(monitor.state(), State::Disconnected | State::Closed))).await?;
        if let Some(link) = closed {
            link.connect().await?.session()?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_a_link(_: Place) -> Outcome {
    let link = up().await?;
    let monitor = link.monitor();
    for point in Point::all().take(7) {
        let idle = Point { polls: 1, woken: false };
        assert!(idle.reach(link.closed()).await.is_none());
        assert!(idle.reach(monitor.reaches(State::CircuitOpen)).await.is_none());
        link.degrade(Reasons::own(1))?;
        point.reach(monitor.reaches(State::Degraded)).await;
        link.clear(Reasons::own(1))?;
        link.service().0.notify_one();
        monitor.reaches(State::Reconnecting).await;
        if let Some(ready) = point.reach(link.ready()).await {
            ready?;
        }
        link.ready().await?;
    }
    let closed = link.closed();
    drop(link.close().await);
    closed.await;
    Ok(())
}

async fn waiting_for_transitions_of_a_link(_: Place) -> Outcome {
    let link = up().await?;
    let (mut transitions, mut others) = (link.transitions(), link.transitions());
    let mut seen = Vec::new();
    for point in Point::all().take(7) {
        link.degrade(Reasons::own(1))?;
        link.clear(Reasons::own(1))?;
        seen.extend(point.reach(transitions.next()).await.flatten().map(|one| (one.from, one.to)));
    }
    let mut all = Vec::new();
    while all.len() < 14 {
        all.extend(others.next().await.map(|one| (one.from, one.to)));
    }
    while seen.len() < 14 {
        seen.extend(transitions.next().await.map(|one| (one.from, one.to)));
    }
    assert_eq!(seen, all, "none is lost");
    Ok(())
}
