//! The one task of a connection: it owns the socket and drives the pure connection.

use std::{
    future::Future,
    io::{self, IoSlice},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWrite},
    runtime::TryCurrentError,
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    attempt::{Attempt, AttemptFailure},
    blocks::Blocks,
    dial::{Dialed, Stream},
    hooks,
    refresh::Refresh,
    sasl,
    settings::settings,
    shared::Shared,
    stand_in,
};
use crate::{
    config::Config,
    fsm::supervisor::Retry,
    proto::{Action, Batch, Cause, Connection, Loss, Turn},
};

/// Slices written in one call.
const WRITE_SLICES: usize = 64;

/// So many bytes are read in one go before writing and other tasks get their turn: consumers then find
/// their messages in the processor's cache.
const READ_PER_TURN: usize = 256 * 1024;

/// From so many bytes on, nothing is gained by waiting for more.
const WRITE_AT_ONCE: usize = 16 * 1024;

/// A timer that fires so late says that the whole runtime was held up.
const STALL: Duration = Duration::from_millis(100);

/// How long the last bytes may take to leave before the socket is dropped.
const SHUT_WITHIN: Duration = Duration::from_millis(500);

type Dialing = Pin<Box<dyn Future<Output = (Box<Attempt>, Result<Dialed, AttemptFailure>)> + Send>>;

/// Starts the task of a connection that is not dialled yet.
///
/// # Errors
/// When there is no tokio runtime to start it on.
pub(crate) fn spawn(config: Arc<Config>) -> Result<Arc<Shared>, TryCurrentError> {
    let runtime = tokio::runtime::Handle::try_current()?;
    let seed = Shared::fresh_seed();
    let shared = Shared::around(Connection::new(settings(&config), seed), seed);
    if let Some(hooks) = &config.hooks {
        runtime.spawn(hooks::run(shared.clone(), hooks.make()));
    }
    let task = Task::new(shared.clone(), config);
    shared.can_be_looked_after(stand_in::start(&runtime, shared.clone(), task));
    Ok(shared)
}

/// Drives one connection until it has ended and its socket is gone.
pub(super) struct Task {
    shared: Arc<Shared>,
    config: Arc<Config>,
    socket: Socket,
    /// Until the connection is open: the hosts that are left.
    attempt: Option<Box<Attempt>>,
    read: Blocks,
    batch: Batch,
    written: usize,
    /// Others had their turn before what is to be written goes out.
    let_others_in: bool,
    /// The socket was not read, because consumers hold all that they may.
    paused: bool,
    timer: Pin<Box<Sleep>>,
    /// After a stall: the runtime was told to look at its sockets before time is told to have passed.
    looked_again: bool,
    refresh: Refresh,
}

enum Socket {
    None,
    Dialing(Dialing),
    Up(Stream),
    /// Writing failed. The peer may have said why before it hung up (connection.close, an alert of
    /// TLS): that is still read, until the deadline at most.
    Deaf(Stream, io::Error, Instant),
    /// What is in the batch goes out, until the deadline at most.
    Shutting(Stream, Instant),
}

impl Task {
    fn new(shared: Arc<Shared>, config: Arc<Config>) -> Self {
        Task {
            timer: Box::pin(sleep_until(Instant::now())),
            shared,
            refresh: Refresh::new(config.clone()),
            config,
            socket: Socket::None,
            attempt: None,
            read: Blocks::new(),
            batch: Batch::default(),
            written: 0,
            let_others_in: false,
            paused: false,
            looked_again: false,
        }
    }

    /// Whether it is better to let others run before writing: several wait on this connection, and
    /// those that are about to publish too then share one write. A runtime of several threads runs
    /// the task that was woken last first, which is this one after each single publish.
    fn lets_others_in(&mut self) -> bool {
        self.let_others_in = !self.let_others_in && {
            let state = self.shared.lock();
            let waiting = state.connection.output_len();
            (1..WRITE_AT_ONCE).contains(&waiting) && state.waiters.len() > 1
        };
        self.let_others_in
    }

    /// One turn. Gives true when something changed that asks for another: what is read, is answered
    /// and written in the same one.
    fn turn(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_dial(cx);
        self.poll_read(cx);
        let acted = self.act();
        let ended = self.poll_write(cx);
        let fired = self.poll_timer(cx);
        let renewed = self.poll_refresh(cx);
        acted | ended | fired | renewed
    }

