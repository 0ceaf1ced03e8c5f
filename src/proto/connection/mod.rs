//! The client's connection: bytes and commands in, bytes and wakes out.
//!
//! One value holds everything: the supervisor, the handshake, the channels, what waits for the
//! socket. Whoever drives it changes it by one call, then drains the outputs; see the
//! [module](super) for the order.

use std::{collections::VecDeque, ops::Range, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;

use super::{
    Arrival, Batch, CallError, CallId, Cause, ChanStats, ChannelKey, ChannelTransition,
    ConsumerEnd, ConsumerKey, Content, Destination, Entity, Exception, Interruption, Kept, Loss,
    Mechanism, Outcome, Reply, Request, ReturnedContent, Scope, Secret, Settings, SettleError,
    Settlement, Traffic, Violation, WaiterId, Wakes, WhenCancelled,
    channel::{self, Channel},
    consumer_number,
    core::{COARSE, Core},
    handshake::{self, Negotiated, Step},
    heartbeat::Heartbeat,
    ids::ChannelIds,
    records::Records,
};
use crate::{
    fsm::{
        CauseId, Supervisor, Time,
        supervisor::{self, End, Reasons, Retry},
    },
    wire::{
        Decoder, FRAME_MIN_SIZE, Frame, FrameKind, Method, MethodFrame, MethodId, ReplyCode,
        ShortStr, ShortString, encode, method::connection,
    },
};

mod commands;
mod frames;
mod inbound;
mod inputs;
mod life;
mod mending;
mod outgoing;
mod recovery;

use mending::Mending;
pub use outgoing::{Accepted, Encoded, Outgoing, Publishing, Route};
use recovery::{Broken, Recovery};
pub use recovery::{EntityReport, NotRecovered};

/// What the driver is to do in the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Open a socket, then call [`Connection::handle_dialed`] or
    /// [`Connection::handle_dial_failed`].
    Dial {
        /// The attempt's number, never used twice.
        attempt: u64,
    },
    /// The handshake over this socket came to nothing: drop it, and open one to the next host, as
    /// part of the same attempt. When there is none, call [`Connection::handle_dial_failed`].
    DialNext {
        /// What went wrong with this host.
        cause: Arc<Cause>,
    },
    /// Stop dialling or shaking hands, and drop the socket.
    Abort,
    /// Write what is in the batch, for a moment at most, then drop the socket.
    Shut,
}

/// What one host may take of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Turn {
    /// When the handshake must be over.
    pub until: Time,
    /// The attempt has others, tried before or still to be tried: what another host may do better
    /// is answered with [`Action::DialNext`].
    pub among_others: bool,
}

/// What was not finished when a connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct LeftOver {
    /// Publishes that the broker had not answered: each of them is told so.
    pub unconfirmed: usize,
    /// Deliveries that this program held and had not settled: the broker has put them back.
    pub unsettled: usize,
}

impl LeftOver {
    /// Whether everything was finished.
    pub fn is_nothing(&self) -> bool {
        *self == LeftOver::default()
    }
}

/// A transition of the connection, and why, where something failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// From which state to which.
    pub transition: supervisor::Transition,
    /// What failed.
    pub cause: Option<Arc<Cause>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Link {
    /// No socket.
    Down,
    /// Shaking hands; the supervisor keeps the deadline.
    Handshake(Step),
    /// Open for channels.
    Up,
    /// connection.close is on its way; the supervisor keeps the deadline.
    Closing,
}

/// A client connection, pure: no socket, no clock, no task.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    settings: Arc<Settings>,
    /// For jitter.
    seed: u64,
    supervisor: Supervisor,
    link: Link,
    decoder: Decoder,
    negotiated: Option<Arc<Negotiated>>,
    heartbeat: Heartbeat,
    ids: ChannelIds,
    channels: Records,
    core: Core,
    epoch: u32,
    blocked: Option<Arc<str>>,
    ended: Option<Arc<Cause>>,
    last_cause: Option<Arc<Cause>>,
    causes: u64,
    attempt: u64,
    /// While shaking hands: since when, and what the host may take.
    turn: Option<(Time, Turn)>,
    connecting: Option<CallId>,
    closing: Option<CallId>,
    secret_calls: VecDeque<CallId>,
    /// Closing waits for the outcome of publishes, and for deliveries to be settled.
    draining: bool,
    /// Deliveries that were taken from here, and that nobody has seen yet.
    untaken: usize,
    left_over: LeftOver,
    /// A sign of life of the peer is late.
    late: bool,
    recovery: Option<Recovery>,
    broken: Vec<Broken>,
    mending: Mending,
    reports: VecDeque<EntityReport>,
    renamed: VecDeque<(ShortString, ShortString)>,
    actions: VecDeque<Action>,
}

