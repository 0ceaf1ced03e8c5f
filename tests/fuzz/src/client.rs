//! The client's machine under a broker that answers, lies or talks nonsense, under commands in
//! any order and under lost connections.
//!
//! Held against it, besides the assertions in the library: what it says is AMQP, on channels that
//! are open; no deadline stays due; once it has ended everybody who waited was woken and has an
//! answer; memory follows the octets that arrived; and however they were split, the same comes out.

mod app;
mod network;
mod settings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arbitrary::Unstructured;
use hopmq::{
    fsm::Time,
    proto::{Arrival, Batch, CallId, ChannelKey, Connection, ConsumerKey},
};

use crate::{grammar::Drawn, memory, peer::Ear};

pub fn run(input: &[u8]) {
    let Some((&mode, input)) = input.split_first() else { return };
    let (trace, peak) = memory::peak(|| play(input, mode, false));
    assert!(peak < 512 * 1024 + 1024 * input.len(), "{peak} octets for {}", input.len());
    if mode & 3 == 0 {
        let split = play(input, mode, true);
        assert_eq!(by_queue(trace), by_queue(split), "the same in small blocks");
    }
}

/// What comes out of one queue has an order. Between transitions and the rest there is none: a
/// driver fetches them after each block, of which there may be one or several.
fn by_queue(mut trace: Vec<String>) -> Vec<String> {
    trace.sort_by_key(|seen| match seen {
        seen if seen.starts_with("Transition") => 0,
        seen if seen.starts_with("ChannelTransition") => 1,
        _ => 2,
    });
    trace
}

/// Plays an input to its end, and gives what could be seen.
fn play(input: &[u8], mode: u8, split: bool) -> Vec<String> {
    let mut from = Unstructured::new(input);
    let mut game = Game::new(mode, split);
    // An input that has ended is as good as one that goes on.
    let _ = game.steps(&mut from);
    game.end();
    game.trace
}

/// The socket, as a driver has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    None,
    Dialing,
    Up,
}

/// What a client has said of one of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OnWire {
    Open,
    /// channel.close was sent.
    Closing,
}

/// A method that the broker may answer.
struct Asked {
    channel: u16,
    payload: Vec<u8>,
}

/// What a channel's type allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Plain,
    Confirming,
    Transactional,
}

struct Pending<T> {
    what: T,
    waiter: u32,
}

/// A call that owns its channel: nothing else can be asked of it meanwhile.
#[derive(Clone, Copy, Debug)]
struct Owned {
    key: ChannelKey,
    /// The mode that it leads to; none where it closes the channel.
    mode: Option<Mode>,
}

struct Game {
    connection: Connection,
    now: Time,
    split: bool,
    /// Octets at a time are compared: what depends on how much memory a message holds is off.
    compared: bool,
    socket: Socket,
    batch: Batch,
    /// The start of an incomplete frame.
    rest: Vec<u8>,

    /// The broker's side of the socket.
    ear: Ear,
    greeted: bool,
    said_close: bool,
    asked: VecDeque<Asked>,
    on_wire: BTreeMap<u16, OnWire>,
    published: BTreeMap<u16, u64>,
    delivered: u64,

    /// The user's side.
    closed: bool,
    calls: Vec<Pending<(CallId, Option<Owned>)>>,
    channels: Vec<(ChannelKey, Mode)>,
    consumers: Vec<Pending<(ConsumerKey, VecDeque<Arrival>)>>,
    confirms: Vec<Pending<(ChannelKey, u64)>>,
    returns: Vec<Pending<ChannelKey>>,
    deliveries: Vec<(ChannelKey, u32, u64)>,
    /// Who has said to be waiting and was not woken since.
    waiting: BTreeSet<u32>,
    waiters: u32,

    trace: Vec<String>,
}

impl Game {
    fn new(mode: u8, split: bool) -> Self {
        let compared = mode & 3 == 0;
        let mut connection = Connection::new(settings::settings(mode, compared), 1);
        let call = connection.connect(Time::ZERO);
        let mut game = Game {
            connection,
            now: Time::ZERO,
            split,
            compared,
            socket: Socket::None,
            batch: Batch::default(),
            rest: Vec::new(),
            ear: Ear::new(u32::MAX),
            greeted: false,
            said_close: false,
            asked: VecDeque::new(),
            on_wire: BTreeMap::new(),
            published: BTreeMap::new(),
            delivered: 0,
            closed: false,
            calls: Vec::new(),
            channels: Vec::new(),
            consumers: Vec::new(),
            confirms: Vec::new(),
            returns: Vec::new(),
            deliveries: Vec::new(),
            waiting: BTreeSet::new(),
            waiters: 0,
            trace: Vec::new(),
        };
        game.add_call(call);
        game.drain();
        game
    }

    fn steps(&mut self, from: &mut Unstructured<'_>) -> Drawn<()> {
        while !from.is_empty() {
            match from.arbitrary::<u8>()? {
                0..=79 => self.broker_answers(from)?,
                80..=139 => self.command(from)?,
                140..=199 => self.broker_says(from)?,
                200..=229 => self.poll_something(from)?,
                230..=243 => self.write(),
                244..=249 => self.advance(from)?,
                _ => self.disturb(from)?,
            }
            self.drain();
        }
        Ok(())
    }

    fn see(&mut self, what: impl FnOnce() -> String) {
        if self.compared {
            let what = what();
            // What is shown of a stranger's greeting is what came with its first octet.
            let stranger = what.contains("NotAmqp");
            self.trace.push(if stranger { "a stranger".to_owned() } else { what });
        }
    }
}
