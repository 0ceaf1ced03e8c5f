//! Every sequence of inputs to one channel, up to a depth: what its user asks, what a broker says, also
//! where it has no right to, cuts and returns. States that are known are not followed again.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    hash::Hash,
    task::Poll,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hopmq::{
    fsm::supervisor::Retry,
    proto::{
        Accepted, Action, Arrival, CallId, ChannelKey, ChannelState, Connection, ConsumerKey, Loss,
        Outcome, Reply, Request, Settlement,
    },
    wire::{MethodFrame, RawTable, ShortStr, encode, method},
};

use crate::{
    link,
    print::print,
    start::{self, consume, name, plain, queue, settings},
    transaction::Transactions,
    world::{NOW, waiter, write},
};

const SOON: Duration = Duration::from_secs(30);
const MESSAGES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Input {
    // The user.
    Open,
    Select,
    SelectTx,
    Declare,
    Consume,
    Get,
    Limit,
    Publish {
        keep: bool,
    },
    Commit,
    Rollback,
    Settle,
    Close,
    GiveUp,
    Release,
    // The broker.
    OpenOk,
    SelectOk,
    SelectTxOk,
    DeclareOk,
    ConsumeOk,
    GetOk,
    GetEmpty,
    LimitOk,
    CommitOk,
    RollbackOk,
    Deliver,
    Ack {
        tag: u64,
        multiple: bool,
    },
    Nack {
        tag: u64,
    },
    Flow {
        active: bool,
    },
    Cancel,
    Exception,
    CloseOk,
    // The link.
    Cut,
    /// A socket, and the whole handshake over it.
    Return,
}

/// What happens to a channel that publishes, with confirms or without, and consumes.
const INPUTS: &[Input] = {
    use Input::*;
    &[
        Open,
        Select,
        Declare,
        Consume,
        Publish { keep: true },
        Publish { keep: false },
        Settle,
        Close,
        GiveUp,
        Release,
        OpenOk,
        SelectOk,
        DeclareOk,
        ConsumeOk,
        Deliver,
        Ack { tag: 1, multiple: false },
        Ack { tag: 2, multiple: true },
        Nack { tag: 1 },
        Flow { active: false },
        Flow { active: true },
        Cancel,
        Exception,
        CloseOk,
        Cut,
        Return,
    ]
};

/// What happens to a channel in a transaction.
const IN_A_TRANSACTION: &[Input] = {
    use Input::*;
    &[
        Publish { keep: false },
        Commit,
        Rollback,
        Consume,
        Settle,
        Close,
        GiveUp,
        Release,
        OpenOk,
        SelectTxOk,
        CommitOk,
        RollbackOk,
        ConsumeOk,
        Deliver,
        Exception,
        CloseOk,
        Cut,
        Return,
    ]
};

/// What happens to a channel that polls.
const POLLING: &[Input] = {
    use Input::*;
    &[
        Get, Limit, Declare, Consume, Settle, Close, GiveUp, Release, OpenOk, GetOk, GetEmpty,
        LimitOk, DeclareOk, ConsumeOk, Deliver, Exception, CloseOk, Cut, Return,
    ]
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Plain,
    /// Another one was asked for: the call has the handle.
    Asked,
    Confirming,
    Transactional,
}

/// A client with a channel, and what must be known to judge it.
#[derive(Clone, Hash)]
struct Script {
    client: Connection,
    up: bool,
    dialing: bool,
    /// The channel's number, which is another one after a cut.
    number: u16,
    epoch: u32,
    state: ChannelState,
    asked: bool,
    mode: Mode,
    /// The call that asked for a mode, and which.
    selecting: Option<(CallId, Mode)>,
    transactions: Transactions,
    channel: Option<ChannelKey>,
    consumer: Option<ConsumerKey>,
    calls: Vec<CallId>,
    /// Each message's tag, while its outcome is awaited.
    awaited: [Option<u64>; MESSAGES],
    published: usize,
    /// The messages of this epoch in the order in which they went out, and which the broker acked and
    /// nacked at any time, as bits.
    written: Vec<u8>,
    acked: u8,
    nacked: u8,
    /// The last delivery tag of this epoch, and those that were settled.
    delivered: u64,
    settled: BTreeSet<u64>,
    /// The broker has cancelled the consumer, and what it delivers to it all the same.
    cancelled: bool,
    astray: BTreeSet<u64>,
    held: VecDeque<(u32, u64)>,
}

