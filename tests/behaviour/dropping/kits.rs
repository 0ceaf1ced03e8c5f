//! The test kit: an assertion that was dropped changes nothing.

use std::time::Duration;

use hopmq::{Queue, testkit::TestKit};

use super::Point;
use crate::place::{Outcome, Place};

dropped_at_each_point!(on_the_embedded_broker: starting_a_kit, asserting, putting_and_taking);

async fn starting_a_kit(_: Place) -> Outcome {
    let (mut plain, mut configured) = (false, false);
    for point in Point::all() {
        plain |= point.reach(TestKit::start()).await.transpose()?.is_some();
        let start = TestKit::start_with(|builder| builder);
        configured |= point.reach(start).await.transpose()?.is_some();
        if plain && configured {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn asserting(_: Place) -> Outcome {
    let kit = TestKit::start().await?;
    kit.chan().declare(Queue::classic("inbox")).await?;
    kit.queue("inbox").put("a").await?;
    kit.publish("", "inbox", hopmq::Message::text("b")).await?;
    let (inbox, empty, none) = (kit.queue("inbox"), kit.queue("empty"), kit.queue("none"));
    kit.chan().declare(Queue::classic("empty")).await?;
    for point in Point::all().take(3) {
        point.reach(inbox.exists()).await.transpose()?;
        point.reach(none.is_gone()).await.transpose()?;
        point.reach(inbox.has(2)).await.transpose()?;
        point.reach(empty.is_empty()).await.transpose()?;
        point.reach(inbox.keeps(2, Duration::from_millis(5))).await.transpose()?;
        point.reach(inbox.holds(["a", "b"])).await.transpose()?;
        point.reach(inbox.has_consumers(0)).await.transpose()?;
        point.reach(inbox.has_unsettled(0)).await.transpose()?;
        point.reach(kit.has_connections(1)).await.transpose()?;
        point.reach(kit.nothing_unsettled()).await.transpose()?;
        point.reach(kit.exchange("").got("inbox")).await.transpose()?;
        point.reach(kit.exchange("").got_times(2, "inbox")).await.transpose()?;
        // What does not hold, and is not waited for to the end.
        let idle = Point { polls: point.polls.min(1), woken: false };
        assert!(idle.reach(inbox.has_one_from("", "nowhere")).await.is_none());
        assert!(idle.reach(inbox.has_dead_letters(1, "inbox")).await.is_none());
    }
    inbox.holds(["a", "b"]).await?;
    Ok(())
}

async fn putting_and_taking(_: Place) -> Outcome {
    let kit = TestKit::start().await?;
    let queue = kit.chan().declare(Queue::classic("inbox")).await?;
    let inbox = kit.queue("inbox");
    let (mut put, mut published, mut taken) = (false, false, false);
    for point in Point::all() {
        put |= point.reach(inbox.put("put")).await.transpose()?.is_some();
        let publishing = kit.publish("", "inbox", hopmq::Message::text("published"));
        published |= point.reach(publishing).await.transpose()?.is_some();
        inbox.put("last").await?;
        taken |= point.reach(inbox.next()).await.transpose()?.is_some();
        // Whatever was dropped, the kit goes on and keeps nothing unsettled.
        kit.nothing_unsettled().await?;
        kit.chan().purge(&queue).await?;
        inbox.is_empty().await?;
        if put && published && taken {
            return Ok(());
        }
    }
    Err("it never ends".into())
}
