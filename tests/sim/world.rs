//! One run: clients, links and the broker, taking turns as the seed says, in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use hopmq::{
    broker::{Broker, Unplugged},
    fsm::{
        Time,
        supervisor::{Backoff, Breaker, Policy},
    },
    proto::{Cause, Limits, Scope, Settings, WaiterId},
    wire::{FieldTable, Value},
};

use crate::{
    account::Account,
    app::{Job, Mode, Task, Wait},
    client::{Client, Socket},
    link::Link,
    random::Random,
    requests::name,
};

pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(20);

/// The text of what the simulation itself has the broker close.
pub(crate) const ON_PURPOSE: &str = "on purpose";

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now: Time,
    pub(crate) broker: Unplugged,
    pub(crate) links: Vec<Link>,
    pub(crate) clients: Vec<Client>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) waits: BTreeMap<u32, (usize, Wait)>,
    pub(crate) woken: VecDeque<u32>,
    pub(crate) last_wait: u32,
    pub(crate) account: Account,
    pub(crate) refuse_until: Time,
    /// New work and faults still begin.
    pub(crate) active: bool,
    /// Users have let go of everything.
    pub(crate) over: bool,
    pub(crate) steps: usize,
    pub(crate) failure: Option<String>,
    /// A fingerprint of everything that happened.
    pub(crate) print: u64,
    pub(crate) verbose: bool,
    /// Users give up channel.open, too. In every fourth seed: the others, those that have failed once among
    /// them, are what they were before users did.
    pub(crate) impatient: bool,
    /// Writing was held up at some time.
    pub(crate) jammed: bool,
    alarm: bool,
    withheld: bool,
}

/// What can happen next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Write(usize),
    Read(usize),
    BrokerReads(usize),
    BrokerWrites(usize),
    Resume,
    Step(usize),
}

impl World {
    pub(crate) fn new(seed: u64, verbose: bool) -> Self {
        let mut random = Random::new(seed);
        let frame_max = [8192, 131_072][random.below(2)];
        let builder = Broker::builder()
            .permit_transient_queues()
            .frame_max(frame_max)
            .heartbeat(Duration::from_secs([0, 10, 60][random.below(3)]));
        let mut world = World {
            now: Time::ZERO,
            broker: builder.unplugged(seed),
            links: Vec::new(),
            clients: Vec::new(),
            tasks: Vec::new(),
            waits: BTreeMap::new(),
            woken: VecDeque::new(),
            last_wait: 0,
            account: Account::default(),
            refuse_until: Time::ZERO,
            active: true,
            over: false,
            steps: 0,
            failure: None,
            print: 0,
            verbose,
            impatient: seed.is_multiple_of(4),
            jammed: false,
            alarm: false,
            withheld: false,
            random,
        };
        crate::ending::prepare(&mut world);
        world.people();
        world
    }

    fn people(&mut self) {
        for c in 0..1 + self.random.below(3) {
            self.add_client();
            let jobs = [
                Job::Publish(Mode::Confirming),
                Job::Publish(Mode::Confirming),
                Job::Publish(Mode::Plain),
                Job::Publish(Mode::Transactional),
                Job::Consume { queue: "q0", automatic: false },
                Job::Consume { queue: "q1", automatic: false },
                Job::Consume { queue: "q2", automatic: false },
                Job::Consume { queue: "", automatic: false },
                Job::Consume { queue: "lossy", automatic: true },
                Job::Consume { queue: "fleeting", automatic: true },
                Job::Declare,
            ];
            for _ in 0..1 + self.random.below(5) {
                let job = jobs[self.random.below(jobs.len())].clone();
                self.add_task(c, job);
            }
        }
    }

    fn add_task(&mut self, client: usize, job: Job) {
        let left = match job {
            Job::Publish(_) => 20 + self.random.below(100),
            _ => 10 + self.random.below(40),
        };
        let lane = self.account.lane();
        self.tasks.push(Task {
            client,
            job,
            channel: None,
            ready: false,
            left,
            blocked: 0,
            consumer: None,
            held: Vec::new(),
            stuck: None,
            transaction: None,
            named: String::new(),
            lane,
            life: 0,
        });
    }

    pub(crate) fn add_client(&mut self) -> usize {
        let (settings, seed) = (self.settings(), self.random.next());
        self.clients.push(Client::new(settings, seed));
        let c = self.clients.len() - 1;
        self.connect(c);
        c
    }

    fn connect(&mut self, c: usize) {
        let call = self.clients[c].connection.connect(self.now);
        self.clients[c].connection.abandon_call(self.now, call);
        self.drain(c);
    }

    /// A connection that has ended is replaced by a new one, once its users know.
    pub(crate) fn replace_ended(&mut self) {
        for c in 0..self.clients.len() {
            let waits = self.waits.values().any(|(t, _)| self.tasks[*t].client == c);
            let client = &self.clients[c];
            if self.over
                || waits
                || client.connection.ended().is_none()
                || client.socket != Socket::None
            {
                continue;
            }
            let life = client.life + 1;
            let (settings, seed) = (self.settings(), self.random.next());
            self.clients[c] = Client::new(settings, seed);
            self.clients[c].life = life;
            self.note(|| format!("client {c}: life {life}"));
            self.connect(c);
        }
    }

