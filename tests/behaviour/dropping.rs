//! Every public future dropped at every await point, then a correct operation: it succeeds, no answer is paired with
//! the wrong request, and nothing is left behind.

use std::{
    any::type_name, collections::BTreeSet, future::IntoFuture, pin::pin, sync::Mutex, task::Poll,
};

use hopmq::{Chan, Confirming, Conn, Connected, Exchange, Queue, queue::Classic, wire::ReplyCode};

use crate::place::{Outcome, Place, default_exchange, fill, take, take_texts, text, until};

/// Behaviours, and their list: a test holds that no public future is missing.
macro_rules! dropped_at_each_point {
    ($where:ident: $($name:ident),+ $(,)?) => {
        $where!($($name),+);

        pub(super) async fn all() {
            $($crate::place::on_embedded($name).await;)+
        }
    };
}

mod brokers;
mod events;
mod kits;
mod links;
mod listed;
mod peers;
mod pools;
mod rpc;
mod services;
mod streams;

dropped_at_each_point!(
    on_both_brokers:
    connecting,
    closing_a_connection,
    waiting_for_the_end_of_a_connection,
    opening_a_channel,
    selecting_a_mode,
    closing_a_channel,
    reopening_a_channel,
    declaring,
    binding,
    counting_purging_deleting,
    publishing,
    publishing_into_a_full_window,
    confirming,
    waiting_for_returns,
    committing,
    getting,
    consuming,
    waiting_for_deliveries,
    cancelling,
);

/// Where a future is dropped.
#[derive(Clone, Copy, Debug)]
struct Point {
    /// After so many polls ...
    polls: usize,
    /// ... at once, or when it has been woken again.
    woken: bool,
}

impl Point {
    /// Every point, in order: not polled at all, polled, polled and woken, polled twice ...
    fn all() -> impl Iterator<Item = Point> {
        let start = Point { polls: 0, woken: false };
        let rest = (1..100).flat_map(|polls| [false, true].map(|woken| Point { polls, woken }));
        std::iter::once(start).chain(rest)
    }

    /// Drives a future to this point and drops it; or gives what it gave, when that came before.
    async fn reach<F: IntoFuture>(self, future: F) -> Option<F::Output> {
        if self.polls > 0 {
            let mut names = POLLED.lock().expect("unpoisoned");
            names.extend([type_name::<F>(), type_name::<F::IntoFuture>()]);
        }
        let mut future = pin!(future.into_future());
        let mut left = self.polls;
        std::future::poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending if left == 0 && !self.woken => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// The types of the futures that were polled and dropped.
static POLLED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());

/// A channel, and a queue to see by that it works as it should.
struct Bench {
    conn: Conn<Connected>,
    chan: Chan<Confirming>,
    queue: Queue<Classic>,
}

impl Bench {
    async fn new(at: &Place) -> Outcome<Self> {
        let conn = at.conn().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic(at.name("bench"))).await?;
        Ok(Bench { conn, chan, queue })
    }

    /// Answers of different kinds, each with what only its own request can give; tags without a gap.
    async fn works(&self) -> Outcome {
        let temporary = self.chan.declare(Queue::server_named()).await?;
        fill(&self.chan, &temporary, &["one", "two"]).await?;
        assert_eq!(self.chan.counts(&temporary).await?.messages, 2);
        let delivery = self.chan.get(&temporary).await?.ok_or("one")?;
        assert_eq!(text(&delivery), "one");
        delivery.ack()?;
        assert_eq!(self.chan.purge(&temporary).await?, 1);
        assert_eq!(self.chan.delete_queue(&temporary).await?, 0);
        assert_eq!(self.chan.counts(&self.queue).await?.messages, 0);
        Ok(())
    }
}

