//! One connection as the broker sees it: from bytes to calls of the core, and from the core's
//! outputs to bytes. Pure: the socket and the clock are the listener's.
//!
//! ```text
//! Greeting --protocol header--> Starting --start-ok--> Tuning --tune-ok--> Opening --open--> Open
//! any --connection.close sent--> Closing --close-ok--> Closed
//! Open --connection.close received--> Closed
//! ```

mod assembly;
mod dispatch;
mod handshake;
#[cfg(test)]
mod hostile;
mod outgoing;
mod refused;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};

pub(crate) use outgoing::Outgoing;

use super::core::{At, ChannelState, ConnId, Core, Introduction, Name, Output, Refusal};
use crate::{
    broker::{
        ConnectionId,
        event::{Budget, Ending, Event},
    },
    fsm::Time,
    wire::{Decoder, FrameKind, Method, MethodFrame, MethodId, ReplyCode, encode, method},
};
use assembly::Assembly;
use refused::{bad_frame, bad_method, out_of_place, unexpected};

/// What the broker proposes and tells about itself to every client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Terms {
    pub(crate) channel_max: u16,
    pub(crate) frame_max: u32,
    pub(crate) heartbeat: u16,
    /// Users that may only come from this machine.
    pub(crate) loopback_users: Vec<String>,
    /// How long a client may take to get to connection.open.
    pub(crate) handshake: Duration,
}

/// The protocol of one connection, in the broker's role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    conn: ConnId,
    terms: Arc<Terms>,
    /// Whether the client is on this machine.
    local: bool,
    phase: Phase,
    decoder: Decoder,
    /// As negotiated.
    frame_max: u32,
    channel_max: u16,
    heartbeat: Duration,
    who: Introduction,
    failure_close: bool,
    /// Content that is on its way, by channel.
    assemblies: BTreeMap<u16, Assembly>,
    /// What the session itself has to say, on channel 0, and how much of it goes before all that
    /// the core says.
    direct: BytesMut,
    ahead: usize,
    /// When the client was last heard, and when something was last sent to it.
    heard: Time,
    spoke: Time,
    /// When the phase ends by itself.
    deadline: Option<Time>,
    /// How the connection ends, as far as it is known.
    ending: Ending,
    /// The budget of time that it has used up.
    exhausted: Option<Budget>,
    /// A fault has cut it.
    mute: bool,
    /// Whom the client's certificate names.
    external: Option<Name>,
    /// Whether a user has logged in; and the octets that came before that.
    authenticated: bool,
    unasked: usize,
    /// Octets that are to be presented again.
    kept: usize,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Greeting,
    Starting,
    Tuning,
    Opening,
    Open,
    /// connection.close was sent; all else is dropped until the answer.
    Closing,
    /// To be hung up once everything is sent.
    Closed,
}

impl Phase {
    /// As RabbitMQ's texts call it.
    const fn name(self) -> &'static str {
        match self {
            Phase::Greeting | Phase::Starting => "starting",
            Phase::Tuning => "tuning",
            Phase::Opening => "opening",
            Phase::Open => "running",
            Phase::Closing => "closing",
            Phase::Closed => "closed",
        }
    }
}

/// Why a frame ends the connection.
#[derive(Debug)]
struct Hard {
    refusal: Refusal,
    method: MethodId,
}

impl Hard {
    fn new(code: ReplyCode, text: impl std::fmt::Display, method: MethodId) -> Self {
        Hard { refusal: Refusal::new(code, text), method }
    }
}

impl Hard {
    /// The same, since a budget is used up.
    fn for_budget(self, budget: Budget) -> Self {
        Hard { refusal: self.refusal.for_budget(budget), ..self }
    }
}

const NO_METHOD: MethodId = MethodId { class: 0, method: 0 };

/// How long an answer to connection.close is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets that a client may send before it has logged in.
const BEFORE_LOGIN: usize = 64 * 1024;

/// Frames are small until the limit is negotiated.
const FIRST_FRAME_MAX: u32 = 8192;

impl Session {
    /// A connection that was just accepted.
    pub(crate) fn new(conn: ConnId, terms: Arc<Terms>, local: bool, now: Time) -> Self {
        let deadline = Some(now + terms.handshake);
        Session {
            conn,
            local,
            phase: Phase::Greeting,
            decoder: Decoder::new(FIRST_FRAME_MAX),
            frame_max: FIRST_FRAME_MAX,
            channel_max: terms.channel_max,
            heartbeat: Duration::ZERO,
            terms,
            who: Introduction::default(),
            failure_close: false,
            assemblies: BTreeMap::new(),
            direct: BytesMut::new(),
            ahead: 0,
            heard: now,
            spoke: now,
            deadline,
            ending: Ending::Lost,
            exhausted: None,
            mute: false,
            external: None,
            authenticated: false,
            unasked: 0,
            kept: 0,
        }
    }