    fn settings(&mut self) -> Settings {
        let capabilities = ["consumer_cancel_notify", "connection.blocked", "basic.nack"]
            .into_iter()
            .fold(FieldTable::new(), |table, name| table.with(name, true).unwrap());
        let properties =
            FieldTable::new().with("capabilities", Value::Table(capabilities)).unwrap();
        let random = &mut self.random;
        Settings {
            virtual_host: name("/"),
            client_properties: properties.encode(),
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: Duration::from_secs([0, 10, 30][random.below(3)]),
            confirm_timeout: CONFIRM_TIMEOUT,
            limits: Limits {
                outbound_bytes: 1024 << random.below(8),
                window_messages: 1 << random.below(8),
                window_bytes: 4096 << random.below(8),
                ..Limits::default()
            },
            policy: Policy {
                first_connect_retries: random.once_in(2),
                backoff: Backoff::exponential(Duration::from_millis(50), Duration::from_secs(2)),
                breaker: random.once_in(2).then(|| Breaker { threshold: 3, ..Breaker::default() }),
                connect_timeout: Some(Duration::from_secs(5)),
                recover_timeout: Some(Duration::from_secs(10)),
                ..Policy::default()
            },
        }
    }

    pub(crate) fn call_time(&mut self) -> Duration {
        match self.random.once_in(20) {
            true => self.random.millis(50),
            false => Duration::from_secs(30),
        }
    }

    // --- waiting ---

    /// A task waits for something, which is asked for at once.
    pub(crate) fn wait(&mut self, t: usize, wait: Wait, blocks: bool) {
        let id = self.park(t, wait, blocks);
        self.woken.push_back(id);
    }

    /// A task waits for something that was asked for already, under the next number.
    pub(crate) fn park(&mut self, t: usize, wait: Wait, blocks: bool) -> u32 {
        self.last_wait += 1;
        self.waits.insert(self.last_wait, (t, wait));
        self.tasks[t].blocked += usize::from(blocks);
        self.last_wait
    }

    pub(crate) fn again(&mut self, id: u32, t: usize, wait: Wait) {
        self.waits.insert(id, (t, wait));
    }

    pub(crate) fn finished(&mut self, t: usize, blocks: bool) {
        self.tasks[t].blocked -= usize::from(blocks);
    }

    pub(crate) fn wake(&mut self, waiter: WaiterId) {
        self.woken.push_back(waiter.generation);
    }

    // --- judging ---

    pub(crate) fn fail(&mut self, why: String) {
        self.note(|| format!("FAILED: {why}"));
        self.failure.get_or_insert(why);
    }

    pub(crate) fn check(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if !holds {
            self.fail(why());
        }
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.verbose {
            println!("{:>6} {} {}", self.steps, self.now, what());
        }
    }

    /// Neither side may break the protocol, nor a tag be settled twice.
    pub(crate) fn check_cause(&mut self, c: usize) {
        let connection = &self.clients[c].connection;
        let keys = self.tasks.iter().filter(|task| task.client == c);
        let ends = keys.filter_map(|task| connection.channel_ended(task.channel?));
        let causes: Vec<_> = ends.chain(connection.last_cause().cloned()).collect();
        for cause in causes {
            let wrong = match &*cause {
                Cause::Violation(_) => true,
                Cause::Exception(exception) if exception.text.contains(ON_PURPOSE) => false,
                Cause::Exception(exception) => {
                    exception.scope == Scope::Connection
                        || exception.text.contains("unknown delivery tag")
                }
                _ => false,
            };
            if wrong {
                self.fail(format!("client {c}: {cause}"));
            }
        }
    }

    // --- going on ---

    /// Lets things happen until `done`, or for so long.
    pub(crate) fn run_until(
        &mut self,
        within: Duration,
        done: impl Fn(&mut World) -> bool,
    ) -> bool {
        let end = self.now + within;
        while self.failure.is_none() && self.now < end {
            if done(self) {
                return true;
            }
            self.turn();
        }
        false
    }

    pub(crate) fn turn(&mut self) {
        self.steps += 1;
        self.replace_ended();
        if self.active && self.random.once_in(100) {
            self.misfortune();
        }
        let moves = self.moves();
        if moves.is_empty() || self.random.once_in(50) {
            return self.pass_time(moves.is_empty());
        }
        let which = moves[self.random.below(moves.len())];
        self.print = (self.print ^ self.steps as u64 ^ (which.number() << 20))
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(7);
        self.make(which);
    }

