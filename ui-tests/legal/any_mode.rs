//! What a function can ask of a channel without naming its mode.

use hopmq::{capability::InConfirmMode, capability::IsOpen, *};

async fn declares<S: ChanState>(chan: &Chan<S>) -> Result<Queue<Quorum>, Error>
where
    Chan<S>: IsOpen,
{
    chan.declare(Queue::quorum("inbox")).await
}

async fn publishes<S: ChanState>(chan: &Chan<S>, orders: &Exchange<Topic>)
where
    Chan<S>: InConfirmMode,
{
    let _ = chan.publish(orders, "order.created", b"12 apples").await;
}

async fn calls(chan: &Chan<Confirming>, orders: &Exchange<Topic>) {
    let _ = declares(chan).await;
    publishes(chan, orders).await;
}