    /// Takes in bytes. Returns how many of them are done with: the rest is to be presented
    /// again, with more behind it.
    pub(crate) fn receive(&mut self, core: &mut Core, block: &Bytes, now: Time) -> usize {
        self.heard = now;
        if !self.authenticated && self.overspends(core, block.len().saturating_sub(self.kept)) {
            return block.len();
        }
        let done = self.take(core, block, now);
        self.kept = block.len().saturating_sub(done);
        done
    }

    fn take(&mut self, core: &mut Core, block: &Bytes, now: Time) -> usize {
        let mut at = 0;
        if self.phase == Phase::Greeting {
            at = self.greet(block);
        }
        while !matches!(self.phase, Phase::Greeting | Phase::Closed) {
            match self.decoder.next(block, &mut at) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    if let Err(hard) = self.frame(core, frame, block, now) {
                        self.fail(core, hard, now);
                    }
                }
                Err(error) => {
                    let Some(hard) = bad_frame(&error, block.get(at..).unwrap_or_default()) else {
                        break;
                    };
                    // The stream has lost its frames: nothing after this can be read.
                    self.fail(core, hard, now);
                    self.decoder = Decoder::new(FIRST_FRAME_MAX);
                    return block.len();
                }
            }
        }
        if self.phase == Phase::Closed {
            return block.len();
        }
        if self.phase == Phase::Open {
            core.flush(self.conn, now);
        }
        at
    }

    /// Encodes what the core and the session have to say, and empties both.
    pub(crate) fn speak(&mut self, outputs: &mut Vec<Output>, out: &mut Outgoing, now: Time) {
        if self.mute {
            outputs.clear();
            self.direct.clear();
        }
        let ahead = std::mem::take(&mut self.ahead).min(self.direct.len());
        if ahead > 0 {
            out.raw(&self.direct.split_to(ahead));
        }
        for output in outputs.drain(..) {
            match output {
                Output::CloseConnection { refusal, method } => {
                    self.begin_close(&refusal, method, now);
                    out.raw(&self.direct.split());
                }
                output => out.output(&output, self.frame_max),
            }
        }
        if !self.direct.is_empty() {
            out.raw(&self.direct.split());
        }
        if !out.is_empty() {
            self.spoke = now;
        }
    }

    /// When `handle_timeout` is to be called next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let mut due = self.deadline;
        if !self.heartbeat.is_zero() && self.phase == Phase::Open {
            let speak = self.spoke + self.heartbeat / 2;
            let listen = self.heard + self.heartbeat * 2;
            due = due.into_iter().chain([speak, listen]).min();
        }
        due
    }

    /// Sends a heartbeat, or gives the client up (AMQP 0-9-1 section 4.2.7).
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            if self.phase != Phase::Closing {
                self.exhausted = Some(Budget::HandshakeTime);
                self.ending = Ending::TimedOut;
            }
            self.phase = Phase::Closed;
            return;
        }
        if self.heartbeat.is_zero() || self.phase != Phase::Open {
            return;
        }
        if self.heard + self.heartbeat * 2 <= now {
            self.ending = Ending::TimedOut;
            self.phase = Phase::Closed;
        } else if self.spoke + self.heartbeat / 2 <= now {
            encode::heartbeat(&mut self.direct);
        }
    }

    /// The broker does not read for now: silence is not the client's fault.
    pub(crate) fn excuse(&mut self, now: Time) {
        self.heard = now;
    }

    /// How the connection ended, where its socket has.
    pub(crate) fn ending(&self) -> Ending {
        self.ending.clone()
    }

    /// The budget of time that has ended it.
    pub(crate) fn exhausted(&self) -> Option<Budget> {
        self.exhausted
    }

    /// Whom the client's certificate names: it may log in as that user.
    pub(crate) fn set_external(&mut self, user: Option<Vec<u8>>) {
        self.external = user.map(|user| Name::copy(&user));
    }

    /// Whether a user has logged in.
    pub(crate) fn is_authenticated(&self) -> bool {
        self.authenticated
    }

    /// Counts what came before a login, and ends the connection where that is more than any
    /// login takes.
    fn overspends(&mut self, core: &mut Core, octets: usize) -> bool {
        self.unasked = self.unasked.saturating_add(octets);
        if self.unasked <= BEFORE_LOGIN || self.phase == Phase::Closed {
            return false;
        }
        let connection = ConnectionId(self.conn);
        let budget = Budget::HandshakeSize;
        core.journal.note(Event::BudgetExhausted { connection, budget });
        self.phase = Phase::Closed;
        self.direct.clear();
        true
    }

    /// Whether the socket is to be closed once everything is sent.
    pub(crate) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    fn frame(
        &mut self,
        core: &mut Core,
        frame: crate::wire::Frame,
        block: &Bytes,
        now: Time,
    ) -> Result<(), Hard> {
        if self.is_cut_at(core) || frame.kind == FrameKind::Heartbeat {
            return Ok(());
        }
        if frame.channel == 0 {
            return match frame.kind {
                FrameKind::Method => {
                    let payload = block.get(frame.payload).unwrap_or_default();
                    self.on_connection(core, payload, now)
                }
                _ if self.phase == Phase::Closing => Ok(()),
                _ => Err(out_of_place(&frame, block)),
            };
        }
        match self.phase {
            Phase::Open if core.is_open(self.conn) => self.on_channel(core, frame, block, now),
            Phase::Open | Phase::Closing => Ok(()),
            _ => Err(out_of_place(&frame, block)),
        }
    }

    /// Whether a fault ends the connection at this frame.
    fn is_cut_at(&mut self, core: &mut Core) -> bool {
        match core.mischief.cut_at_frame {
            Some(0 | 1) => {
                core.mischief.cut_at_frame = None;
                self.cut();
                true
            }
            Some(left) => {
                core.mischief.cut_at_frame = Some(left - 1);
                false
            }
            None => false,
        }
    }

    /// A fault: the connection ends, and nothing that it has to say is said.
    fn cut(&mut self) {
        self.phase = Phase::Closed;
        self.ending = Ending::Forced;
        self.mute = true;
        self.direct.clear();
    }

    fn on_connection(&mut self, core: &mut Core, payload: &[u8], now: Time) -> Result<(), Hard> {
        let method = match Method::decode(payload) {
            Ok(method) => method,
            Err(_) if self.phase == Phase::Closing => return Ok(()),
            Err(error) => return Err(bad_method(&error, payload)),
        };
        match (self.phase, method) {
            (Phase::Closing, Method::ConnectionCloseOk(_)) => self.phase = Phase::Closed,
            (Phase::Closing, Method::ConnectionClose(_)) => {
                self.say(&method::connection::CloseOk {});
            }
            (Phase::Closing, _) => {}
            (Phase::Open, Method::ConnectionClose(_)) => {
                core.close(self.conn, now);
                self.say(&method::connection::CloseOk {});
                self.phase = Phase::Closed;
                self.ending = Ending::ByPeer;
            }
            (Phase::Open, Method::ConnectionUpdateSecret(_)) => {
                self.say(&method::connection::UpdateSecretOk {});
            }
            (Phase::Starting, Method::ConnectionStartOk(start)) => {
                self.start_ok(core, &start, now)?;
            }
            (Phase::Tuning, Method::ConnectionTuneOk(tune)) => self.tune_ok(tune)?,
            (Phase::Opening, Method::ConnectionOpen(open)) => self.open(core, &open)?,
            (phase, method) => {
                return Err(Hard::new(
                    ReplyCode::CHANNEL_ERROR,
                    format_args!("unexpected method in connection state {}", phase.name()),
                    method.id(),
                ));
            }
        }
        Ok(())
    }

    /// Ends the connection for an error. Who is not logged in yet is not told why.
    fn fail(&mut self, core: &mut Core, hard: Hard, now: Time) {
        if self.phase != Phase::Open
            && let Some(budget) = hard.refusal.budget()
        {
            core.journal
                .note(Event::BudgetExhausted { connection: ConnectionId(self.conn), budget });
        }
        match self.phase {
            Phase::Greeting | Phase::Starting => self.phase = Phase::Closed,
            Phase::Tuning | Phase::Opening => self.begin_close(&hard.refusal, hard.method, now),
            Phase::Open => core.close_connection(self.conn, hard.refusal, hard.method, now),
            Phase::Closing | Phase::Closed => {}
        }
        self.assemblies.clear();
    }

    fn begin_close(&mut self, refusal: &Refusal, method: MethodId, now: Time) {
        let text = refusal.text();
        let close = method::connection::Close {
            reply_code: refusal.code.0,
            reply_text: outgoing::short(&text),
            class_id: method.class,
            method_id: method.method,
        };
        self.say(&close);
        self.ending = Ending::ByBroker { code: refusal.code, text };
        self.phase = Phase::Closing;
        self.deadline = Some(now + CLOSE_TIMEOUT);
    }

    fn say(&mut self, method: &impl MethodFrame) {
        encode::method(&mut self.direct, 0, method);
    }

    fn at(&self, channel: u16) -> At {
        At { conn: self.conn, channel }
    }
}
