//! The driver of one client connection, as `src/driver/task.rs` is one, on virtual sockets.

use hopmq::{
    fsm::{Time, supervisor::State},
    proto::{Action, Batch, Connection, Loss, Mechanism, Secret, Settings},
    wire::ShortString,
};

use crate::{link::Link, world::World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Socket {
    None,
    /// It opens, or is refused, at this time.
    Dialing(Time),
    /// The number of the link.
    Up(usize),
    /// What is in the batch goes out, until this time at most.
    Shutting(usize, Time),
}

pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) socket: Socket,
    pub(crate) batch: Batch,
    pub(crate) written: usize,
    /// The start of an incomplete frame.
    pub(crate) rest: Vec<u8>,
    pub(crate) epoch: u32,
    pub(crate) attempt: u64,
    /// Set when its user closed it.
    pub(crate) closing: bool,
    /// Which life it is in: a connection that has ended is replaced.
    pub(crate) life: u32,
}

impl Client {
    pub(crate) fn new(settings: Settings, seed: u64) -> Self {
        Client {
            connection: Connection::new(settings, seed),
            socket: Socket::None,
            batch: Batch::default(),
            written: 0,
            rest: Vec::new(),
            epoch: 0,
            attempt: 0,
            closing: false,
            life: 0,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.connection.supervisor().state()
    }

    /// Open, recovered and with nothing on its way.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self.state(), State::Connected | State::Degraded)
            && self.batch.is_empty()
            && !self.connection.has_output()
    }
}

pub(crate) fn plain() -> Vec<Mechanism> {
    let response = Secret(b"\0guest\0guest".as_slice().into());
    vec![Mechanism { name: ShortString::new("PLAIN").unwrap(), response }]
}

impl World {
    /// Does what the connection asks for after a change.
    pub(crate) fn drain(&mut self, c: usize) {
        let mut wakes = Vec::new();
        loop {
            let client = &mut self.clients[c];
            client.connection.take_wakes(&mut wakes);
            let Some(action) = client.connection.poll_action() else { break };
            self.act(c, action);
        }
        for waiter in wakes {
            self.wake(waiter);
        }
        while let Some(change) = self.clients[c].connection.poll_transition() {
            self.note(|| format!("client {c}: {:?} {:?}", change.transition, change.cause));
        }
        while let Some((old, new)) = self.clients[c].connection.poll_renamed() {
            for task in self.tasks.iter_mut().filter(|task| task.client == c) {
                if task.named == old.as_str() {
                    task.named = new.to_string();
                }
            }
        }
        let epoch = self.clients[c].connection.epoch();
        let before = std::mem::replace(&mut self.clients[c].epoch, epoch);
        self.check(before <= epoch && epoch <= before + 1, || {
            format!("client {c}: from epoch {before} to {epoch}")
        });
        self.check_cause(c);
    }

    fn act(&mut self, c: usize, action: Action) {
        self.note(|| format!("client {c}: {action:?}"));
        let socket = self.clients[c].socket;
        match action {
            Action::Dial { attempt } => {
                let (dialing, up) =
                    (matches!(socket, Socket::Dialing(_)), matches!(socket, Socket::Up(_)));
                self.check(!dialing && !up, || {
                    format!("client {c}: attempt {attempt} overlaps {socket:?}")
                });
                let last = std::mem::replace(&mut self.clients[c].attempt, attempt);
                self.check(attempt > last, || {
                    format!("client {c}: attempt {attempt} after {last}")
                });
                self.leave(c);
                let at = self.now + self.random.millis(20);
                self.clients[c].socket = Socket::Dialing(at);
            }
            Action::DialNext { .. } => unreachable!("no host is one of several here"),
            Action::Abort => self.leave(c),
            Action::Shut => {
                if let Socket::Up(link) = socket {
                    let until = self.now + std::time::Duration::from_millis(500);
                    self.clients[c].socket = Socket::Shutting(link, until);
                }
            }
        }
    }

    /// Lets go of the socket; what was written still arrives.
    pub(crate) fn leave(&mut self, c: usize) {
        let client = &mut self.clients[c];
        if let Socket::Up(link) | Socket::Shutting(link, _) = client.socket {
            let link = &mut self.links[link];
            link.left = true;
            link.up.closed = true;
        }
        client.socket = Socket::None;
        client.batch.clear();
        client.written = 0;
    }

    pub(crate) fn lost(&mut self, c: usize, loss: Loss) {
        self.note(|| format!("client {c}: lost, {loss:?}"));
        let was_up = matches!(self.clients[c].socket, Socket::Up(_));
        self.leave(c);
        if was_up {
            self.clients[c].connection.handle_lost(self.now, loss);
            self.drain(c);
        }
    }