async fn connecting(at: Place) -> Outcome {
    for point in Point::all() {
        let connected = point.reach(Conn::new(at.config()).connect()).await;
        at.chan().await?.declare(Queue::server_named()).await?;
        if let Some(connected) = connected {
            connected?.close().await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn closing_a_connection(at: Place) -> Outcome {
    let asks = at.conn().await?;
    for point in Point::all() {
        let conn = at.conn().await?;
        let name = at.name("exclusive");
        conn.open_channel().await?.declare(Queue::classic(&name).exclusive()).await?;
        let closed = point.reach(conn.close()).await;
        // The connection is gone in any case, and its exclusive queue with it.
        until(async || {
            let asked = asks.open_channel().await?.declare(Queue::classic(&name).passive()).await;
            Ok(asked.is_err_and(|error| error.reply_code() == Some(ReplyCode::NOT_FOUND)))
        })
        .await?;
        if let Some(closed) = closed {
            closed?.connect().await?.close().await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_the_end_of_a_connection(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    for polls in 0..3 {
        let point = Point { polls: polls.min(1), woken: false };
        assert!(point.reach(bench.conn.closed()).await.is_none());
        bench.works().await?;
    }
    let ended = bench.conn.closed();
    bench.conn.close().await?;
    ended.await;
    Ok(())
}

async fn opening_a_channel(at: Place) -> Outcome {
    let conn = Conn::new(at.config().channel_max(2)).connect().await?;
    let keeps = conn.open_channel().await?;
    let queue = keeps.declare(Queue::server_named()).await?;
    for point in Point::all() {
        let opened = point.reach(conn.open_channel()).await;
        let done = opened.is_some();
        drop(opened);
        // The one other id comes free again.
        until(async || match conn.open_channel().await {
            Ok(chan) => Ok(chan.counts(&queue).await?.messages == 0),
            Err(hopmq::Error::TooManyChannels { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        })
        .await?;
        if done {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn selecting_a_mode(at: Place) -> Outcome {
    let conn = at.conn().await?;
    let (mut confirming, mut transactional) = (false, false);
    for point in Point::all() {
        let selected = point.reach(conn.open_channel().await?.confirm_select()).await;
        if let Some(chan) = selected {
            let chan = chan?;
            let queue = chan.declare(Queue::server_named()).await?;
            fill(&chan, &queue, &["x"]).await?;
            confirming = true;
        }
        let selected = point.reach(conn.open_channel().await?.tx_select()).await;
        if let Some(chan) = selected {
            chan?.commit().await?;
            transactional = true;
        }
        conn.open_channel().await?.declare(Queue::server_named()).await?;
        if confirming && transactional {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn closing_a_channel(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    for point in Point::all() {
        let chan = bench.conn.open_channel().await?;
        let consumer = chan.consume(&bench.queue).await?;
        let closed = point.reach(chan.close()).await;
        drop(consumer);
        until(async || Ok(bench.chan.counts(&bench.queue).await?.consumers == 0)).await?;
        bench.works().await?;
        if let Some(closed) = closed {
            closed?.reopen().await?.declare(Queue::server_named()).await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn reopening_a_channel(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    for point in Point::all() {
        let closed = bench.conn.open_channel().await?.close().await?;
        let reopened = point.reach(closed.reopen()).await;
        bench.works().await?;
        if let Some(reopened) = reopened {
            reopened?.declare(Queue::server_named()).await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn declaring(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let name = at.name("declared");
    for point in Point::all() {
        let queue = point.reach(bench.chan.declare(Queue::classic(&name))).await;
        let exchange = point.reach(bench.chan.declare(Exchange::topic(&name))).await;
        bench.works().await?;
        if point.polls > 0 {
            // It keeps its effect.
            bench.chan.declare(Queue::classic(&name).passive()).await?;
            bench.chan.declare(Exchange::topic(&name).passive()).await?;
        }
        if let (Some(queue), Some(exchange)) = (queue, exchange) {
            bench.chan.bind(&queue?, &exchange?, "#").await?;
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn binding(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let exchange = bench.chan.declare(Exchange::fanout(at.name("fanout"))).await?;
    for point in Point::all() {
        let bound = point.reach(bench.chan.bind(&bench.queue, &exchange, ())).await;
        let publish = bench.chan.publish(&exchange, (), b"x").mandatory().await?;
        assert_eq!(publish.await.is_ok(), point.polls > 0, "{point:?}");
        let unbound = point.reach(bench.chan.unbind(&bench.queue, &exchange, ())).await;
        let publish = bench.chan.publish(&exchange, (), b"x").mandatory().await?;
        assert!(publish.await.is_err(), "{point:?}");
        assert_eq!(bench.chan.purge(&bench.queue).await?, point.polls.min(1) as u32);
        bench.works().await?;
        if let (Some(bound), Some(unbound)) = (bound, unbound) {
            return Ok(bound.and(unbound)?);
        }
    }
    Err("it never ends".into())
}

async fn counting_purging_deleting(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    for point in Point::all() {
        let queue = bench.chan.declare(Queue::classic(at.name("temporary"))).await?;
        let exchange = bench.chan.declare(Exchange::fanout(at.name("temporary"))).await?;
        fill(&bench.chan, &queue, &["a", "b"]).await?;
        let counted = point.reach(bench.chan.counts(&queue)).await;
        let purged = point.reach(bench.chan.purge(&queue)).await;
        bench.works().await?;
        let deleted = point.reach(bench.chan.delete_queue(&queue)).await;
        let deleted_exchange = point.reach(bench.chan.delete_exchange(&exchange)).await;
        bench.works().await?;
        if let (Some(counted), Some(purged), Some(deleted), Some(deleted_exchange)) =
            (counted, purged, deleted, deleted_exchange)
        {
            deleted_exchange?;
            assert_eq!((counted?.messages, purged?, deleted?), (2, 2, 0));
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let default = default_exchange();
    for point in Point::all() {
        let publish = bench.chan.publish(&default, &bench.queue, b"x").mandatory();
        let confirm = point.reach(publish).await;
        let sent = confirm.is_some();
        if let Some(confirm) = confirm {
            confirm?.await?;
        }
        fill(&bench.chan, &bench.queue, &["y"]).await?;
        assert_eq!(bench.chan.purge(&bench.queue).await?, 1 + u32::from(sent), "{point:?}");
        bench.works().await?;
        if sent {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn publishing_into_a_full_window(at: Place) -> Outcome {
    let mut config = at.config();
    config.limits.window_messages = 1;
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic(at.name("inbox"))).await?;
    let default = default_exchange();
    for point in Point::all() {
        let first = chan.publish(&default, &queue, b"first").await?;
        let second = point.reach(chan.publish(&default, &queue, b"second")).await;
        first.await?;
        let sent = second.is_some();
        if let Some(second) = second {
            second?.await?;
        }
        fill(&chan, &queue, &["third"]).await?;
        assert_eq!(chan.purge(&queue).await?, 2 + u32::from(sent), "{point:?}");
        if sent {
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn confirming(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let default = default_exchange();
    let nobody = at.name("nobody");
    for point in Point::all() {
        let routed = bench.chan.publish(&default, &bench.queue, b"x").mandatory();
        let confirmed = point.reach(routed.await?).await;
        let unroutable = bench.chan.publish(&default, &nobody, b"x").mandatory();
        let returned = point.reach(unroutable.await?).await;
        let routed = bench.chan.publish(&default, &bench.queue, b"x").mandatory();
        routed.await?.await?;
        assert_eq!(bench.chan.purge(&bench.queue).await?, 2);
        bench.works().await?;
        if let (Some(confirmed), Some(returned)) = (confirmed, returned) {
            assert!(returned.is_err());
            return Ok(confirmed?);
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_returns(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let nobody = at.name("nobody");
    let mut returns = chan.returns();
    let mut numbers = Vec::new();
    for (number, point) in Point::all().take(5).enumerate() {
        let message = hopmq::Message::text(number.to_string());
        chan.publish_unconfirmed(&default_exchange(), &nobody, message).mandatory().await?;
        if let Some(returned) = point.reach(returns.next()).await {
            numbers.push(text(&returned.ok_or("it came back")?.message));
        }
    }
    while numbers.len() < 5 {
        numbers.push(text(&returns.next().await.ok_or("it came back")?.message));
    }
    assert_eq!(numbers, ["0", "1", "2", "3", "4"], "none is lost");
    Ok(())
}

async fn committing(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let chan = bench.conn.open_channel().await?.tx_select().await?;
    let default = default_exchange();
    for point in Point::all() {
        chan.publish_in_tx(&default, &bench.queue, b"committed").await?;
        let committed = point.reach(chan.commit()).await;
        if committed.is_none() {
            // What was not sent is made up for; what was is in effect.
            chan.counts(&bench.queue).await?;
            chan.commit().await?;
        }
        chan.publish_in_tx(&default, &bench.queue, b"rolled back").await?;
        let rolled_back = point.reach(chan.rollback()).await;
        if rolled_back.is_none() {
            chan.rollback().await?;
        }
        chan.commit().await?;
        assert_eq!(bench.chan.purge(&bench.queue).await?, 1, "{point:?}");
        bench.works().await?;
        if let (Some(committed), Some(rolled_back)) = (committed, rolled_back) {
            return Ok(committed.and(rolled_back)?);
        }
    }
    Err("it never ends".into())
}

async fn getting(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let queue = bench.chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&bench.chan, &queue, &["a"]).await?;
    for point in Point::all() {
        let got = point.reach(bench.chan.get(&queue)).await;
        bench.works().await?;
        let done = got.is_some();
        drop(got);
        until(async || Ok(bench.chan.counts(&queue).await?.messages == 1)).await?;
        if done {
            let delivery = bench.chan.get(&queue).await?.ok_or("it went back")?;
            assert!(delivery.is_redelivered());
            return Ok(delivery.ack()?);
        }
    }
    Err("it never ends".into())
}

async fn consuming(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let queue = bench.chan.declare(Queue::classic(at.name("inbox"))).await?;
    fill(&bench.chan, &queue, &["a", "b", "c"]).await?;
    for point in Point::all() {
        let consumer = point.reach(bench.chan.consume(&queue).prefetch(2)).await;
        bench.works().await?;
        if let Some(consumer) = consumer {
            let mut consumer = consumer?;
            let mut texts = take_texts(&mut consumer, 3).await?;
            texts.sort();
            assert_eq!(texts, ["a", "b", "c"]);
            return Ok(());
        }
        // An orphan is cancelled, and what it had been sent goes back.
        until(async || {
            let counts = bench.chan.counts(&queue).await?;
            Ok((counts.messages, counts.consumers) == (3, 0))
        })
        .await?;
    }
    Err("it never ends".into())
}

async fn waiting_for_deliveries(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let mut consumer = bench.chan.consume(&bench.queue).await?;
    let mut texts = Vec::new();
    for (number, point) in Point::all().take(9).enumerate() {
        fill(&bench.chan, &bench.queue, &[&number.to_string()]).await?;
        if let Some(delivery) = point.reach(consumer.next()).await {
            let delivery = delivery.ok_or("it goes on")??;
            texts.push(text(&delivery));
            delivery.ack()?;
        }
    }
    texts.extend(take_texts(&mut consumer, 9 - texts.len()).await?);
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7", "8"], "none is lost");
    bench.works().await
}

async fn cancelling(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    for point in Point::all() {
        let mut consumer = bench.chan.consume(&bench.queue).await?;
        let cancelled = point.reach(consumer.cancel()).await;
        if point.polls == 0 {
            fill(&bench.chan, &bench.queue, &["still consuming"]).await?;
            take(&mut consumer).await?.ack()?;
        } else {
            assert!(consumer.next().await.is_none());
            assert_eq!(bench.chan.counts(&bench.queue).await?.consumers, 0);
        }
        drop(consumer);
        bench.works().await?;
        if let Some(cancelled) = cancelled {
            return Ok(cancelled?);
        }
    }
    Err("it never ends".into())
}
