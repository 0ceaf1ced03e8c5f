//! A connection that is cut behind every byte, either way: while it shakes hands, while it recovers,
//! while it recovers from that, and while it says goodbye.

use std::{
    collections::{BTreeSet, VecDeque},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use hopmq::{
    broker::{Broker, ConnectionId, Unplugged},
    fsm::{
        Time,
        supervisor::{Backoff, Policy, State},
    },
    proto::{
        Accepted, Action, Batch, CallId, ChannelKey, Connection, ConsumerKey, Limits, Loss,
        Outcome, Outgoing, Reply, Request, Settings, Settlement, WaiterId, Wakes,
    },
    wire::{FieldTable, ShortString, Value},
};

use crate::{client::plain, requests as ask};

const UP: usize = 0;
const DOWN: usize = 1;
const NOBODY: WaiterId = WaiterId { index: u32::MAX, generation: 0 };

/// The socket with this number is cut when so many bytes have gone this way.
#[derive(Clone, Copy, Debug)]
struct Cut {
    socket: usize,
    way: usize,
    at: usize,
}

/// A client and a broker that take turns, over one socket after another.
struct Line {
    connection: Connection,
    broker: Unplugged,
    now: Time,
    peer: Option<ConnectionId>,
    shutting: bool,
    sockets: usize,
    passed: [usize; 2],
    rest: Vec<u8>,
    cuts: Vec<Cut>,
    /// How many cuts were made.
    made: usize,
}

fn settings() -> Settings {
    let capabilities = ["consumer_cancel_notify", "connection.blocked", "basic.nack"]
        .into_iter()
        .fold(FieldTable::new(), |table, name| table.with(name, true).unwrap());
    let properties = FieldTable::new().with("capabilities", Value::Table(capabilities)).unwrap();
    Settings {
        virtual_host: ShortString::new("/").unwrap(),
        client_properties: properties.encode(),
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: Duration::from_secs(10),
        confirm_timeout: Duration::from_secs(20),
        limits: Limits::default(),
        policy: Policy {
            first_connect_retries: true,
            backoff: Backoff::exponential(Duration::from_millis(50), Duration::from_secs(1)),
            breaker: None,
            ..Policy::default()
        },
    }
}

impl Line {
    fn new(cuts: &[Cut]) -> Self {
        Line {
            connection: Connection::new(settings(), 1),
            broker: Broker::builder().unplugged(1),
            now: Time::ZERO,
            peer: None,
            shutting: false,
            sockets: 0,
            passed: [0; 2],
            rest: Vec::new(),
            cuts: cuts.to_vec(),
            made: 0,
        }
    }

    /// Does what can be done now. False when everything waits for time to pass.
    fn step(&mut self) -> bool {
        self.connection.take_wakes(&mut Wakes::new());
        while self.connection.poll_transition().is_some() {}
        while self.connection.poll_channel_transition().is_some() {}
        if let Some(action) = self.connection.poll_action() {
            self.act(&action);
            return true;
        }
        let Some(peer) = self.peer else { return false };
        let mut batch = Batch::default();
        self.connection.take_batch(self.now, &mut batch);
        if !batch.is_empty() {
            let bytes: Vec<u8> = batch.slices(0).flatten().copied().collect();
            self.pass(UP, peer, &bytes);
            return true;
        }
        if self.shutting {
            self.hang_up();
            return true;
        }
        if self.broker.has_output(peer, self.now) {
            let bytes = self.broker.transmit(peer, 64 * 1024, self.now);
            self.pass(DOWN, peer, &bytes);
            return true;
        }
        if self.broker.hangs_up(peer, self.now) {
            self.lose(Loss::EndOfStream);
            return true;
        }
        false
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Dial { .. } => {
                assert!(self.peer.is_none() || self.shutting, "two attempts at a time");
                self.hang_up();
                self.peer = Some(self.broker.accept(self.now));
                self.sockets += 1;
                (self.passed, self.shutting) = ([0; 2], false);
                self.rest.clear();
                self.connection.handle_dialed(self.now, plain());
            }
            Action::Abort => self.hang_up(),
            Action::Shut => self.shutting = true,
            Action::DialNext { .. } => unreachable!("there is one host"),
        }
    }

    fn hang_up(&mut self) {
        if let Some(peer) = self.peer.take() {
            self.broker.disconnect(peer, self.now);
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.hang_up();
        self.connection.handle_lost(self.now, loss);
    }

    /// Bytes on their way, as far as they get.
    fn pass(&mut self, way: usize, peer: ConnectionId, bytes: &[u8]) {
        let socket = self.sockets;
        let cut = self.cuts.iter().find(|cut| cut.socket == socket && cut.way == way);
        let room = cut.map_or(usize::MAX, |cut| cut.at.saturating_sub(self.passed[way]));
        let through = &bytes[..room.min(bytes.len())];
        self.passed[way] += through.len();
        match way {
            UP => self.broker.receive(peer, through, self.now),
            _ => {
                self.rest.extend_from_slice(through);
                let block = Bytes::from(std::mem::take(&mut self.rest));
                let used = self.connection.handle_input(self.now, &block);
                self.rest.extend_from_slice(&block[used..]);
            }
        }
        if room <= bytes.len() {
            self.made += 1;
            self.lose(Loss::Io(std::io::ErrorKind::ConnectionReset));
        }
    }

    /// Goes on until there is an answer, for ten minutes at most.
    fn until<T>(&mut self, mut answer: impl FnMut(&mut Self) -> Option<T>) -> T {
        loop {
            if let Some(answer) = answer(self) {
                return answer;
            }
            if self.step() {
                continue;
            }
            let due = [self.connection.poll_timeout(), self.broker.poll_timeout()];
            self.now = due.into_iter().flatten().min().expect("somebody waits").max(self.now);
            let late = self.now > Time::ZERO + Duration::from_secs(600);
            assert!(!late, "it hangs: {:?}, {:?}", self.cuts, self.connection);
            self.connection.handle_timeout(self.now);
            self.broker.handle_timeout(self.now);
        }
    }

    fn answer(&mut self, call: CallId) -> Reply {
        let answer = self.until(|line| match line.connection.poll_call(call, || NOBODY) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
        answer.unwrap_or_else(|error| panic!("{error}, {:?}", self.cuts))
    }

    fn ask(&mut self, key: ChannelKey, request: Request) -> Reply {
        let after = Duration::from_secs(60);
        let call = self.connection.request(self.now, key, request, after);
        let call = call.expect("a request");
        self.answer(call)
    }

    fn state(&self) -> State {
        self.connection.supervisor().state()
    }
}

/// A connection in use: topology, a consumer, and unanswered publishes that are to be replayed.
struct User {
    line: Line,
    consumer: ConsumerKey,
    publisher: ChannelKey,
    tags: Vec<u64>,
    seen: BTreeSet<u8>,
}

const MESSAGES: u8 = 3;

impl User {
    fn connect(cuts: &[Cut]) -> Line {
        let mut line = Line::new(cuts);
        let call = line.connection.connect(line.now);
        let connected = line.until(|line| match line.connection.poll_call(call, || NOBODY) {
            Poll::Ready(answer) => Some(answer.is_ok()),
            Poll::Pending => None,
        });
        assert_eq!(connected, line.connection.ended().is_none(), "{cuts:?}");
        line
    }

    /// Sets everything up and loses the first socket.
    fn cut_off(cuts: &[Cut]) -> User {
        let mut line = User::connect(cuts);
        let channel = |line: &mut Line| {
            let call = line.connection.open_channel(line.now, Duration::from_secs(60));
            match line.answer(call.expect("a channel")) {
                Reply::Opened(key) => key,
                other => panic!("{other:?}"),
            }
        };
        let consuming = channel(&mut line);
        for request in [ask::fanout("fan"), ask::queue("q0", false), ask::bind("q0", "fan", "")] {
            line.ask(consuming, request);
        }
        let Reply::Consuming(consumer) = line.ask(consuming, ask::consume("q0", false, Some(2)))
        else {
            panic!("no consumer");
        };
        let publisher = channel(&mut line);
        line.ask(publisher, Request::ConfirmSelect);
        let (exchange, key) = (ask::name("fan"), ask::name(""));
        let now = line.now;
        let tags = (0..MESSAGES).map(|number| {
            let body = [Bytes::from(vec![number])];
            let message = Outgoing {
                exchange: exchange.as_short(),
                routing_key: key.as_short(),
                mandatory: false,
                properties: &[0, 0],
                sequence_at: None,
                body: &body,
                keep: true,
            };
            match line.connection.publish(publisher, &message, || now, &mut || None) {
                Ok(Accepted::Yes { tag }) => tag,
                other => panic!("{other:?}"),
            }
        });
        let tags = tags.collect();
        line.lose(Loss::EndOfStream);
        User { line, consumer, publisher, tags, seen: BTreeSet::new() }
    }

    /// Everything arrives, is settled and confirmed, and the connection is whole.
    fn serve(&mut self) {
        let User { line, consumer, publisher, tags, seen } = self;
        line.until(|line| {
            let mut arrivals = VecDeque::new();
            let polled = line.connection.poll_consumer(*consumer, &mut arrivals, || NOBODY);
            assert!(!matches!(polled, Poll::Ready(Some(_))), "the consumer ended: {polled:?}");
            for arrival in arrivals {
                let ack = Settlement::Ack;
                let _ = line.connection.settle(consumer.channel, arrival.epoch, arrival.tag, ack);
                seen.extend(arrival.content.into_body().into_bytes());
            }
            let quiet = line.connection.unconfirmed() == 0 && !line.connection.has_output();
            let queues = line.broker.queues(line.now);
            let empty = queues.iter().all(|queue| queue.ready == 0 && queue.unacked == 0);
            let whole = line.state() == State::Connected && empty && quiet;
            (whole && seen.len() == usize::from(MESSAGES)).then_some(())
        });
        for tag in tags {
            let outcome = line.connection.poll_confirm(*publisher, *tag, || NOBODY);
            assert_eq!(outcome, Poll::Ready(Outcome::Confirmed), "{:?}", line.cuts);
        }
        let queues = line.broker.queues(line.now);
        assert_eq!(queues.iter().map(|queue| queue.consumers.len()).sum::<usize>(), 1);
        assert!(line.connection.not_recovered().is_empty());
    }
}

/// Tries a cut behind every byte, each way, as long as there are bytes to cut behind.
fn everywhere(mut made: impl FnMut(usize, usize) -> bool) -> usize {
    let mut count = 0;
    for way in [UP, DOWN] {
        count += (0..).take_while(|at| made(way, *at)).count();
    }
    assert!(count > 100, "only {count}");
    count
}

#[test]
fn a_handshake_cut_behind_every_byte_is_retried_or_reported() {
    let whole = User::connect(&[]).passed;
    let count = everywhere(|way, at| {
        let mut line = User::connect(&[Cut { socket: 1, way, at }]);
        // An end after the credentials is how brokers of old refuse them: that is reported.
        line.until(|line| {
            let over = line.connection.ended().is_some() || line.state() == State::Connected;
            over.then_some(())
        });
        assert!(line.connection.ended().is_some() || line.sockets == 1 + line.made);
        at < whole[way] && line.made == 1
    });
    println!("{count} cuts of a handshake");
}

#[test]
fn a_recovery_cut_behind_every_byte_comes_to_its_end() {
    let count = everywhere(|way, at| {
        let mut user = User::cut_off(&[Cut { socket: 2, way, at }]);
        user.serve();
        user.line.made == 1
    });
    println!("{count} cuts of a recovery");
}

#[test]
fn a_recovery_cut_again_and_again_comes_to_its_end() {
    let count = everywhere(|way, at| {
        let again = |socket, way| Cut { socket, way, at };
        let mut user = User::cut_off(&[again(2, way), again(3, 1 - way), again(4, way)]);
        user.serve();
        user.line.made >= 1
    });
    println!("{count} times three cuts of a recovery");
}

#[test]
fn a_goodbye_cut_behind_every_byte_is_the_end() {
    let count = |user: &User| user.line.passed;
    for way in [UP, DOWN] {
        for more in 0.. {
            let mut user = User::cut_off(&[]);
            user.serve();
            let at = count(&user)[way] + more;
            user.line.cuts = vec![Cut { socket: 2, way, at }];
            let call = user.line.connection.close(user.line.now);
            assert_eq!(user.line.answer(call), Reply::Done);
            user.line.until(|line| line.peer.is_none().then_some(()));
            assert_eq!(user.line.state(), State::Closed);
            assert_eq!(user.line.broker.connections(), 0);
            let action = user.line.connection.poll_action();
            assert!(!matches!(action, Some(Action::Dial { .. })), "{action:?}");
            if user.line.made == 0 {
                assert!(more > 5, "nothing was cut");
                break;
            }
        }
    }
}

mod long {
    use super::*;

    /// Two cuts, behind every seventh byte each: 7 shares no factor with what frames are made of.
    #[test]
    #[ignore = "long: run tests/run --long"]
    fn a_recovery_cut_twice_anywhere_comes_to_its_end() {
        let mut count = 0;
        for (first, second) in [(UP, UP), (UP, DOWN), (DOWN, UP), (DOWN, DOWN)] {
            for at in (0..).step_by(7) {
                let mut made = 0;
                for and_at in (0..).step_by(7) {
                    let mut user = User::cut_off(&[
                        Cut { socket: 2, way: first, at },
                        Cut { socket: 3, way: second, at: and_at },
                    ]);
                    user.serve();
                    count += 1;
                    made = user.line.made;
                    if made < 2 {
                        break;
                    }
                }
                if made < 1 {
                    break;
                }
            }
        }
        println!("{count} pairs of cuts");
    }
}
