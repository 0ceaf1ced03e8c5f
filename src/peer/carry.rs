//! Carries a queue over an AMQP broker: two queues there, one in each direction.
//!
//! A session is a connection of its own with a channel, the two queues and a consumer. When anything
//! of it fails, another one is made, until the other side counts as gone; the core sorts out what
//! was lost or repeated in between.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{core::Frame, frame, shared::Shared};
use crate::{
    chan::{Chan, Confirming},
    config::{Config, Hold},
    confirm::Confirm,
    conn::{Conn, Connected},
    consumer::Consumer,
    delivery::Delivery,
    error::{ConsumeError, Error, Unconfirmed},
    exchange::{DefaultExchange, Exchange},
    message::Message,
    queue::{Classic, Queue},
};

/// The first wait before the way is tried again; it doubles up to the longest.
const BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);

/// How long the last frames may take to be confirmed by the broker, less than closing waits.
pub(super) const FAREWELL: Duration = Duration::from_secs(4);

/// Where a queue goes through: a broker and two queues on it.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) config: Config,
    /// What this side consumes from.
    pub(super) inbound: String,
    /// What it publishes to.
    pub(super) outbound: String,
    /// How long the queues stay when nobody uses them.
    pub(super) expiry: Duration,
}

/// A connection to the broker in between, ready to carry.
#[derive(Debug)]
pub(super) struct Session {
    conn: Conn<Connected>,
    chan: Chan<Confirming>,
    default: Exchange<DefaultExchange>,
    inbound: Queue<Classic>,
    outbound: Queue<Classic>,
    consumer: Consumer,
}

impl Way {
    /// Makes a session, each part with the configuration's deadlines.
    pub(super) async fn open(&self) -> Result<Session, Error> {
        // The queue has a recovery of its own, and what is held back is neither lost nor in the way.
        let config = self.config.clone().without_recovery().while_blocked(Hold::Wait);
        let conn = Conn::new(config).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = |name: &str| Queue::classic(name).expires(self.expiry);
        let inbound = chan.declare(queue(&self.inbound)).await?;
        let outbound = chan.declare(queue(&self.outbound)).await?;
        // Exclusive: what a broken session still consumes would be missing from this one.
        let consumer = chan.consume(&inbound).exclusive().await?;
        let default = Exchange::default_exchange();
        Ok(Session { conn, chan, default, inbound, outbound, consumer })
    }
}

/// Carries a queue until it has ended, over this session and, when that fails, further ones.
pub(super) async fn carry(shared: Arc<Shared>, way: Way, first: Session) {
    let _carrying = Carrying(Arc::clone(&shared));
    let mut session = first;
    loop {
        match session.run(&shared).await {
            Ok(said_last) => return session.leave(said_last).await,
            Err(cause) => shared.interrupted(cause),
        }
        drop(session);
        match again(&shared, &way).await {
            Some(next) => session = next,
            None => return,
        }
        shared.resumed();
    }
}

/// When the task that carries a queue ends, for whatever reason, the queue ends too.
struct Carrying(Arc<Shared>);

impl Drop for Carrying {
    fn drop(&mut self) {
        self.0.left();
    }
}

/// Tries to make another session, until the queue has ended.
async fn again(shared: &Shared, way: &Way) -> Option<Session> {
    let mut wait = BACKOFF;
    loop {
        shared.pulse(false);
        if shared.end().is_some() {
            return None;
        }
        match either(way.open(), shared.until_over()).await {
            Either::First(Ok(session)) => return Some(session),
            Either::First(Err(cause)) => shared.failed_again(cause),
            Either::Second(()) => return None,
        }
        let _ = timeout(wait, shared.until_over()).await;
        wait = (wait * 2).min(LONGEST_BACKOFF);
    }
}

impl Session {
    /// Publishes a message to a queue. Whether there is such a queue.
    pub(super) async fn say(&self, queue: &str, message: Message) -> Result<bool, Error> {
        let confirm = self.chan.publish(&self.default, queue, message).mandatory().await?;
        match confirm.await.map_err(|error| error.into_parts().0) {
            Ok(()) => Ok(true),
            Err(Unconfirmed::Returned { .. }) => Ok(false),
            Err(reason) => Err(Error::Unconfirmed(Box::new(reason))),
        }
    }

    /// The next message from the other side.
    pub(super) async fn hear(&mut self) -> Result<Delivery, Error> {
        match self.consumer.next().await {
            Some(delivery) => Ok(delivery?),
            None => Err(Error::Closed),
        }
    }

    /// Carries both ways until the queue has ended and that was said. Whether this side said it.
    async fn run(&mut self, shared: &Shared) -> Result<bool, Error> {
        let Session { conn, chan, default, outbound, consumer, .. } = self;
        let outgoing = Outgoing { conn, chan, default, outbound, shared };
        let incoming = either(incoming(conn, consumer, shared), alarms(conn, shared));
        match either(outgoing.run(), incoming).await {
            Either::First(ended) => ended,
            Either::Second(Either::First(Err(failed)) | Either::Second(Err(failed))) => Err(failed),
            Either::Second(Either::First(Ok(never)) | Either::Second(Ok(never))) => match never {},
        }
        .map_err(|error| conn.close_reason().unwrap_or(error))
    }

