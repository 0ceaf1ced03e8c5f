//! What a broker is told before it listens.

use std::{io, sync::Arc, time::Duration};

use tokio::net::{TcpListener, ToSocketAddrs};

#[cfg(feature = "durable")]
use super::store::Store;
use super::{
    Broker, Listening, Permissions, Unbound,
    core::{Core, Limits, User},
    event::Source,
    port::{self, Scheme},
    session::Terms,
    shared::{Shared, seed, wall_clock},
    state::{CanListen, Plan, Running},
};

/// What a broker is told before it is bound. Made by [`Broker::builder`].
///
/// What is not set is as in RabbitMQ 4: a virtual host `/`, a user `guest` with the password
/// `guest` who may only come from this machine, frames up to 128 KiB, 2047 channels, messages up
/// to 16 MiB and a heartbeat of 60 seconds.
#[derive(Clone, Debug)]
#[must_use = "a broker listens once it is bound"]
pub struct Builder {
    users: Vec<(String, User)>,
    vhosts: Vec<String>,
    limits: Limits,
    terms: Terms,
    event_buffer: usize,
    #[cfg(feature = "durable")]
    durable: Option<std::path::PathBuf>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Builder {
            users: Vec::new(),
            vhosts: vec!["/".to_owned()],
            limits: Limits::default(),
            terms: Terms {
                channel_max: 2047,
                frame_max: 131_072,
                heartbeat: 60,
                loopback_users: vec!["guest".to_owned()],
                handshake: Duration::from_secs(10),
            },
            event_buffer: 1024,
            #[cfg(feature = "durable")]
            durable: None,
        }
    }

    /// Adds a user who may do everything. The first user replaces `guest`.
    pub fn user(self, name: impl Into<String>, password: impl AsRef<[u8]>) -> Self {
        self.user_with(name, password, Permissions::all())
    }

    /// Adds a user with these permissions. The first user replaces `guest`.
    pub fn user_with(
        mut self,
        name: impl Into<String>,
        password: impl AsRef<[u8]>,
        permissions: Permissions,
    ) -> Self {
        let user = User { password: password.as_ref().to_vec(), permissions };
        self.users.push((name.into(), user));
        self
    }

    /// Adds a virtual host besides `/`.
    pub fn vhost(mut self, name: impl Into<String>) -> Self {
        self.vhosts.push(name.into());
        self
    }

    /// Proposes this heartbeat timeout to clients, in whole seconds; zero proposes none.
    pub fn heartbeat(mut self, timeout: Duration) -> Self {
        self.terms.heartbeat = u16::try_from(timeout.as_secs()).unwrap_or(u16::MAX);
        self
    }

    /// Proposes frames up to this size, in octets; zero is no limit.
    pub fn frame_max(mut self, octets: u32) -> Self {
        self.terms.frame_max = octets;
        self
    }

    /// Proposes so many channels at most; zero is no limit.
    pub fn channel_max(mut self, channels: u16) -> Self {
        self.terms.channel_max = channels;
        self
    }

    /// Refuses messages whose body is larger.
    pub fn max_message_size(mut self, octets: usize) -> Self {
        self.limits.max_message_size = octets;
        self
    }

    /// Closes a channel whose transaction takes more than this; 256 MiB by default.
    pub fn max_transaction_size(mut self, octets: usize) -> Self {
        self.limits.transaction = octets;
        self
    }

    /// Blocks publishers while the messages in all queues take more than this.
    pub fn memory_limit(mut self, octets: usize) -> Self {
        self.limits.memory = Some(octets);
        self
    }

    /// Ends what leaves a delivery unsettled for longer (RabbitMQ's `consumer_timeout`); 30 minutes
    /// by default, and none for ever. As in RabbitMQ since 4.3, a consumer of a quorum queue is
    /// cancelled, and its delivery returns uncounted, if its client heeds `consumer_cancel_notify`;
    /// else the channel closes with 406. RabbitMQ no longer looks after other queues: here their
    /// channels close with 406, too, as they do in RabbitMQ up to 4.2.
    pub fn acknowledgement_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.limits.acknowledgement = timeout.into();
        self
    }

    /// How long a client may take until it has opened a virtual host; 10 seconds by default.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.terms.handshake = timeout;
        self
    }

    /// Accepts queues that are neither durable nor exclusive. RabbitMQ refuses them by default
    /// since 4.3.
    pub fn permit_transient_queues(mut self) -> Self {
        self.limits.transient_queues = true;
        self
    }

    /// Keeps so many events for whoever listens and is slow; 1024 by default.
    pub fn event_buffer(mut self, events: usize) -> Self {
        self.event_buffer = events;
        self
    }

    /// Keeps durable exchanges, queues and bindings, and the persistent messages in durable
    /// queues (of quorum queues and streams all messages) in this file, which is made where there
    /// is none: they outlive the broker and its machine. A publish is confirmed, and a
    /// transaction committed, only once that is stored; what was not acknowledged is delivered
    /// again, as redelivered. Feature `durable`.
    ///
    /// Binding it reads the file, and blocks for as long as that takes; dropping it writes what is
    /// left. Two brokers cannot share a file. Consumer offsets of streams are the clients', and the
    /// number of deliveries that a quorum queue has counted begins anew.
    ///
    /// What is confirmed together is stored together, with two `fsync`s, in two phases: whatever a
    /// crash or a power cut tears was not confirmed, and is cut off when the file is opened. That
    /// goes for a tail that is missing and for one of garbage, too, where nothing confirmed was in
    /// it. Where something that was confirmed cannot be read (all of it is compared with its
    /// checksums), nothing is served: binding fails with [`StoreError::Damaged`](super::StoreError),
    /// which says what to do. While the disk takes nothing, [`Event::NotStored`](super::Event) is
    /// announced once a second, and confirms wait.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
    /// # let file = std::env::temp_dir().join(format!("hopmq-doc-{}", std::process::id()));
    /// let broker = hopmq::broker::Broker::builder().durable(&file).bind("127.0.0.1:0").await?;
    /// # drop(broker);
    /// # std::fs::remove_file(file)?;
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "durable")]
    pub fn durable(mut self, file: impl Into<std::path::PathBuf>) -> Self {
        self.durable = Some(file.into());
        self
    }

    /// A broker so configured, that is not bound yet.
    pub fn build(self) -> Broker<Unbound> {
        let source = Source::new(self.event_buffer);
        Broker::with_inner(Box::new(Plan { builder: self, source }))
    }

    /// Builds it and binds it to an address, port 0 for a free one: the same as
    /// `.build().listen(address)`.
    ///
    /// # Errors
    /// What the operating system says where the address cannot be bound.
    pub async fn bind(self, address: impl ToSocketAddrs) -> io::Result<Broker<Listening>> {
        let listener = TcpListener::bind(address).await?;
        self.build().into_plan().start(listener, Scheme::Plain).map(Broker::with_inner)
    }

    /// The state of a broker, what it proposes to clients, and the first user's credentials as
    /// they are in an address.
    pub(super) fn parts(self, epoch: u64, seed: u64) -> (Core, Terms, String) {
        let mut core = Core::new(self.limits, epoch, seed);
        for vhost in &self.vhosts {
            core.add_vhost(vhost);
        }
        let mut users = self.users;
        if users.is_empty() {
            let guest = User { password: b"guest".to_vec(), permissions: Permissions::all() };
            users.push(("guest".to_owned(), guest));
        }
        let credentials = users.first().map_or_else(String::new, |(name, user)| {
            format!("{}:{}", encoded(name.as_bytes()), encoded(&user.password))
        });
        for (name, user) in users {
            core.add_user(&name, user);
        }
        (core, self.terms, credentials)
    }
}

impl Plan {
    /// Begins to serve.
    pub(super) fn start(self, listener: TcpListener, scheme: Scheme) -> io::Result<Box<Running>> {
        #[cfg_attr(not(feature = "durable"), allow(unused_mut))]
        let (mut core, terms, credentials) = self.builder.clone().parts(wall_clock(), seed());
        #[cfg(feature = "durable")]
        let store = match &self.builder.durable {
            Some(file) => {
                let store = Store::open(file, &mut core)?;
                core.keep();
                Some(store)
            }
            None => None,
        };
        let shared = Arc::new(Shared::new(core, terms, Arc::clone(&self.source.0)));
        #[cfg(feature = "durable")]
        if let Some(store) = store {
            shared.keep_in(store)?;
        }
        let address = port::open(&shared, listener, scheme.clone())?;
        shared.keep(tokio::spawn(port::tick(Arc::clone(&shared))).abort_handle());
        Ok(Box::new(Running {
            shared,
            address,
            scheme: scheme.name(),
            credentials,
            plan: self,
            cut: 0,
        }))
    }
}

/// Percent-encodes what an address does not take as it is (RFC 3986 section 2.3).
fn encoded(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(octet));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}
