//! The task of one connection: the socket on one side, session and core on the other.

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{
    core::{ConnId, Output},
    session::{Outgoing, Session},
    shared::{Line, Shared},
    socket::Socket,
};

/// One read takes as much at most.
const READ: usize = 64 * 1024;

/// Below this what is written counts as sent, and consumers that waited for it go on.
const LOW: usize = 128 * 1024;

/// While more waits to be written nothing is read: a client that does not take its answers
/// gets no more of them.
const HIGH: usize = 4 * 1024 * 1024;

/// The same two for who has not logged in: a stranger costs less than 64 kB in all.
const BEFORE_LOGIN: usize = 16 * 1024;

/// Pieces per vectored write.
const PIECES: usize = 16;

thread_local! {
    /// Where sockets are read into, one for all connections of a thread: an idle connection
    /// holds no memory for its next read.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connection and its socket.
pub(super) struct Connection {
    shared: Arc<Shared>,
    conn: ConnId,
    line: Arc<Line>,
    socket: Socket,
    /// Whether the session knows whom the client's certificate names.
    introduced: bool,
    session: Session,
    input: BytesMut,
    outputs: Vec<Output>,
    out: Outgoing,
    /// Something was taken from the core that is not reported as sent.
    owed: bool,
    /// The core does not want to hear from it for now.
    muted: bool,
    sleep: Pin<Box<Sleep>>,
}

/// What the task was woken for.
#[derive(Clone, Copy, Debug, Default)]
struct Woken {
    read: bool,
    write: bool,
    due: bool,
    rung: bool,
}

impl Connection {
    /// A connection that was just accepted.
    pub(super) fn new(shared: Arc<Shared>, socket: Socket, local: bool) -> Self {
        let (conn, line) = shared.add();
        let session = Session::new(conn, Arc::clone(&shared.terms), local, shared.now());
        let due = session.poll_timeout().map_or_else(far, |due| shared.instant(due));
        Connection {
            shared,
            conn,
            line,
            socket,
            introduced: false,
            session,
            input: BytesMut::new(),
            outputs: Vec::new(),
            out: Outgoing::default(),
            owed: false,
            muted: false,
            sleep: Box::pin(sleep_until(due)),
        }
    }

    pub(super) fn id(&self) -> ConnId {
        self.conn
    }

    /// Serves until one side ends it.
    pub(super) async fn run(mut self) {
        // What the socket says at the end interests nobody: the connection is over.
        let _ = self.serve().await;
        self.socket.say_goodbye();
    }

    async fn serve(&mut self) -> io::Result<()> {
        self.socket.set_nodelay()?;
        loop {
            let woken = poll_fn(|context| self.poll_woken(context)).await;
            let mut open = true;
            let block = match woken.read {
                true => self.read(&mut open)?,
                false => None,
            };
            if woken.due {
                self.on_alarm();
            }
            self.exchange(block);
            self.write()?;
            if !open || self.is_done() {
                return Ok(());
            }
            self.set_alarm();
        }
    }

    fn is_done(&self) -> bool {
        self.session.is_closed() && self.out.is_empty() && !self.socket.wants_write()
    }

    fn on_alarm(&mut self) {
        let now = self.shared.now();
        if self.muted || self.shared.deaf.load(Ordering::Acquire) {
            self.session.excuse(now);
        }
        self.session.handle_timeout(now);
    }

    fn poll_woken(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        let woken = Woken {
            rung: self.line.bell.heard(context),
            read: self.out.len() < self.high()
                && !self.muted
                && !self.shared.deaf.load(Ordering::Acquire)
                && self.socket.is_readable(context),
            write: (!self.out.is_empty() || self.socket.wants_write())
                && self.socket.is_writable(context),
            due: self.sleep.as_mut().poll(context).is_ready(),
        };
        if woken.rung || woken.read || woken.write || woken.due {
            Poll::Ready(woken)
        } else {
            Poll::Pending
        }
    }

    /// From how much on that waits to be written nothing is read.
    fn high(&self) -> usize {
        if self.session.is_authenticated() { HIGH } else { BEFORE_LOGIN }
    }

    /// Reads what is there. `open` becomes false at the end of the stream.
    fn read(&mut self, open: &mut bool) -> io::Result<Option<Bytes>> {
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(READ, 0);
            let most = if self.session.is_authenticated() { READ } else { BEFORE_LOGIN };
            let room = scratch.get_mut(..most).unwrap_or_default();
            match self.socket.try_read(room) {
                Ok(0) => {
                    *open = false;
                    Ok(None)
                }
                Ok(count) => {
                    self.input.extend_from_slice(scratch.get(..count).unwrap_or_default());
                    Ok(Some(self.input.split().freeze()))
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    /// Hands the core what was read, and takes what it has to say: one lock for both.
    fn exchange(&mut self, block: Option<Bytes>) {
        if !self.introduced && block.is_some() {
            // What a client says comes after its certificate.
            self.introduced = true;
            self.session.set_external(self.socket.client());
        }
        let Connection { shared, conn, line, session, outputs, out, owed, muted, .. } = self;
        let (conn, sent) = (*conn, *owed && out.len() <= LOW);
        let (done, now) = shared.with(Some(conn), |core, now| {
            if line.is_cut() {
                return (None, now);
            }
            let done = block.as_ref().map(|block| session.receive(core, block, now));
            if sent {
                core.sent(conn, now);
            }
            if out.len() < HIGH {
                core.take_outputs(conn, outputs);
            }
            *muted = core.is_blocked(conn);
            (done, now)
        });
        *owed = (*owed && !sent) || !outputs.is_empty();
        session.speak(outputs, out, now);
        if let (Some(block), Some(done)) = (block, done) {
            self.keep(block, done);
        }
    }

    /// Keeps what is not complete for the next read, in the same memory where nobody else
    /// holds on to it.
    fn keep(&mut self, block: Bytes, done: usize) {
        match block.try_into_mut() {
            Ok(mut memory) => {
                memory.advance(done.min(memory.len()));
                self.input = memory;
            }
            Err(block) => {
                let rest = block.get(done..).unwrap_or_default();
                self.input = BytesMut::from(rest);
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        self.socket.flush()?;
        while !self.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES];
            let count = self.out.slices(&mut slices);
            match self.socket.try_write_vectored(slices.get(..count).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.out.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            if self.owed && self.out.len() <= LOW {
                self.exchange(None);
            }
        }
        Ok(())
    }

    /// Sets the alarm where the session's next deadline comes before it. A deadline that moved
    /// away is found when the alarm goes off, so that not every frame moves a timer.
    fn set_alarm(&mut self) {
        let due = self.session.poll_timeout().map_or_else(far, |due| self.shared.instant(due));
        if self.sleep.is_elapsed() || due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.remove(self.conn, self.session.ending(), self.session.exhausted());
    }
}

fn far() -> Instant {
    Instant::now() + std::time::Duration::from_secs(86_400)
}