    fn moves(&mut self) -> Vec<Move> {
        let mut moves = Vec::new();
        for c in 0..self.clients.len() {
            if self.can_write(c) {
                moves.push(Move::Write(c));
            }
            if self.can_read(c) {
                moves.push(Move::Read(c));
            }
        }
        for l in 0..self.links.len() {
            if self.links[l].hung_up {
                continue;
            }
            let (peer, now) = (self.links[l].peer, self.now);
            if self.links[l].up.is_readable(now) && self.broker.wants_read(peer) {
                moves.push(Move::BrokerReads(l));
            }
            let speaks = self.links[l].down.room(now) > 0 || self.links[l].left;
            if speaks && (self.broker.has_output(peer, now) || self.broker.hangs_up(peer, now)) {
                moves.push(Move::BrokerWrites(l));
            }
        }
        if !self.woken.is_empty() {
            moves.push(Move::Resume);
        }
        for t in 0..self.tasks.len() {
            if self.can_step(t) {
                moves.push(Move::Step(t));
            }
        }
        moves
    }

    fn make(&mut self, which: Move) {
        match which {
            Move::Write(c) => self.write(c),
            Move::Read(c) => {
                let most = self.piece();
                self.read(c, most);
            }
            Move::BrokerReads(l) => self.broker_reads(l),
            Move::BrokerWrites(l) => self.broker_writes(l),
            Move::Resume => {
                let which = self.random.below(self.woken.len());
                if let Some(id) = self.woken.remove(which) {
                    self.resume(id);
                }
            }
            Move::Step(t) => self.step(t),
        }
    }

    /// How much one read gives: a little, to split frames, or all.
    pub(crate) fn piece(&mut self) -> usize {
        match self.random.below(4) {
            0 => 1 + self.random.below(16),
            1 => 1 + self.random.below(2000),
            _ => 64 * 1024,
        }
    }

    fn broker_reads(&mut self, l: usize) {
        let most = self.piece();
        let bytes = self.links[l].up.read(most);
        if bytes.is_empty() {
            return self.hang_up(l);
        }
        self.broker.receive(self.links[l].peer, &bytes, self.now);
    }

    fn broker_writes(&mut self, l: usize) {
        let (peer, now) = (self.links[l].peer, self.now);
        if self.broker.hangs_up(peer, now) {
            return self.hang_up(l);
        }
        let room = self.links[l].down.room(now);
        if room == 0 {
            // The client has left, and so the broker learns of it.
            return self.hang_up(l);
        }
        let most = self.piece().min(room);
        let bytes = self.broker.transmit(peer, most, now);
        self.links[l].down.bytes.extend(bytes);
    }

    pub(crate) fn hang_up(&mut self, l: usize) {
        self.note(|| format!("broker: hangs up on link {l}"));
        self.broker.disconnect(self.links[l].peer, self.now);
        self.links[l].hung_up = true;
        self.links[l].up.closed = true;
        self.links[l].down.closed = true;
    }

    /// Nothing moves by itself, or somebody was slow.
    fn pass_time(&mut self, idle: bool) {
        let slow = self.now + self.random.millis(20);
        let next = self.next_time();
        self.now = match (idle, next) {
            (true, Some(next)) => next.max(self.now),
            (true, None) => self.now + Duration::from_secs(1),
            (false, next) => next.unwrap_or(slow).min(slow).max(self.now),
        };
        for c in 0..self.clients.len() {
            self.tick(c);
        }
        if self.broker.poll_timeout().is_some_and(|due| due <= self.now) {
            // It reads what has arrived before it calls a client dead.
            for l in 0..self.links.len() {
                let peer = self.links[l].peer;
                while !self.links[l].hung_up
                    && self.links[l].up.is_readable(self.now)
                    && self.broker.wants_read(peer)
                {
                    self.broker_reads(l);
                }
            }
            self.broker.handle_timeout(self.now);
        }
    }

    fn next_time(&self) -> Option<Time> {
        let clients = (0..self.clients.len()).filter_map(|c| self.client_due(c));
        let open = self.links.iter().filter(|link| !link.hung_up || !link.left);
        let links = open.flat_map(|link| [&link.up, &link.down]);
        let pipes = links.filter_map(|pipe| pipe.wakes_at(self.now));
        clients.chain(pipes).chain(self.broker.poll_timeout()).min()
    }

    pub(crate) fn set_alarm(&mut self, on: bool) {
        self.alarm = on;
        self.jammed |= on;
        self.broker.set_alarm(on);
    }

    pub(crate) fn set_withheld(&mut self, on: bool) {
        self.withheld = on;
        self.broker.withhold_confirms(on, self.now);
    }

    pub(crate) fn alarm(&self) -> bool {
        self.alarm
    }

    pub(crate) fn withheld(&self) -> bool {
        self.withheld
    }
}

impl Move {
    fn number(self) -> u64 {
        match self {
            Move::Write(n) => n as u64 * 8,
            Move::Read(n) => n as u64 * 8 + 1,
            Move::BrokerReads(n) => n as u64 * 8 + 2,
            Move::BrokerWrites(n) => n as u64 * 8 + 3,
            Move::Resume => 4,
            Move::Step(n) => n as u64 * 8 + 5,
        }
    }
}