    pub(crate) fn dialed(&mut self, c: usize) {
        let now = self.now;
        if self.refuse_until > now {
            self.clients[c].socket = Socket::None;
            let retry = hopmq::fsm::supervisor::Retry::Can;
            self.clients[c].connection.handle_dial_failed(now, Loss::Unreachable, retry);
        } else {
            let peer = self.broker.accept(now);
            let link = self.links.len();
            self.note(|| format!("client {c}: link {link}, {peer:?}"));
            self.clients[c].socket = Socket::Up(self.links.len());
            self.clients[c].rest.clear();
            self.links.push(Link::new(peer));
            self.clients[c].connection.handle_dialed(now, plain());
        }
        self.drain(c);
    }

    pub(crate) fn can_write(&self, c: usize) -> bool {
        let client = &self.clients[c];
        match client.socket {
            Socket::Up(link) => {
                let has = !client.batch.is_empty() || client.connection.has_output();
                has && (self.links[link].up.closed || self.links[link].up.room(self.now) > 0)
            }
            // With nothing left to write there is a socket to be closed.
            Socket::Shutting(link, _) => {
                let has = !client.batch.is_empty() || client.connection.has_output();
                !has || self.links[link].up.closed || self.links[link].up.room(self.now) > 0
            }
            _ => false,
        }
    }

    pub(crate) fn write(&mut self, c: usize) {
        let now = self.now;
        let client = &mut self.clients[c];
        let (Socket::Up(l) | Socket::Shutting(l, _)) = client.socket else { return };
        if client.batch.is_empty() {
            client.written = 0;
            client.connection.take_batch(now, &mut client.batch);
        }
        if client.batch.is_empty() {
            if let Socket::Shutting(..) = client.socket {
                self.leave(c);
            }
            return self.drain(c);
        }
        if self.links[l].up.closed {
            return self.lost(c, Loss::Io(std::io::ErrorKind::BrokenPipe));
        }
        let room = self.links[l].up.room(now);
        let most = if self.random.once_in(3) { 1 + self.random.below(room) } else { room };
        let rest = client.batch.slices(client.written).flatten().copied();
        let bytes: Vec<u8> = rest.take(most).collect();
        client.written += bytes.len();
        if client.written >= client.batch.len() {
            client.batch.clear();
            client.written = 0;
        }
        self.links[l].up.bytes.extend(bytes);
        self.drain(c);
    }

    pub(crate) fn can_read(&self, c: usize) -> bool {
        let client = &self.clients[c];
        matches!(client.socket, Socket::Up(link)
            if self.links[link].down.is_readable(self.now) && client.connection.wants_read())
    }

    pub(crate) fn read(&mut self, c: usize, most: usize) {
        let Socket::Up(link) = self.clients[c].socket else { return };
        let bytes = self.links[link].down.read(most);
        if bytes.is_empty() {
            return self.lost(c, Loss::EndOfStream);
        }
        let client = &mut self.clients[c];
        client.rest.extend(bytes);
        let block = bytes::Bytes::from(std::mem::take(&mut client.rest));
        let used = client.connection.handle_input(self.now, &block);
        client.rest.extend_from_slice(&block[used..]);
        self.drain(c);
    }

    /// What is due: first what has arrived is read, then the deadlines are looked at.
    pub(crate) fn tick(&mut self, c: usize) {
        while self.can_read(c) {
            self.read(c, 64 * 1024);
        }
        match self.clients[c].socket {
            Socket::Shutting(_, until) if until <= self.now => self.leave(c),
            Socket::Dialing(at) if at <= self.now => self.dialed(c),
            _ => {}
        }
        if self.clients[c].connection.poll_timeout().is_some_and(|due| due <= self.now) {
            self.clients[c].connection.handle_timeout(self.now);
            self.drain(c);
            // The batch may hold a heartbeat; deadlines must have moved on.
            let due = self.clients[c].connection.poll_timeout();
            self.check(due.is_none_or(|due| due > self.now), || {
                format!("client {c}: a deadline at {due:?} stays due")
            });
        }
    }

    pub(crate) fn client_due(&self, c: usize) -> Option<Time> {
        let client = &self.clients[c];
        let socket = match client.socket {
            Socket::Dialing(at) | Socket::Shutting(_, at) => Some(at),
            _ => None,
        };
        socket.into_iter().chain(client.connection.poll_timeout()).min()
    }
}