impl Script {
    /// A connection that is open.
    fn new() -> Self {
        let mut script = Script {
            client: Connection::new(settings(), 1),
            up: false,
            dialing: false,
            number: 1,
            epoch: 0,
            state: ChannelState::Closed,
            asked: false,
            mode: Mode::Plain,
            selecting: None,
            transactions: Transactions::default(),
            channel: None,
            consumer: None,
            calls: Vec::new(),
            awaited: [None; MESSAGES],
            published: 0,
            written: Vec::new(),
            acked: 0,
            nacked: 0,
            delivered: 0,
            settled: BTreeSet::new(),
            cancelled: false,
            astray: BTreeSet::new(),
            held: VecDeque::new(),
        };
        let call = script.client.connect(NOW);
        script.calls.push(call);
        script.settle_down();
        script.take(Input::Return);
        assert!(script.up && script.calls.is_empty());
        script
    }

    /// Whether an input changes anything that is worth following.
    fn can(&self, input: Input) -> bool {
        match input {
            Input::Open => !self.asked,
            Input::Publish { .. } => {
                let in_a_mode = self.mode != Mode::Asked;
                in_a_mode && self.channel.is_some() && self.published < MESSAGES
            }
            Input::Commit | Input::Rollback if self.mode != Mode::Transactional => false,
            Input::Settle => !self.held.is_empty(),
            // A channel has one mode: the types let nobody ask twice.
            Input::Select | Input::SelectTx if self.mode != Mode::Plain => false,
            Input::Select
            | Input::SelectTx
            | Input::Declare
            | Input::Get
            | Input::Limit
            | Input::Commit
            | Input::Rollback
            | Input::Close => self.channel.is_some() && self.calls.len() < 2,
            Input::Consume => self.channel.is_some() && self.consumer.is_none(),
            Input::Release => self.channel.is_some(),
            Input::GiveUp => !self.calls.is_empty(),
            Input::Return => self.dialing,
            _ => self.up,
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Open => {
                self.asked = true;
                let call = self.client.open_channel(NOW, SOON);
                self.calls.extend(call.ok());
            }
            Input::Select => {
                // What went out before is not counted.
                self.written.clear();
                self.select(Request::ConfirmSelect, Mode::Confirming);
            }
            Input::SelectTx => self.select(Request::TxSelect, Mode::Transactional),
            Input::Declare => drop(self.ask(Request::DeclareQueue(queue()))),
            Input::Consume => {
                self.cancelled = false;
                self.ask(consume(2));
            }
            Input::Get => drop(self.ask(Request::Get { queue: name("q"), automatic: false })),
            Input::Limit => drop(self.ask(Request::Limit { prefetch: 1, global: true })),
            Input::Commit | Input::Rollback => {
                let commit = input == Input::Commit;
                let call = self.ask(if commit { Request::TxCommit } else { Request::TxRollback });
                self.transactions.ends(commit, call);
            }
            Input::Close => drop(self.ask(Request::CloseChannel)),
            Input::Publish { keep } => self.publish(keep),
            Input::Settle => self.settle(),
            Input::GiveUp => {
                let call = self.calls.remove(0);
                self.transactions.gave_up(call);
                self.client.abandon_call(NOW, call);
            }
            Input::Release => {
                // With the handle goes all that is awaited on it.
                let Some(key) = self.channel.take() else { return };
                (self.consumer, self.awaited) = (None, [None; MESSAGES]);
                self.transactions.released();
                self.client.release_channel(NOW, key);
            }
            Input::OpenOk => self.hear(self.number, &method::channel::OpenOk {}),
            Input::SelectOk => self.hear(self.number, &method::confirm::SelectOk {}),
            Input::DeclareOk => {
                let queue = ShortStr::new("q").unwrap();
                let ok = method::queue::DeclareOk { queue, message_count: 0, consumer_count: 0 };
                self.hear(self.number, &ok);
            }
            Input::ConsumeOk => {
                self.hear(self.number, &method::basic::QosOk {});
                let tag = hopmq::proto::consumer_tag(1);
                self.hear(self.number, &method::basic::ConsumeOk { consumer_tag: tag.as_short() });
            }
            Input::SelectTxOk => self.hear(self.number, &method::tx::SelectOk {}),
            Input::CommitOk => {
                self.transactions.granted(true);
                self.hear(self.number, &method::tx::CommitOk {});
            }
            Input::RollbackOk => {
                self.transactions.granted(false);
                self.hear(self.number, &method::tx::RollbackOk {});
            }
            Input::LimitOk => self.hear(self.number, &method::basic::QosOk {}),
            Input::GetEmpty => self.hear(self.number, &method::basic::GetEmpty {}),
            Input::GetOk => {
                self.delivered += 1;
                self.content(&method::basic::GetOk {
                    delivery_tag: self.delivered,
                    redelivered: false,
                    exchange: ShortStr::empty(),
                    routing_key: ShortStr::empty(),
                    message_count: 0,
                });
            }
            Input::Deliver => self.deliver(),
            Input::Ack { tag, multiple } => {
                let first = if multiple { 1 } else { tag };
                self.acked |= self.covered(first, tag);
                self.hear(self.number, &method::basic::Ack { delivery_tag: tag, multiple });
            }
            Input::Nack { tag } => {
                self.nacked |= self.covered(tag, tag);
                let nack =
                    method::basic::Nack { delivery_tag: tag, multiple: false, requeue: false };
                self.hear(self.number, &nack);
            }
            Input::Flow { active } => self.hear(self.number, &method::channel::Flow { active }),
            Input::Cancel => {
                self.cancelled = true;
                let tag = hopmq::proto::consumer_tag(1);
                let cancel = method::basic::Cancel { consumer_tag: tag.as_short(), no_wait: true };
                self.hear(self.number, &cancel);
            }
            Input::Exception => {
                let close = method::channel::Close {
                    reply_code: 404,
                    reply_text: ShortStr::new("NOT_FOUND").unwrap(),
                    class_id: 0,
                    method_id: 0,
                };
                self.hear(self.number, &close);
            }
            Input::CloseOk => self.hear(self.number, &method::channel::CloseOk {}),
            Input::Cut => {
                self.drop_socket();
                self.client.handle_lost(NOW, Loss::EndOfStream);
            }
            Input::Return => self.return_(),
        }
        self.settle_down();
    }

