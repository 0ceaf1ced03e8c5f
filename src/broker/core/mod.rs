//! The broker without sockets, tasks and clocks: virtual hosts, exchanges, queues and what
//! connections see of them. One call changes it, what follows from the call gathers as outputs
//! of the connections, and the caller takes those.
//!
//! | Question | File |
//! |---|---|
//! | what does a connection or channel hold | `peer`, `channel` |
//! | declare, bind, delete | `topology`, `declare_queue`, `arguments`, `exchange` |
//! | publish, route, confirm, return | `publish`, `exchange`, `topic`, `headers` |
//! | consume, deliver, get | `deliver`, `queue`, `stream` |
//! | ack, reject, requeue, recover, commit | `settle`, `transaction` |
//! | expiry, length limits, dead letters | `lifetime`, `dead_letter` |
//! | what outlives the broker | `durable` |
//! | who may do what | `permission` |
//! | what is there to be seen from outside | `inspect` |
//! | the texts of refusals | `refusal` |

mod arguments;
mod channel;
mod dead_letter;
mod declare_queue;
mod deliver;
mod durable;
mod exchange;
mod headers;
mod inspect;
#[cfg(test)]
mod invariants;
mod lifetime;
mod message;
mod name;
mod output;
mod peer;
mod permission;
mod publish;
mod queue;
mod refusal;
mod reply_to;
mod settle;
mod stream;
mod topic;
mod topology;
mod transaction;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

#[cfg(feature = "durable")]
pub(crate) use durable::Batch;
pub(crate) use message::{Body, Content, Message};
pub(crate) use name::Name;
pub(crate) use output::{Output, Reply};
pub(crate) use peer::{ChannelState, Introduction};
pub(crate) use refusal::Refusal;

use dead_letter::Dead;
use exchange::VHost;
use peer::Peer;
#[cfg_attr(not(feature = "durable"), allow(unused_imports))]
pub(crate) use queue::QueueId;
use queue::{ConsumerId, Queue};

use crate::{
    broker::{event::Journal, permissions::Permissions},
    fsm::{Aside, Time},
    wire::MethodId,
};

/// Names a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConnId(pub(crate) u64);

/// A channel of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At {
    pub(crate) conn: ConnId,
    pub(crate) channel: u16,
}

/// The bounds that the core keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Limits {
    /// The largest body that a queue takes.
    pub(crate) max_message_size: usize,
    /// Octets of messages in all queues, above which publishers are blocked.
    pub(crate) memory: Option<usize>,
    /// Octets that one connection may have waiting to be sent before its consumers pause.
    pub(crate) backlog: usize,
    /// Octets that one transaction may hold.
    pub(crate) transaction: usize,
    /// How long a delivery may stay unsettled.
    pub(crate) acknowledgement: Option<Duration>,
    /// Whether queues may be neither durable nor exclusive.
    pub(crate) transient_queues: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            // RabbitMQ's default since 4.0.
            max_message_size: 16 * 1024 * 1024,
            memory: None,
            backlog: 1024 * 1024,
            transaction: 256 * 1024 * 1024,
            // RabbitMQ's consumer_timeout.
            acknowledgement: Some(Duration::from_secs(30 * 60)),
            transient_queues: false,
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub(crate) password: Vec<u8>,
    pub(crate) permissions: Permissions,
}

/// The broker's whole state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Core {
    limits: Limits,
    users: BTreeMap<Name, User>,
    vhosts: Vec<VHost>,
    queues: BTreeMap<QueueId, Queue>,
    peers: BTreeMap<ConnId, Peer>,
    /// When something of a queue falls due.
    timers: BTreeSet<(Time, QueueId)>,
    /// When unsettled deliveries are to be looked at.
    overdue: Option<Time>,
    /// When confirms that are delayed by decree are to be looked at.
    confirms_due: Option<Time>,
    /// Connections that have something to send and may not know it.
    wakes: Vec<ConnId>,
    /// Messages on their way to a dead letter exchange.
    dead: VecDeque<Dead>,
    /// The consumers behind the addresses of direct replies.
    reply_addresses: BTreeMap<Name, At>,
    /// Octets of messages in queues, and delivered but not settled.
    stored: usize,
    /// Whether publishers are blocked by decree, whatever is stored.
    alarm: bool,
    /// Whether memory was short when it was last looked at.
    was_short: bool,
    /// What listeners were told of that.
    announced: bool,
    /// What is done wrong on purpose.
    pub(crate) mischief: Mischief,
    /// What happened, for whoever listens.
    pub(crate) journal: Aside<Journal>,
    /// What is to be stored, where there is a store.
    durable: Option<Box<durable::Durable>>,
    /// Seconds since 1970 at the origin of the core's time.
    epoch: u64,
    seed: u64,
    last_queue: u64,
    last_consumer: u64,
    last_name: u64,
    /// Reused by routing.
    routed: Vec<QueueId>,
}