    /// Ends the connection. The last to hear the other side takes the queues along.
    pub(super) async fn leave(self, said_last: bool) {
        let Session { conn, chan, inbound, outbound, consumer, .. } = self;
        drop(consumer);
        // They would go by themselves, only later.
        let _ = chan.delete_queue(&inbound).await;
        if !said_last {
            let _ = chan.delete_queue(&outbound).await;
        }
        let _ = conn.close().await;
    }
}

/// What this side says.
struct Outgoing<'a> {
    conn: &'a Conn<Connected>,
    chan: &'a Chan<Confirming>,
    default: &'a Exchange<DefaultExchange>,
    outbound: &'a Queue<Classic>,
    shared: &'a Shared,
}

/// A frame that the broker has not confirmed. Only messages must have a queue to go to: the other
/// side may have taken its own along already.
struct Unanswered {
    confirm: Confirm,
    is_message: bool,
}

impl Outgoing<'_> {
    /// Ends well once the queue has ended and that was said; tells whether this side said it.
    async fn run(&self) -> Result<bool, Error> {
        let mut unanswered = VecDeque::new();
        loop {
            let mut said_last = false;
            while let Some((frame, position, message)) = self.shared.transmit() {
                let is_message = message.is_some();
                said_last = matches!(frame, Frame::Bye | Frame::Abort);
                let message = frame::wrap(frame, position, message);
                let confirm = self.publish(message).await?;
                unanswered.push_back(Unanswered { confirm, is_message });
            }
            if self.shared.end().is_some() {
                let rest = async {
                    while let Some(next) = unanswered.pop_front() {
                        let _ = next.confirm.await;
                    }
                };
                let _ = timeout(FAREWELL, rest).await;
                return Ok(said_last);
            }
            self.wait(&mut unanswered).await?;
        }
    }

    /// Publishes, however long the broker holds publishers back; once the queue has ended, only as
    /// long as the other side counts as being there.
    async fn publish(&self, message: Message) -> Result<Confirm, Error> {
        let patience = self.shared.settings.patience;
        loop {
            let publish = self.chan.publish(self.default, self.outbound, message.clone());
            match publish.mandatory().within(patience).await {
                Err(_) if self.conn.block_reason().is_some() && self.shared.end().is_none() => {}
                published => return Ok(published?),
            }
        }
    }

    /// Waits until there is something to say, and takes the broker's answers meanwhile.
    async fn wait(&self, unanswered: &mut VecDeque<Unanswered>) -> Result<(), Error> {
        let mut work = pin!(self.shared.work.notified());
        poll_fn(|cx| {
            while let Some(next) = unanswered.front_mut() {
                let Poll::Ready(outcome) = Pin::new(&mut next.confirm).poll(cx) else { break };
                let is_message = next.is_message;
                unanswered.pop_front();
                match outcome.map_err(|error| error.into_parts().0) {
                    Ok(()) => {}
                    Err(Unconfirmed::Returned { .. }) if !is_message => {}
                    Err(reason) => {
                        return Poll::Ready(Err(Error::Unconfirmed(Box::new(reason))));
                    }
                }
            }
            work.as_mut().poll(cx).map(Ok)
        })
        .await
    }
}

/// Tells when the broker holds publishers back, and when no longer. Ends only when it fails.
async fn alarms(conn: &Conn<Connected>, shared: &Shared) -> Result<Infallible, Error> {
    loop {
        shared.blocked(conn.blocked().await?);
        // Lost, it is blocked no more, and that is told as such.
        conn.unblocked().await?;
        shared.unblocked();
    }
}

/// What the other side says, and the time that passes. Ends only when it fails.
async fn incoming(
    conn: &Conn<Connected>,
    consumer: &mut Consumer,
    shared: &Shared,
) -> Result<Infallible, Error> {
    let mut pulse = interval(shared.settings.pulse());
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        match either(consumer.next(), pulse.tick()).await {
            // While the broker holds publishers back, the other side cannot be heard.
            Either::Second(_) => shared.pulse(conn.block_reason().is_some()),
            Either::First(Some(Ok(delivery))) => {
                let (received, receipt) = delivery.into_parts();
                let header = received.properties().header(frame::HEADER);
                if let Some((frame, position)) = frame::unwrap(header) {
                    let message = received.into_message().without_header(frame::HEADER);
                    shared.arrive(frame, position, message);
                }
                receipt.ack()?;
            }
            // Over the limit of the client: no message of a queue is that large.
            Either::First(Some(Err(ConsumeError::TooLarge { .. }))) => {}
            Either::First(Some(Err(error))) => return Err(error.into()),
            Either::First(None) => return Err(Error::Closed),
        }
    }
}

/// What came first of two.
pub(super) enum Either<A, B> {
    First(A),
    Second(B),
}

/// Waits for whichever comes first; the other is dropped.
pub(super) async fn either<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|cx| {
        if let Poll::Ready(first) = a.as_mut().poll(cx) {
            return Poll::Ready(Either::First(first));
        }
        b.as_mut().poll(cx).map(Either::Second)
    })
    .await
}
