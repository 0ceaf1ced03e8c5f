//! What the typestate API holds of a connection: the last one to go closes it.

use std::{
    io,
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use crate::{
    config::{Config, Hold},
    driver::{self, Shared},
    error::Error,
    fsm::supervisor::State,
    name::Realm,
    proto::{CallError, ChannelKey, Encoded, Loss},
    usage::UsageError,
    wire::{FRAME_MIN_SIZE, FieldTable, RawTable, Value},
};

/// A content header frame without its properties: frame, class, weight and body size (4.2.6.1).
const CONTENT_HEADER_FRAME: usize = 8 + 12;

/// The connection behind `Conn<Connected>` and everything made of it.
///
/// The connection lives while any handle of it lives: when the last is dropped, it closes.
#[derive(Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    config: Arc<Config>,
    realm: OnceLock<Arc<Realm>>,
}

impl Deref for Handle {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.command(|connection, now| {
            if connection.ended().is_none() {
                let call = connection.close(now);
                connection.abandon_call(now, call);
            }
        });
    }
}

impl Handle {
    /// Starts the task of a connection that is not dialled yet.
    ///
    /// # Errors
    /// When there is no tokio runtime to start it on.
    pub(crate) fn spawn(config: Arc<Config>) -> Result<Arc<Self>, Error> {
        let shared = driver::spawn(config.clone()).map_err(|error| Error::Network {
            loss: Loss::Unreachable,
            source: Some(Arc::new(io::Error::other(error))),
        })?;
        Ok(Arc::new(Handle { shared, config, realm: OnceLock::new() }))
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// How long calls wait, unless they say otherwise.
    pub(crate) fn call_timeout(&self) -> Duration {
        self.config.call_timeout
    }

    /// The broker and virtual host that tokens are bound to.
    pub(crate) fn realm(&self) -> &Arc<Realm> {
        self.realm.get_or_init(|| {
            let cluster = match self.server_properties().get("cluster_name") {
                Some(Value::LongString(name)) => String::from_utf8_lossy(name).into_owned(),
                // An older broker without a name: its addresses are the best there is.
                _ => self.config.hosts.iter().map(|host| format!("{host} ")).collect(),
            };
            let hosts = self.config.hosts.iter().map(ToString::to_string);
            Arc::new(Realm::new(&cluster, &self.config.vhost).reached_by(hosts))
        })
    }

    /// What the broker says of itself.
    pub(crate) fn server_properties(&self) -> FieldTable {
        let raw = self.look(|connection| {
            connection.negotiated().map(|negotiated| negotiated.server_properties.clone())
        });
        RawTable::new(&raw.unwrap_or_default()).decode().unwrap_or_default()
    }

    /// What a call does when the connection is lost: what it says, else what is configured.
    pub(crate) fn hold(&self, hold: Option<Hold>) -> Hold {
        hold.unwrap_or(self.config.while_recovering)
    }

    /// Why a call has to fail at once: the circuit breaker is open, or the connection is being
    /// recovered and the call, or else the configuration, says not to wait for that.
    pub(crate) fn refusal(&self, hold: Option<Hold>) -> Option<Error> {
        let now = self.now();
        let hold = self.hold(hold);
        let (circuit, lost) = self.look(|connection| {
            let supervisor = connection.supervisor();
            let circuit = supervisor.next_probe().map(|probe| probe.saturating_since(now));
            let is_down = matches!(supervisor.state(), State::Reconnecting | State::Recovering);
            let lost =
                (is_down && hold == Hold::FailFast).then(|| connection.last_cause().cloned());
            (circuit, lost.flatten())
        });
        if let Some(next_probe_in) = circuit {
            return Some(Error::CircuitOpen { next_probe_in });
        }
        lost.map(|cause| Error::from_cause(&cause, self.last_error()))
    }

    /// Whether a message fits for certain what was configured and negotiated. The smallest frame_max
    /// that can be negotiated carries what is usual; only what is larger needs a look at what was.
    #[inline]
    pub(crate) fn surely_fits(&self, message: &Encoded<'_>) -> bool {
        let (limits, properties) = (&self.config.limits, message.properties.len());
        message.size() as u64 <= limits.body_size
            && properties + CONTENT_HEADER_FRAME <= FRAME_MIN_SIZE as usize
            && properties <= limits.header_size
    }

    /// Whether a message fits what was configured and negotiated.
    #[cold]
    pub(crate) fn check_size(
        &self,
        frame_max: usize,
        message: &Encoded<'_>,
    ) -> Result<(), UsageError> {
        let properties = message.properties.len();
        let (size, max) = (message.size() as u64, self.config.limits.body_size);
        if size > max {
            return Err(UsageError::BodyTooLarge { size, max });
        }
        let what = "message properties";
        let max = frame_max.saturating_sub(CONTENT_HEADER_FRAME);
        if properties > max {
            return Err(UsageError::TooLargeForFrame { what, size: properties, max });
        }
        let max = self.config.limits.header_size;
        if properties > max {
            return Err(UsageError::HeadersTooLarge { size: properties, max });
        }
        Ok(())
    }

    /// The protocol's error in the user's words.
    pub(crate) fn error(&self, error: CallError) -> Error {
        Error::from_call(error, self.last_error())
    }

    /// Why the connection ended, if it has.
    pub(crate) fn ended(&self) -> Option<Error> {
        let cause = self.look(|connection| connection.ended().cloned())?;
        Some(Error::from_cause(&cause, self.last_error()))
    }

    /// Why a channel ended, if it has.
    pub(crate) fn channel_ended(&self, key: ChannelKey) -> Option<Error> {
        let cause = self.look(|connection| connection.channel_ended(key))?;
        Some(Error::from_cause(&cause, self.last_error()))
    }
}