/// Faults that tests ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mischief {
    /// Confirms stay with the broker until this is off again.
    pub(crate) withhold_confirms: bool,
    /// Confirms are told so much later than they could be.
    pub(crate) delay_confirms: Duration,
    /// Confirms that are told together are told one by one, the last first.
    pub(crate) reverse_confirms: bool,
    /// The connection on which this method arrives next is cut: before it is done, or after.
    pub(crate) cut_before: Option<MethodId>,
    pub(crate) cut_after: Option<MethodId>,
    /// The connection on which the n-th frame from now arrives is cut instead of reading it.
    pub(crate) cut_at_frame: Option<u64>,
    /// So many of the next publishes on confirming channels are not taken, and nacked.
    pub(crate) nack_publishes: u64,
}

impl Core {
    /// A broker with one virtual host, `/`, and no users. `epoch` is what the clock on the wall
    /// shows, in seconds since 1970, at the origin of the times passed to it; `seed` makes the
    /// generated names differ from those of other brokers.
    pub(crate) fn new(limits: Limits, epoch: u64, seed: u64) -> Self {
        Core {
            limits,
            users: BTreeMap::new(),
            vhosts: vec![VHost::new(Name::literal("/"))],
            queues: BTreeMap::new(),
            peers: BTreeMap::new(),
            timers: BTreeSet::new(),
            overdue: None,
            confirms_due: None,
            wakes: Vec::new(),
            dead: VecDeque::new(),
            reply_addresses: BTreeMap::new(),
            stored: 0,
            alarm: false,
            was_short: false,
            announced: false,
            mischief: Mischief::default(),
            journal: Aside::default(),
            durable: None,
            epoch,
            seed,
            last_queue: 0,
            last_consumer: 0,
            last_name: 0,
            routed: Vec::new(),
        }
    }

    /// The bounds it keeps.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Adds a virtual host; one that exists stays as it is.
    pub(crate) fn add_vhost(&mut self, name: &str) {
        let name = Name::from(name);
        if self.vhost_index(&name).is_none() {
            self.vhosts.push(VHost::new(name));
        }
    }

    /// Adds a user, or gives one that exists a new password and other virtual hosts.
    pub(crate) fn add_user(&mut self, name: &str, user: User) {
        self.users.insert(Name::from(name), user);
    }

    /// Whether these credentials are good.
    pub(crate) fn authenticate(&self, user: &[u8], password: &[u8]) -> bool {
        self.users.get(user).is_some_and(|known| same(&known.password, password))
    }

    /// Whether there is such a user.
    pub(crate) fn knows_user(&self, user: &[u8]) -> bool {
        self.users.contains_key(user)
    }

    /// The connections that have something to send since the last call.
    pub(crate) fn take_wakes(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.wakes);
    }

    /// When `handle_timeout` is to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let queues = self.timers.first().map(|(due, _)| *due);
        queues.into_iter().chain(self.overdue).chain(self.confirms_due).min()
    }

    fn vhost_index(&self, name: &Name) -> Option<usize> {
        self.vhosts.iter().position(|vhost| vhost.name == *name)
    }

    /// Seconds since 1970.
    fn wall_clock(&self, now: Time) -> u64 {
        self.epoch + now.saturating_since(Time::ZERO).as_secs()
    }

    /// Makes a name such as `amq.gen-JzTY20BRgKO-HjmUJj0wLg`: the prefix and 128 bits that
    /// follow from the seed and a counter.
    fn generate_name(&mut self, prefix: &str) -> Name {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        self.last_name += 1;
        let high = mixed(self.seed ^ mixed(self.last_name));
        let low = mixed(high ^ self.seed.rotate_left(32) ^ self.last_name);
        let mut bits = u128::from(high) << 64 | u128::from(low);
        let mut name = String::with_capacity(prefix.len() + 22);
        name.push_str(prefix);
        for _ in 0..22 {
            let index = usize::try_from(bits & 63).unwrap_or(0);
            name.push(ALPHABET.get(index).copied().map_or('A', char::from));
            bits >>= 6;
        }
        Name::from(name.as_str())
    }

    fn next_consumer(&mut self) -> ConsumerId {
        self.last_consumer += 1;
        ConsumerId(self.last_consumer)
    }
}

/// Compares without telling by its duration where the difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differing, (one, other)| differing | (one ^ other)) == 0
}

/// The finalizer of splitmix64: every bit of the input changes half the bits of the output.
pub(super) fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// How long a duration of the arguments is at most; a longer one never ends.
fn deadline(now: Time, after: Duration) -> Time {
    now + after
}