    fn ask(&mut self, request: Request) -> Option<CallId> {
        let call = self.client.request(NOW, self.channel?, request, SOON).ok()?;
        self.calls.push(call);
        Some(call)
    }

    fn select(&mut self, request: Request, mode: Mode) {
        self.mode = Mode::Asked;
        self.selecting = self.ask(request).map(|call| (call, mode));
    }

    fn publish(&mut self, keep: bool) {
        let Some(key) = self.channel else { return };
        let body = [Bytes::copy_from_slice(&[self.published as u8])];
        let outgoing = start::publish(&body, keep);
        if let Ok(Accepted::Yes { tag }) = self.client.publish(key, &outgoing, || NOW, &mut || None)
        {
            // Without confirms it has no tag.
            self.awaited[self.published] = (tag > 0).then_some(tag);
            self.transactions.published(self.published);
            self.published += 1;
        }
    }

    fn settle(&mut self) {
        let Some((epoch, tag)) = self.held.pop_front() else { return };
        let Some(key) = self.channel else { return };
        let mut settle = || self.client.settle(key, epoch, tag, Settlement::Ack);
        let first = settle();
        assert!(settle().is_err(), "a tag is settled twice");
        assert!(first.is_err() || epoch == self.epoch, "a stale delivery is settled");
    }

    fn deliver(&mut self) {
        self.delivered += 1;
        if self.cancelled {
            self.astray.insert(self.delivered);
        }
        let tag = hopmq::proto::consumer_tag(1);
        let deliver = method::basic::Deliver {
            consumer_tag: tag.as_short(),
            delivery_tag: self.delivered,
            redelivered: false,
            exchange: ShortStr::empty(),
            routing_key: ShortStr::empty(),
        };
        self.content(&deliver);
    }

    /// A method of the broker's with a message.
    fn content(&mut self, method: &impl MethodFrame) {
        let mut bytes = BytesMut::new();
        encode::method(&mut bytes, self.number, method);
        encode::content_header(&mut bytes, self.number, 1, &[0, 0]);
        encode::body(&mut bytes, self.number, b"x", 8192);
        self.client.handle_input(NOW, &bytes.freeze());
    }

    fn hear(&mut self, channel: u16, method: &impl MethodFrame) {
        let mut bytes = BytesMut::new();
        encode::method(&mut bytes, channel, method);
        self.client.handle_input(NOW, &bytes.freeze());
    }

