//! The connection handshake (AMQP 0-9-1, 2.2.4), one step per type, named after what it awaits.
//!
//! A step consumes itself, so what an earlier step knew cannot be used too late.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

use super::{Mechanism, Settings, Violation, settings::FRAME_MAX_CAP};
use crate::wire::{
    FRAME_MIN_SIZE, Method, PROTOCOL_HEADER, RawTable, ShortStr, Value, encode,
    method::connection::{self, Open, OpenOk, StartOk, Tune, TuneOk},
};

/// What both peers agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Negotiated {
    /// The highest channel id.
    pub channel_max: u16,
    /// The largest frame in bytes, its overhead included.
    pub frame_max: u32,
    /// The heartbeat interval; zero is none.
    pub heartbeat: Duration,
    /// The broker's properties, encoded.
    pub server_properties: Bytes,
}

/// The handshake's next step, or its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// connection.start is awaited.
    AwaitStart(AwaitStart),
    /// connection.tune is awaited.
    AwaitTune(AwaitTune),
    /// connection.open-ok is awaited.
    AwaitOpenOk(AwaitOpenOk),
    /// The connection is open.
    Open(Negotiated),
}

/// The protocol header was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitStart {
    mechanisms: Vec<Mechanism>,
}

/// Credentials were sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitTune {
    server_properties: Bytes,
}

/// The virtual host was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AwaitOpenOk {
    negotiated: Negotiated,
}

/// Starts the handshake: sends the protocol header (4.2.2). Of the mechanisms the first that the
/// broker offers is used.
pub(super) fn begin(mechanisms: Vec<Mechanism>, out: &mut BytesMut) -> Step {
    out.extend_from_slice(&PROTOCOL_HEADER);
    Step::AwaitStart(AwaitStart { mechanisms })
}

impl Step {
    /// Handles the next method on channel 0.
    ///
    /// # Errors
    /// When it is not what the step awaits, or not acceptable.
    pub fn handle(
        self,
        method: Method<'_>,
        settings: &Settings,
        out: &mut BytesMut,
    ) -> Result<Step, Violation> {
        match (self, method) {
            (Step::AwaitStart(step), Method::ConnectionStart(start)) => {
                step.handle(start, settings, out)
            }
            (Step::AwaitTune(step), Method::ConnectionTune(tune)) => {
                step.handle(tune, settings, out)
            }
            (Step::AwaitTune(_), Method::ConnectionSecure(_)) => {
                Err(Violation::UnexpectedChallenge)
            }
            (Step::AwaitOpenOk(step), Method::ConnectionOpenOk(open_ok)) => {
                Ok(step.handle(open_ok))
            }
            (step, method) => {
                Err(Violation::UnexpectedMethod { method: method.id(), awaited: step.awaited() })
            }
        }
    }

    /// Whether credentials were sent and not accepted yet: a broker without the capability
    /// `authentication_failure_close` refuses them by closing the socket.
    pub fn is_authenticating(&self) -> bool {
        matches!(self, Step::AwaitTune(step) if !step.announces_failures())
    }

    fn awaited(&self) -> &'static str {
        match self {
            Step::AwaitStart(_) => "connection.start",
            Step::AwaitTune(_) => "connection.tune",
            Step::AwaitOpenOk(_) => "connection.open-ok",
            Step::Open(_) => "nothing",
        }
    }
}

impl AwaitStart {
    fn handle(
        self,
        start: connection::Start<'_>,
        settings: &Settings,
        out: &mut BytesMut,
    ) -> Result<Step, Violation> {
        let offered = || start.mechanisms.split(|byte| *byte == b' ');
        let chosen = self
            .mechanisms
            .iter()
            .find(|wanted| offered().any(|name| name == wanted.name.as_str().as_bytes()))
            .ok_or_else(|| Violation::NoMechanism {
                offered: Arc::from(String::from_utf8_lossy(start.mechanisms)),
            })?;
        let start_ok = StartOk {
            client_properties: RawTable::new(&settings.client_properties),
            mechanism: chosen.name.as_short(),
            response: &chosen.response.0,
            locale: ShortStr::new("en_US").unwrap_or(ShortStr::empty()),
        };
        encode::method(out, 0, &start_ok);
        let server_properties = Bytes::copy_from_slice(start.server_properties.as_bytes());
        Ok(Step::AwaitTune(AwaitTune { server_properties }))
    }
}

impl AwaitTune {
    fn handle(
        self,
        tune: Tune,
        settings: &Settings,
        out: &mut BytesMut,
    ) -> Result<Step, Violation> {
        if tune.frame_max != 0 && tune.frame_max < FRAME_MIN_SIZE {
            return Err(Violation::FrameMaxTooSmall(tune.frame_max));
        }
        let wanted = settings.heartbeat.as_secs().min(u64::from(u16::MAX)) as u16;
        // RabbitMQ's rule: the lower value, and the other side's where one is zero
        // (<https://www.rabbitmq.com/docs/heartbeats>).
        let heartbeat = lower_limit(tune.heartbeat, wanted).unwrap_or(0);
        let frame_max = lower_limit(tune.frame_max, settings.frame_max)
            .map_or(FRAME_MAX_CAP, |frame_max| frame_max.min(FRAME_MAX_CAP));
        let channel_max = lower_limit(tune.channel_max, settings.channel_max).unwrap_or(u16::MAX);
        encode::method(out, 0, &TuneOk { channel_max, frame_max, heartbeat });
        encode::method(out, 0, &Open { virtual_host: settings.virtual_host.as_short() });
        let negotiated = Negotiated {
            channel_max,
            frame_max,
            heartbeat: Duration::from_secs(heartbeat.into()),
            server_properties: self.server_properties,
        };
        Ok(Step::AwaitOpenOk(AwaitOpenOk { negotiated }))
    }

    fn announces_failures(&self) -> bool {
        let capabilities = RawTable::new(&self.server_properties).get("capabilities");
        match capabilities {
            Ok(Some(Value::Table(table))) => {
                table.get("authentication_failure_close").and_then(Value::as_bool).unwrap_or(false)
            }
            _ => false,
        }
    }
}

impl AwaitOpenOk {
    fn handle(self, _: OpenOk) -> Step {
        Step::Open(self.negotiated)
    }
}

/// The lower of two limits, where 0 means none.
fn lower_limit<T: Ord + Default + Copy>(a: T, b: T) -> Option<T> {
    let none = T::default();
    [a, b].into_iter().filter(|limit| *limit != none).min()
}
