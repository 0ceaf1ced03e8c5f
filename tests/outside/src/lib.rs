//! A small service, to be tested: it takes orders and publishes what was shipped.

#![deny(warnings)]

use hopmq::{Config, Conn, ConsumeError, DeadLetter, Error, Exchange, Message, Queue};

/// Ships orders until its connection is closed for good. Each shipment is confirmed before its
/// order is acked, so that none is lost; what is no order is rejected.
pub async fn ship(config: Config) -> Result<(), Error> {
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let refused = chan.declare(Queue::classic("refused")).await?;
    let orders = Queue::quorum("orders").dead_letter(DeadLetter::to_queue(&refused));
    let orders = chan.declare(orders).await?;
    let events = chan.declare(Exchange::topic("events")).await?;

    let mut deliveries = chan.consume(&orders).prefetch(10).await?;
    while let Some(order) = deliveries.next().await {
        let order = match order {
            Ok(order) => order,
            Err(ConsumeError::TooLarge { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let number = order.contiguous_body().and_then(|body| body.strip_prefix(b"order "));
        let Some(number) = number.map(String::from_utf8_lossy) else {
            order.reject()?;
            continue;
        };
        let shipped = Message::text(format!("shipped {number}"));
        let publish = chan.publish(&events, "order.shipped", shipped).at_least_once();
        match publish.await?.await {
            Ok(()) => order.ack(),
            Err(_) => order.requeue(),
        }
        // One of an earlier connection comes again.
        .or_else(|error| if matches!(error, Error::Stale) { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}