    fn poll_dial(&mut self, cx: &mut Context<'_>) {
        let Socket::Dialing(dialing) = &mut self.socket else { return };
        let Poll::Ready(dialed) = dialing.as_mut().poll(cx) else { return };
        let now = self.shared.now();
        let (attempt, dialed) = dialed;
        match dialed {
            Ok(dialed) => {
                self.refresh.after(attempt.refresh_in());
                tracing::debug!(connection = self.shared.id(), peer = %dialed.peer, "dialled");
                self.socket = Socket::Up(dialed.stream);
                // What was meant for an earlier socket must not reach this one.
                self.read.clear();
                self.batch.clear();
                self.written = 0;
                let until = self.shared.time(dialed.deadline);
                let turn = Turn { until, among_others: dialed.among_others };
                let mechanisms = attempt.mechanisms();
                self.attempt = Some(attempt);
                self.shared.with(|state| {
                    state.connection.handle_dialed_in_turn(now, mechanisms, turn);
                });
            }
            Err(error) => {
                self.socket = Socket::None;
                let retry = if error.is_permanent() { Retry::Never } else { Retry::Can };
                self.shared.with(|state| {
                    state.last_error = Some(Arc::new(error.into()));
                    state.connection.handle_dial_failed(now, Loss::Unreachable, retry);
                });
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) {
        self.paused = false;
        let mut read = 0;
        while read < READ_PER_TURN {
            let (Socket::Up(stream) | Socket::Deaf(stream, ..)) = &mut self.socket else { return };
            self.paused = !self.shared.look(|connection| connection.wants_read());
            if self.paused {
                return;
            }
            match poll_read_block(stream, &mut self.read, cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => return self.lost(None),
                Poll::Ready(Err(error)) => return self.lost(Some(error)),
                Poll::Ready(Ok(count)) => {
                    self.handle_block();
                    // Many small reads are a turn, too.
                    read += count.max(READ_PER_TURN / 16);
                }
            }
        }
        // More may be waiting; others come first.
        cx.waker().wake_by_ref();
    }

    fn handle_block(&mut self) {
        let now = self.shared.now();
        let block = self.read.take();
        let (used, missing) = self.shared.with(|state| {
            let used = state.connection.handle_input(now, &block);
            (used, state.connection.missing_body())
        });
        self.read.put_back(block, used);
        self.read.expect(missing);
        if self.attempt.is_some() && self.shared.look(Connection::is_up) {
            self.attempt = None;
        }
    }

    fn poll_refresh(&mut self, cx: &mut Context<'_>) -> bool {
        let Poll::Ready(secret) = self.refresh.poll(cx) else { return false };
        let after = self.config.call_timeout;
        self.shared.command(|connection, now| {
            let call = connection.update_secret(now, &sasl::secret(&secret), after);
            connection.abandon_call(now, call);
        });
        true
    }

    fn lost(&mut self, error: Option<io::Error>) {
        let error = match mem::replace(&mut self.socket, Socket::None) {
            Socket::Deaf(_, earlier, _) => error.or(Some(earlier)),
            _ => error,
        };
        let now = self.shared.now();
        let (loss, error) = match error.map(explained) {
            None => (Loss::EndOfStream, None),
            Some((loss, error)) => (loss, Some(error)),
        };
        self.shared.with(|state| {
            state.last_error = error.map(Arc::new);
            state.connection.handle_lost(now, loss);
        });
    }

    /// Does what the connection asks for.
    fn act(&mut self) -> bool {
        if !self.shared.look(Connection::has_actions) {
            return false;
        }
        while let Some(action) = self.shared.with(|state| state.connection.poll_action()) {
            match action {
                Action::Dial { attempt } => {
                    let seed = self.shared.seed().wrapping_add(attempt);
                    let attempt = Box::new(Attempt::new(self.config.clone(), seed));
                    self.socket = Socket::Dialing(Box::pin(attempt.next()));
                }
                Action::DialNext { cause } => self.dial_next(&cause),
                Action::Abort => {
                    self.socket = Socket::None;
                    self.attempt = None;
                }
                Action::Shut => {
                    if let Socket::Up(stream) = mem::replace(&mut self.socket, Socket::None) {
                        self.socket = Socket::Shutting(stream, Instant::now() + SHUT_WITHIN);
                    }
                }
            }
        }
        true
    }

    fn dial_next(&mut self, cause: &Cause) {
        let Some(mut attempt) = self.attempt.take() else { return };
        attempt.host_failed(cause, self.shared.last_error());
        self.socket = Socket::Dialing(Box::pin(attempt.next()));
    }

    /// Writes what there is. True when that was the end of writing to this socket.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.batch.is_empty() {
                self.refill();
            }
            let stream = match &mut self.socket {
                Socket::Up(stream) | Socket::Shutting(stream, _) => stream,
                _ => return false,
            };
            if self.batch.is_empty() {
                // Everything is out; a socket that is to be shut has served its purpose.
                if Pin::new(stream).poll_flush(cx).is_ready()
                    && let Socket::Shutting(..) = self.socket
                {
                    self.socket = Socket::None;
                    return true;
                }
                return false;
            }
            match poll_write_batch(stream, &self.batch, self.written, cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n;
                    if self.written >= self.batch.len() {
                        self.batch.clear();
                        self.written = 0;
                    }
                }
                Poll::Ready(result) => {
                    let error = result.err().unwrap_or(io::ErrorKind::WriteZero.into());
                    self.batch.clear();
                    self.written = 0;
                    match self.socket {
                        Socket::Shutting(..) => self.socket = Socket::None,
                        _ => self.writing_failed(error),
                    }
                    return true;
                }
            }
        }
    }

    fn writing_failed(&mut self, error: io::Error) {
        self.socket = match mem::replace(&mut self.socket, Socket::None) {
            Socket::Up(stream) => Socket::Deaf(stream, error, Instant::now() + SHUT_WITHIN),
            other => other,
        };
    }

    fn refill(&mut self) {
        if !self.shared.look(Connection::has_output) {
            return;
        }
        let now = self.shared.now();
        self.written = 0;
        self.shared.with(|state| state.connection.take_batch(now, &mut self.batch));
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let (due, draining) =
            self.shared.look(|connection| (connection.poll_timeout(), connection.is_draining()));
        if draining && self.shared.drain() {
            return true;
        }
        let due = due.map(|time| self.shared.instant(time));
        let shut = match &self.socket {
            Socket::Shutting(_, deadline) | Socket::Deaf(_, _, deadline) => Some(*deadline),
            _ => None,
        };
        let Some(at) = [due, shut].into_iter().flatten().min() else { return false };
        // Every write puts a deadline off: the timer learns of it when it fires.
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.timer.deadline() >= at {
                return self.time_has_come(at, shut, cx);
            }
            self.timer.as_mut().reset(at);
        }
        self.looked_again = false;
        false
    }

    fn time_has_come(&mut self, at: Instant, shut: Option<Instant>, cx: &mut Context<'_>) -> bool {
        // What the peer sent meanwhile may wait in the socket, and the runtime may not know of it yet.
        self.looked_again = !self.looked_again && at + STALL < Instant::now();
        if self.looked_again {
            let _ = pin!(yield_now()).poll(cx);
            return false;
        }
        if shut.is_some_and(|deadline| deadline <= Instant::now()) {
            match self.socket {
                Socket::Deaf(..) => self.lost(None),
                _ => self.socket = Socket::None,
            }
        }
        let now = self.shared.now();
        self.shared.with(|state| state.connection.handle_timeout(now));
        self.read.rest();
        true
    }

    /// Whether there is nothing left to do, for ever.
    fn is_over(&self) -> bool {
        matches!(self.socket, Socket::None)
            && self.shared.look(|connection| connection.ended().is_some())
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.lets_others_in() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        loop {
            while self.turn(cx) {}
            if self.is_over() {
                return Poll::Ready(());
            }
            let can_write = self.batch.is_empty() && matches!(self.socket, Socket::Up(_));
            if self.shared.may_sleep(cx.waker(), can_write, self.paused) {
                return Poll::Pending;
            }
        }
    }
}

/// What an error of the socket says: TLS has words of its own for some.
fn explained(error: io::Error) -> (Loss, io::Error) {
    #[cfg(feature = "tls")]
    let error = match super::tls::TlsError::from_io(error) {
        Ok(tls) => return (Loss::Tls, io::Error::other(tls)),
        Err(error) => error,
    };
    (Loss::Io(error.kind()), error)
}

/// Reads once into the rest of the block, or into a new one.
fn poll_read_block(
    stream: &mut Stream,
    read: &mut Blocks,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    // Dropping this future loses nothing: it reads into the block or not at all.
    pin!(stream.read_buf(read.room())).poll(cx)
}

/// Writes once, several slices in one call, from byte `written` of the batch on.
fn poll_write_batch(
    stream: &mut Stream,
    batch: &Batch,
    written: usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if batch.splices.is_empty() {
        return Pin::new(stream).poll_write(cx, batch.bytes.get(written..).unwrap_or_default());
    }
    let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
    let mut count = 0;
    for (slot, slice) in slices.iter_mut().zip(batch.slices(written)) {
        *slot = IoSlice::new(slice);
        count += 1;
    }
    Pin::new(stream).poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
}
