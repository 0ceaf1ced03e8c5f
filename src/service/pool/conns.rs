//! The connections of a pool, and which of their channels are on loan.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Notify},
    time::Instant,
};

use super::{
    builder::Settings,
    older,
    status::{ConnectionStatus, PoolStatus, Reason, Tally},
};
use crate::{Call, Chan, Config, Conn, Connected, ConnectionState, Error, Open};

/// The connections of a pool.
#[derive(Debug)]
pub(super) struct Conns {
    config: Config,
    most: usize,
    per_connection: usize,
    pub(super) lifetime: Option<Duration>,
    slots: Mutex<Slots>,
    /// One is dialled at a time: whoever waits meanwhile finds room on it.
    dialling: AsyncMutex<()>,
    leased: AtomicUsize,
    returned: Notify,
    evicted: Tally,
    pub(super) channels_created: AtomicU64,
    pub(super) channels_evicted: Tally,
    pub(super) checks: AtomicU64,
}

#[derive(Debug, Default)]
struct Slots {
    of: Vec<Slot>,
    made: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    conn: Conn<Connected>,
    made: Instant,
    channels: usize,
    /// Since when it has no channels.
    idle_since: Instant,
    retired: Option<Reason>,
    round_trip: Option<Duration>,
}

impl Slot {
    fn is_up(&self) -> bool {
        matches!(self.conn.state(), ConnectionState::Connected | ConnectionState::Degraded)
    }

    /// Whether an answer can be expected: a broker with an alarm does not even read what publishers
    /// send (<https://www.rabbitmq.com/docs/connection-blocked>), which is no fault of the connection.
    fn answers(&self) -> bool {
        self.retired.is_none() && self.is_up() && self.conn.block_reason().is_none()
    }
}

/// A channel's place on a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    conns: Arc<Conns>,
    number: u64,
}

impl Conns {
    pub(super) fn new(settings: &Settings) -> Self {
        Conns {
            config: settings.config.clone(),
            most: settings.connections,
            per_connection: settings.per_connection,
            lifetime: settings.lifetime,
            slots: Mutex::default(),
            dialling: AsyncMutex::new(()),
            leased: AtomicUsize::new(0),
            returned: Notify::new(),
            evicted: Tally::default(),
            channels_created: AtomicU64::new(0),
            channels_evicted: Tally::default(),
            checks: AtomicU64::new(0),
        }
    }

    /// Opens a channel on the connection that has most room, dialling another if none has any.
    pub(super) async fn open(self: &Arc<Self>) -> Result<(Lease, Chan<Open>), Error> {
        let (lease, opening) = match self.place() {
            Some(placed) => placed,
            None => self.dial_and_place().await?,
        };
        Ok((lease, opening.await?))
    }

    async fn dial_and_place(self: &Arc<Self>) -> Result<(Lease, Call<Chan<Open>>), Error> {
        let _one_at_a_time = self.dialling.lock().await;
        // Whoever was first has dialled, perhaps.
        if let Some(placed) = self.place() {
            return Ok(placed);
        }
        let number = self.dial().await?;
        let mut slots = self.slots();
        let slot = slots.of.iter_mut().find(|slot| slot.number == number).ok_or(Error::Closed)?;
        Ok(self.place_on(slot))
    }

    async fn dial(&self) -> Result<u64, Error> {
        let conn = Conn::new(self.config.clone()).connect().await?;
        let mut slots = self.slots();
        if slots.is_closed {
            return Err(Error::Closed);
        }
        let (number, now) = (slots.made, Instant::now());
        slots.made += 1;
        slots.of.push(Slot {
            number,
            conn,
            made: now,
            channels: 0,
            idle_since: now,
            retired: None,
            round_trip: None,
        });
        Ok(number)
    }

    /// A place on a connection: on one that is up rather than on one that is being recovered. Where
    /// there are as many as there may be, the least loaded has room: the pool bounds the channels.
    fn place(self: &Arc<Self>) -> Option<(Lease, Call<Chan<Open>>)> {
        self.evict(None);
        let mut slots = self.slots();
        let good = slots.of.iter().filter(|slot| slot.retired.is_none()).count();
        let is_full = good >= self.most;
        let candidates = slots.of.iter_mut().filter(|slot| {
            slot.retired.is_none() && (is_full || slot.channels < self.per_connection)
        });
        let slot = candidates.min_by_key(|slot| (!slot.is_up(), slot.channels))?;
        Some(self.place_on(slot))
    }

    fn place_on(self: &Arc<Self>, slot: &mut Slot) -> (Lease, Call<Chan<Open>>) {
        slot.channels += 1;
        self.leased.fetch_add(1, Ordering::AcqRel);
        let lease = Lease { conns: self.clone(), number: slot.number };
        (lease, slot.conn.open_channel())
    }