    fn return_(&mut self) {
        (self.dialing, self.up) = (false, true);
        self.client.handle_dialed(NOW, plain());
        let start = method::connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new(&[]),
            mechanisms: b"PLAIN",
            locales: b"en_US",
        };
        let tune = method::connection::Tune { channel_max: 7, frame_max: 8192, heartbeat: 0 };
        self.hear(0, &start);
        self.hear(0, &tune);
        self.hear(0, &method::connection::OpenOk {});
    }

    fn drop_socket(&mut self) {
        self.up = false;
        self.written.clear();
        self.settled.clear();
        self.astray.clear();
        (self.delivered, self.cancelled) = (0, false);
        self.transactions.cut();
    }

    /// The messages with these tags of the broker's.
    fn covered(&self, first: u64, last: u64) -> u8 {
        let covered = |(at, message): (usize, &u8)| {
            let tag = at as u64 + 1;
            if (first..=last).contains(&tag) { 1 << message } else { 0 }
        };
        self.written.iter().enumerate().map(covered).fold(0, |bits, bit| bits | bit)
    }

    /// The client's task and its users, until there is nothing to do; then what must hold.
    fn settle_down(&mut self) {
        while self.client.poll_timeout().is_some_and(|due| due <= NOW) {
            self.client.handle_timeout(NOW);
        }
        self.client.take_wakes(&mut Vec::new());
        self.write();
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Dial { .. } => {
                    assert!(!self.dialing && !self.up, "two attempts at a time");
                    self.dialing = true;
                }
                Action::Abort | Action::Shut | Action::DialNext { .. } => {
                    self.dialing = false;
                    self.drop_socket();
                }
            }
        }
        while self.client.poll_transition().is_some() {}
        while let Some(change) = self.client.poll_channel_transition() {
            assert_eq!(change.transition.from, self.state, "a transition from elsewhere");
            self.state = change.transition.to;
        }
        assert!(self.client.epoch() >= self.epoch, "an epoch that does not follow");
        self.epoch = self.client.epoch();
        self.answers();
        self.write();
        self.account_for_deliveries();
    }

    /// On a channel that is open, whatever was delivered and not settled is in its user's hands: nobody
    /// else would ever settle it.
    fn account_for_deliveries(&self) {
        use ChannelState::{Confirming, Open, Transactional};
        if self.up
            && self.channel.is_some()
            && matches!(self.state, Open | Confirming | Transactional)
        {
            for tag in (1..=self.delivered)
                .filter(|tag| !self.settled.contains(tag) && !self.astray.contains(tag))
            {
                assert!(self.held.contains(&(self.epoch, tag)), "delivery {tag} is owed by nobody");
            }
        }
    }

    /// What was written tells which messages went out, and what was settled.
    fn write(&mut self) {
        if !self.up {
            return;
        }
        for unit in write(&mut self.client) {
            if let [_, high, low, _, _, _, _, 0, 20, 0, 10, ..] = unit[..] {
                self.number = u16::from_be_bytes([high, low]);
            }
            let message = link::message(&unit);
            self.written.extend(message);
            self.transactions.wrote(&unit, message);
            // basic.ack, reject and nack.
            let Some([0, 60, 0, method @ (80 | 90 | 120), tag @ .., bits, _]) = unit.get(7..)
            else {
                continue;
            };
            let last = u64::from_be_bytes(tag.try_into().unwrap());
            let multiple = *method != 90 && bits & 1 == 1;
            assert!((1..=self.delivered).contains(&last), "what was not delivered is settled");
            assert!(!self.settled.contains(&last), "a tag is settled twice");
            self.settled.extend(if multiple { 1 } else { last }..=last);
        }
    }

    /// Everybody asks.
    fn answers(&mut self) {
        for call in std::mem::take(&mut self.calls) {
            match self.client.poll_call(call, || waiter(0)) {
                Poll::Pending => self.calls.push(call),
                Poll::Ready(Ok(Reply::Opened(key))) => self.channel = Some(key),
                Poll::Ready(Ok(Reply::Consuming(key))) => self.consumer = Some(key),
                Poll::Ready(Ok(Reply::Got(_, Some(arrival)))) => self.arrived(&arrival),
                Poll::Ready(answer) => {
                    self.transactions.answered(call, answer.is_ok());
                    match self.selecting {
                        Some((selecting, mode)) if selecting == call && answer.is_ok() => {
                            self.mode = mode;
                        }
                        _ => {}
                    }
                }
            }
        }
        if let Some(key) = self.channel {
            for message in 0..MESSAGES {
                let Some(tag) = self.awaited[message] else { continue };
                match self.client.poll_confirm(key, tag, || waiter(1)) {
                    Poll::Pending => continue,
                    Poll::Ready(Outcome::Confirmed) => {
                        assert!(self.acked & 1 << message != 0, "confirmed, and never acked");
                    }
                    Poll::Ready(Outcome::Nacked) => {
                        assert!(self.nacked & 1 << message != 0, "nacked, and never was");
                    }
                    Poll::Ready(Outcome::Unknown(_)) => {}
                    Poll::Ready(other) => panic!("{other:?}"),
                }
                self.awaited[message] = None;
            }
        }
        let Some(key) = self.consumer else { return };
        let mut arrived = VecDeque::new();
        let polled = self.client.poll_consumer(key, &mut arrived, || waiter(2));
        if let Poll::Ready(Some(_)) = polled {
            self.consumer = None;
        }
        for arrival in arrived {
            self.arrived(&arrival);
        }
    }

    fn arrived(&mut self, arrival: &Arrival) {
        assert_eq!(arrival.epoch, self.epoch, "a delivery of another epoch");
        self.held.push_back((arrival.epoch, arrival.tag));
    }

    /// The connection is closed, whatever the broker does: nobody waits any more.
    fn close(mut self) {
        let call = self.client.close(NOW);
        self.calls.push(call);
        self.settle_down();
        if self.up {
            self.drop_socket();
            self.client.handle_lost(NOW, Loss::EndOfStream);
        } else if self.dialing {
            self.dialing = false;
            self.client.handle_dial_failed(NOW, Loss::Unreachable, Retry::Never);
        }
        self.settle_down();
        self.answers();
        assert!(self.client.ended().is_some(), "it does not end");
        assert!(self.calls.is_empty(), "a call is never answered");
        assert_eq!(self.awaited, [None; MESSAGES], "an outcome never comes");
        assert!(self.consumer.is_none(), "a consumer never ends");
        assert_eq!(self.client.unconfirmed(), 0, "something is kept");
    }
}

