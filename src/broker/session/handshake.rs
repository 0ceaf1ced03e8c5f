//! From the protocol header to connection.open (AMQP 0-9-1 section 2.2.4).

use super::{Core, Hard, Name, Phase, Session, outgoing};
use crate::{
    broker::{ConnectionId, event::Event},
    fsm::Time,
    wire::{
        FieldTable, MethodFrame, PROTOCOL_HEADER, RawTable, ReplyCode, ShortStr, Value,
        method::connection,
    },
};

/// RabbitMQ's smallest frame_max since 4.1.
const FRAME_MAX_LEAST: u32 = 8192;

impl Session {
    /// Reads the protocol header. Another one than ours is answered with ours, as the
    /// specification wants, and the connection ends.
    pub(super) fn greet(&mut self, block: &[u8]) -> usize {
        let Some(header) = block.first_chunk::<8>() else {
            // What does not begin like one never becomes one.
            if !PROTOCOL_HEADER.starts_with(block.get(..4.min(block.len())).unwrap_or_default()) {
                self.turn_away();
            }
            return 0;
        };
        match header {
            &PROTOCOL_HEADER | b"AMQP\x01\x01\x00\x09" => {
                self.start();
                8
            }
            _ => {
                self.turn_away();
                0
            }
        }
    }

    fn turn_away(&mut self) {
        self.direct.extend_from_slice(&PROTOCOL_HEADER);
        self.phase = Phase::Closed;
    }

    fn start(&mut self) {
        let properties = server_properties().encode();
        self.say(&connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new(&properties),
            mechanisms: match self.external {
                Some(_) => b"PLAIN AMQPLAIN EXTERNAL",
                None => b"PLAIN AMQPLAIN",
            },
            locales: b"en_US",
        });
        self.phase = Phase::Starting;
    }

    pub(super) fn start_ok(
        &mut self,
        core: &mut Core,
        start: &connection::StartOk<'_>,
        now: Time,
    ) -> Result<(), Hard> {
        self.note_capabilities(start.client_properties);
        let mechanism = start.mechanism;
        if let (b"EXTERNAL", Some(user)) = (mechanism.as_bytes(), self.external.clone()) {
            // The TLS library has checked the certificate.
            let good = core.knows_user(user.as_bytes()) && self.may_come(user.as_bytes());
            self.log_in(core, mechanism, user.as_bytes(), good, now);
            return Ok(());
        }
        let credentials = match mechanism.as_bytes() {
            b"PLAIN" => plain(start.response),
            b"AMQPLAIN" => amqplain(start.response),
            _ => {
                return Err(Hard::new(
                    ReplyCode::COMMAND_INVALID,
                    format_args!("unknown authentication mechanism '{mechanism}'"),
                    connection::StartOk::ID,
                ));
            }
        };
        let (claimed, password) = credentials.unwrap_or_default();
        let good = core.authenticate(&claimed, &password) && self.may_come(&claimed);
        self.log_in(core, mechanism, &claimed, good, now);
        Ok(())
    }

    fn log_in(
        &mut self,
        core: &mut Core,
        mechanism: ShortStr<'_>,
        claimed: &[u8],
        good: bool,
        now: Time,
    ) {
        let connection = ConnectionId(self.conn);
        let user = String::from_utf8_lossy(claimed).into_owned();
        core.journal.note(match good {
            true => Event::Authenticated { connection, user },
            false => Event::LoginDenied { connection, user },
        });
        match good.then(|| Name::copy(claimed)) {
            Some(user) => {
                self.who.user = user;
                self.authenticated = true;
                self.say(&connection::Tune {
                    channel_max: self.terms.channel_max,
                    frame_max: self.terms.frame_max,
                    heartbeat: self.terms.heartbeat,
                });
                self.phase = Phase::Tuning;
            }
            None if self.failure_close => {
                let refusal = super::Refusal::access(format_args!(
                    "Login was refused using authentication mechanism {mechanism}. For details \
                     see the broker logfile."
                ));
                self.begin_close(&refusal, super::NO_METHOD, now);
            }
            None => self.phase = Phase::Closed,
        }
    }

    pub(super) fn tune_ok(&mut self, tune: connection::TuneOk) -> Result<(), Hard> {
        negotiated(
            "frame_max",
            tune.frame_max,
            FRAME_MAX_LEAST.min(self.terms.frame_max),
            self.terms.frame_max,
        )?;
        negotiated("channel_max", tune.channel_max.into(), 1, self.terms.channel_max.into())?;
        self.frame_max = match tune.frame_max {
            0 => u32::MAX,
            limit => limit,
        };
        self.channel_max = tune.channel_max;
        self.heartbeat = std::time::Duration::from_secs(tune.heartbeat.into());
        // Clients that count the frame's overhead wrongly are tolerated, as in RabbitMQ.
        self.decoder.set_frame_max(self.frame_max.saturating_add(8));
        self.phase = Phase::Opening;
        Ok(())
    }

    pub(super) fn open(
        &mut self,
        core: &mut Core,
        open: &connection::Open<'_>,
    ) -> Result<(), Hard> {
        let vhost = Name::from(open.virtual_host);
        core.open(self.conn, &vhost, self.who.clone())
            .map_err(|refusal| Hard { refusal, method: connection::Open::ID })?;
        self.say(&connection::OpenOk {});
        // Whoever did not wait for it may have had a channel opened meanwhile.
        self.ahead = self.direct.len();
        self.phase = Phase::Open;
        self.deadline = None;
        Ok(())
    }

    fn note_capabilities(&mut self, properties: RawTable<'_>) {
        let capabilities = match properties.get("capabilities") {
            Ok(Some(Value::Table(capabilities))) => capabilities,
            _ => FieldTable::new(),
        };
        let has = |name| capabilities.get(name) == Some(&Value::Bool(true));
        self.who.cancel_notify = has("consumer_cancel_notify");
        self.who.blocked_notify = has("connection.blocked");
        self.failure_close = has("authentication_failure_close");
    }

    /// RabbitMQ lets guest in from the same machine alone.
    fn may_come(&self, user: &[u8]) -> bool {
        self.local || !self.terms.loopback_users.iter().any(|only| only.as_bytes() == user)
    }
}

