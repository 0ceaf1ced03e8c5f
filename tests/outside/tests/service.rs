//! How a service is tested with HopMQ's test kit: nothing is installed, nothing is started first.

use std::{error::Error, time::Duration};

use hopmq::{Exchange, Queue, testkit::TestKit};

type Outcome = Result<(), Box<dyn Error>>;

/// The service runs, and somebody wants to know what was shipped.
async fn started() -> Result<TestKit, Box<dyn Error>> {
    // The machine that runs this may be busy.
    let kit = TestKit::start().await?.patience(Duration::from_secs(30));
    let events = kit.chan().declare(Exchange::topic("events")).await?;
    let shipped = kit.chan().declare(Queue::classic("shipped")).await?;
    kit.chan().bind(&shipped, &events, "order.shipped").await?;
    tokio::spawn(outside::ship(kit.config()));
    kit.queue("orders").has_consumers(1).await?;
    Ok(kit)
}

#[tokio::test]
async fn an_order_is_shipped_and_acked() -> Outcome {
    let kit = started().await?;
    kit.queue("orders").put("order 1").await?;
    kit.queue("shipped").holds(["shipped 1"]).await?;
    kit.exchange("events").got("order.shipped").await?;
    kit.queue("orders").is_empty().await?;
    kit.nothing_unsettled().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_no_order_is_dead_lettered() -> Outcome {
    let kit = started().await?;
    kit.queue("orders").put("nonsense").await?;
    kit.queue("refused").has_dead_letters(1, "orders").await?;
    kit.queue("shipped").keeps(0, Duration::from_millis(50)).await?;
    Ok(())
}

#[tokio::test]
async fn an_order_is_not_acked_before_its_shipment_is_confirmed() -> Outcome {
    let kit = started().await?;
    kit.queue("orders").put("order 1").await?;
    kit.queue("shipped").has(1).await?;
    kit.nothing_unsettled().await?;

    // From now on the broker owes its confirms, and the service its ack.
    let default = Exchange::default_exchange();
    let orders = kit.chan().declare(Queue::quorum("orders").passive()).await?;
    kit.faults().withhold_confirms();
    let put = kit.chan().publish(&default, &orders, b"order 2").await?;
    kit.queue("shipped").has(2).await?;
    kit.queue("orders").has_unsettled(1).await?;
    kit.faults().release_confirms();
    put.await?;
    kit.nothing_unsettled().await?;
    Ok(())
}

#[tokio::test]
async fn a_failing_network_loses_no_order() -> Outcome {
    let kit = started().await?;
    for number in 0..50 {
        kit.queue("orders").put(format!("order {number}")).await?;
        if number % 10 == 5 {
            kit.cut();
        }
    }
    kit.queue("orders").is_empty().await?;
    kit.nothing_unsettled().await?;
    // Each at least once: what was in doubt was shipped again.
    let mut missing: Vec<String> = (0..50).map(|number| format!("shipped {number}")).collect();
    while !missing.is_empty() {
        let body = kit.queue("shipped").next().await?.into_body().into_bytes();
        missing.retain(|shipped| shipped.as_bytes() != body);
    }
    Ok(())
}