/// Runs every sequence from here on; a failure tells which it was.
fn follow(first: Script, inputs: &[Input], depth: u32) -> usize {
    let mut known = HashSet::from([print(&first)]);
    let mut frontier = vec![(first, Vec::new())];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (script, way) in &frontier {
            for input in inputs.iter().copied().filter(|input| script.can(*input)) {
                let mut way: Vec<Input> = way.clone();
                way.push(input);
                let mut after = script.clone();
                let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    after.take(input);
                    after.clone().close();
                }));
                assert!(done.is_ok(), "after {way:?}");
                if known.insert(print(&after)) {
                    next.push((after, way));
                }
            }
        }
        frontier = next;
    }
    println!("{} states", known.len());
    known.len()
}

/// A connection on which this has happened.
fn after(inputs: &[Input]) -> Script {
    let mut script = Script::new();
    inputs.iter().for_each(|input| script.take(*input));
    script
}

#[test]
fn every_sequence_of_inputs_from_an_open_connection() {
    let states = follow(Script::new(), INPUTS, 8);
    assert!(states > 1_000, "{states}");
}

#[test]
fn every_sequence_of_inputs_to_a_channel_in_use() {
    let script = after(&[
        Input::Open,
        Input::OpenOk,
        Input::Select,
        Input::SelectOk,
        Input::Consume,
        Input::ConsumeOk,
        Input::Publish { keep: true },
        Input::Deliver,
    ]);
    let in_use = script.consumer.is_some() && script.held.len() == 1 && script.published == 1;
    assert!(in_use, "{:?}", script.state);
    let states = follow(script, INPUTS, 5);
    assert!(states > 1_000, "{states}");
}

#[test]
fn every_sequence_of_inputs_to_a_transaction() {
    let script = after(&[
        Input::Open,
        Input::OpenOk,
        Input::SelectTx,
        Input::SelectTxOk,
        Input::Publish { keep: false },
    ]);
    assert!(script.mode == Mode::Transactional && script.published == 1, "{:?}", script.state);
    let states = follow(script, IN_A_TRANSACTION, 6);
    assert!(states > 1_000, "{states}");
}

#[test]
fn every_sequence_of_inputs_to_a_channel_that_polls() {
    let states = follow(after(&[Input::Open, Input::OpenOk]), POLLING, 6);
    assert!(states > 1_000, "{states}");
}