/// What RabbitMQ tells about itself, as far as clients act upon it.
fn server_properties() -> FieldTable {
    let capabilities = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ]
    .into_iter()
    .fold(FieldTable::new(), |mut table, name| {
        outgoing::put(&mut table, name, Value::Bool(true));
        table
    });
    let mut properties = FieldTable::new();
    outgoing::put(&mut properties, "capabilities", Value::Table(capabilities));
    for (name, value) in [
        ("product", "HopMQ"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("platform", "Rust"),
        ("information", "An embedded broker with the semantics of RabbitMQ 4"),
    ] {
        outgoing::put(&mut properties, name, Value::from(value));
    }
    properties
}

/// An authorization identity, a user and a password, each after a zero (RFC 4616).
fn plain(response: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let _authorize_as = parts.next()?;
    Some((parts.next()?.to_vec(), parts.next()?.to_vec()))
}

/// RabbitMQ's own mechanism: a table without its length.
fn amqplain(response: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let table = RawTable::new(response).decode().ok()?;
    let field = |name| match table.get(name) {
        Some(Value::LongString(octets)) => Some(octets.to_vec()),
        _ => None,
    };
    Some((field("LOGIN")?, field("PASSWORD")?))
}

/// Checks what the client made of a proposed limit, where 0 stands for none.
fn negotiated(field: &str, client: u32, least: u32, proposed: u32) -> Result<(), Hard> {
    let detail = if client == 0 { " (no limit)" } else { "" };
    let (wrong, bound, limit) = if client != 0 && client < least {
        ("lower", "minimum", least)
    } else if proposed != 0 && (client == 0 || client > proposed) {
        ("higher", "maximum", proposed)
    } else {
        return Ok(());
    };
    Err(Hard::new(
        ReplyCode::NOT_ALLOWED,
        format_args!(
            "negotiated {field} = {client}{detail} is {wrong} than the {bound} allowed value ({limit})"
        ),
        connection::Tune::ID,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_responses_are_taken_apart() {
        assert_eq!(plain(b"\0guest\0se\0cret"), Some((b"guest".to_vec(), b"se\0cret".to_vec())));
        assert_eq!(plain(b"x\0\0"), Some((vec![], vec![])));
        assert_eq!(plain(b"guest"), None);
    }

    #[test]
    fn limits_that_are_not_as_proposed_are_refused_in_rabbitmqs_words() {
        let text =
            |client| negotiated("frame_max", client, 8192, 131_072).unwrap_err().refusal.text();
        assert_eq!(
            text(100),
            "NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum allowed value (8192)"
        );
        assert_eq!(
            text(0),
            "NOT_ALLOWED - negotiated frame_max = 0 (no limit) is higher than the maximum allowed \
             value (131072)"
        );
        assert!(negotiated("frame_max", 131_072, 8192, 131_072).is_ok());
        assert!(negotiated("frame_max", 0, 8192, 0).is_ok());
    }
}