impl Connection {
    /// A connection that has not been dialled. The seed is for jitter.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Connection {
            seed,
            supervisor: Supervisor::new(settings.policy.clone(), seed),
            link: Link::Down,
            decoder: Decoder::new(handshake_frame_max(&settings)),
            negotiated: None,
            heartbeat: Heartbeat::new(Duration::ZERO, Time::ZERO),
            ids: ChannelIds::new(0),
            channels: Records::default(),
            core: Core::new(settings.limits.clone()),
            epoch: 0,
            blocked: None,
            ended: None,
            last_cause: None,
            causes: 0,
            attempt: 0,
            turn: None,
            connecting: None,
            closing: None,
            secret_calls: VecDeque::new(),
            draining: false,
            untaken: 0,
            left_over: LeftOver::default(),
            late: false,
            recovery: None,
            broken: Vec::new(),
            mending: Mending::default(),
            reports: VecDeque::new(),
            renamed: VecDeque::new(),
            actions: VecDeque::new(),
            settings: Arc::new(settings),
        }
    }

    /// Why the connection ended, if it has.
    pub fn ended(&self) -> Option<&Arc<Cause>> {
        self.ended.as_ref()
    }

    /// Whether the handshake is over and the socket serves channels.
    pub fn is_up(&self) -> bool {
        matches!(self.link, Link::Up)
    }

    /// What failed last.
    pub fn last_cause(&self) -> Option<&Arc<Cause>> {
        self.last_cause.as_ref()
    }

    /// Why a channel ended, if it has.
    pub fn channel_ended(&self, key: ChannelKey) -> Option<Arc<Cause>> {
        match self.channels.get(key) {
            Some(channel) => channel.ended.clone(),
            None => Some(Arc::new(Cause::ByUs)),
        }
    }

    /// What is going on on a channel; nothing on one that has ended.
    pub fn channel_stats(&self, key: ChannelKey) -> ChanStats {
        let channel = self.channels.get(key).filter(|channel| channel.ended.is_none());
        channel.map(|channel| channel.stats()).unwrap_or_default()
    }

    /// The id of a channel on the wire.
    pub fn channel_id(&self, key: ChannelKey) -> Option<u16> {
        self.channels.get(key).map(|channel| channel.id)
    }

    /// The broker's reason for connection.blocked, while it holds.
    pub fn blocked(&self) -> Option<&Arc<str>> {
        self.blocked.as_ref()
    }

    /// What was negotiated, once the connection was open.
    pub fn negotiated(&self) -> Option<&Arc<Negotiated>> {
        self.negotiated.as_ref()
    }

    /// The largest frame that was negotiated; before that, what every peer takes.
    #[inline]
    pub fn frame_max(&self) -> usize {
        self.negotiated.as_ref().map_or(FRAME_MIN_SIZE, |negotiated| negotiated.frame_max) as usize
    }

    /// The machine that supervises the connection.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// The current epoch: how many times the connection was opened.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Messages that were published again after a lost connection.
    pub fn replayed(&self) -> u64 {
        *self.core.replayed
    }

    /// What went through it.
    pub fn traffic(&self) -> Traffic {
        *self.core.traffic
    }

    /// Channels that have not ended.
    pub fn open_channels(&self) -> usize {
        self.channels.iter().filter(|channel| channel.ended.is_none()).count()
    }

    /// Deliveries on all channels that were taken from here and are not settled.
    pub fn unsettled(&self) -> usize {
        self.channels.iter().map(|channel| channel.unsettled()).sum()
    }

    /// Bytes of deliveries that wait for their consumers.
    pub fn waiting_len(&self) -> usize {
        self.channels.iter().map(|channel| channel.waiting_len()).sum()
    }

    /// Unconfirmed publishes on all channels.
    pub fn unconfirmed(&self) -> usize {
        self.channels.iter().map(|channel| channel.ledger.outstanding()).sum()
    }
}

/// For calls whose end is bounded by deadlines elsewhere.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

fn handshake_frame_max(settings: &Settings) -> u32 {
    // connection.start can be larger than the protocol's minimum: brokers list many properties.
    match settings.frame_max {
        0 => 128 * 1024,
        wanted => wanted.max(8192),
    }
}

fn gone() -> CallError {
    CallError::Ended(Arc::new(Cause::ByUs))
}