    /// Drops connections that have ended, and retires those that are too old or idle for so long; those
    /// without channels go at once.
    pub(super) fn evict(&self, idle: Option<Duration>) {
        let mut slots = self.slots();
        for slot in &mut slots.of {
            let reason = if slot.conn.close_reason().is_some() {
                Reason::Closed
            } else if older(slot.made, self.lifetime) {
                Reason::Expired
            } else if slot.channels == 0 && older(slot.idle_since, idle) {
                Reason::Idle
            } else {
                continue;
            };
            self.retire(slot, reason);
        }
        let gone = take(&mut slots.of, |slot| {
            slot.retired.is_some() && (slot.channels == 0 || slot.conn.close_reason().is_some())
        });
        drop(slots);
        drop(gone);
    }

    fn retire(&self, slot: &mut Slot, reason: Reason) {
        if slot.retired.is_none() {
            slot.retired = Some(reason);
            self.evicted.count(reason);
            tracing::debug!(connection = slot.number, ?reason, "a pool gives up a connection");
        }
    }

    /// Why channels on that connection are not to be used any more.
    pub(super) fn retired(&self, number: u64) -> Option<Reason> {
        let slots = self.slots();
        let slot = slots.of.iter().find(|slot| slot.number == number);
        slot.map_or(Some(Reason::Closed), |slot| slot.retired)
    }

    /// A round trip on each connection that is up: opening a channel, which needs no permission. Those
    /// that are being recovered are seen to already.
    pub(super) fn probes(&self) -> Vec<(u64, Call<Chan<Open>>)> {
        let slots = self.slots();
        let answering = slots.of.iter().filter(|slot| slot.answers());
        answering.map(|slot| (slot.number, slot.conn.open_channel())).collect()
    }

    /// How long the round trip took; `None` retires the connection, since it did not answer.
    pub(super) fn probed(&self, number: u64, round_trip: Option<Duration>) {
        let mut slots = self.slots();
        if let Some(slot) = slots.of.iter_mut().find(|slot| slot.number == number) {
            slot.round_trip = round_trip;
            if round_trip.is_none() && slot.answers() {
                self.retire(slot, Reason::Unanswered);
            }
        }
    }

    /// Whether an answer can be expected on that connection.
    pub(super) fn answers(&self, number: u64) -> bool {
        self.slots().of.iter().any(|slot| slot.number == number && slot.answers())
    }

    /// Dials one if all that there were are evicted.
    pub(super) async fn replace(&self) -> Result<(), Error> {
        let needed = || {
            let slots = self.slots();
            let lost = self.evicted.read();
            let failed = lost.closed + lost.unanswered > 0;
            failed && !slots.is_closed && !slots.of.iter().any(|slot| slot.retired.is_none())
        };
        if !needed() {
            return Ok(());
        }
        let _one_at_a_time = self.dialling.lock().await;
        if needed() { self.dial().await.map(drop) } else { Ok(()) }
    }

    /// Waits until no channel is on loan.
    pub(super) async fn drained(&self) {
        loop {
            let returned = self.returned.notified();
            if self.leased() == 0 {
                return;
            }
            returned.await;
        }
    }

    pub(super) fn leased(&self) -> usize {
        self.leased.load(Ordering::Acquire)
    }

    /// All connections; no other is made from now on.
    pub(super) fn close(&self) -> Vec<Conn<Connected>> {
        let mut slots = self.slots();
        slots.is_closed = true;
        slots.of.drain(..).map(|slot| slot.conn).collect()
    }

    pub(super) fn status(&self, settings: &Settings, channels: deadpool::Status) -> PoolStatus {
        let slots = self.slots();
        let connections = slots.of.iter().map(|slot| ConnectionStatus {
            number: slot.number,
            channels: slot.channels,
            is_retired: slot.retired.is_some(),
            round_trip: slot.round_trip,
            stats: slot.conn.stats(),
        });
        PoolStatus {
            max_channels: settings.channels(),
            max_connections: settings.connections,
            channels: channels.size,
            in_use: channels.size.saturating_sub(channels.available),
            available: channels.available,
            waiting: channels.waiting,
            connections: connections.collect(),
            created: self.channels_created.load(Ordering::Relaxed),
            evicted: self.channels_evicted.read(),
            connections_created: slots.made,
            connections_evicted: self.evicted.read(),
            checks: self.checks.load(Ordering::Relaxed),
        }
    }

    /// Nothing within can leave it half changed.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The number of its connection.
    pub(super) fn connection(&self) -> u64 {
        self.number
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = self.conns.slots();
        if let Some(slot) = slots.of.iter_mut().find(|slot| slot.number == self.number) {
            slot.channels = slot.channels.saturating_sub(1);
            slot.idle_since = Instant::now();
        }
        let gone = take(&mut slots.of, |slot| slot.retired.is_some() && slot.channels == 0);
        drop(slots);
        drop(gone);
        self.conns.leased.fetch_sub(1, Ordering::AcqRel);
        self.conns.returned.notify_waiters();
    }
}

/// Takes those out that are to go: dropping a connection closes it, and is not for under the lock.
fn take(slots: &mut Vec<Slot>, goes: impl FnMut(&mut Slot) -> bool) -> Vec<Slot> {
    slots.extract_if(.., goes).collect()
}
