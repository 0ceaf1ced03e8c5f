//! One side of a queue between brokers: what was sent and not confirmed, what arrived and was not
//! taken, and how it ends. Pure: no clock, socket or task.
//!
//! Each direction numbers its messages from 1. A message is *confirmed* once the program on the
//! other side has taken it, which the other side says with its position, cumulatively. Whatever
//! carries the frames may lose, repeat or, when it is cut, reorder them: the receiving side takes
//! only the number that is next, and the sending side goes back to the first number that did not
//! arrive. So messages arrive once and in order, whatever happens to the carrier.

use std::collections::VecDeque;

/// How much may be on its way to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Window {
    /// Messages that were sent and not taken.
    pub(super) messages: usize,
    /// Octets of the same.
    pub(super) bytes: usize,
}

impl Window {
    /// What both sides can hold.
    pub(super) fn min(self, other: Window) -> Window {
        Window { messages: self.messages.min(other.messages), bytes: self.bytes.min(other.bytes) }
    }
}

/// How far a side has come with what the other one sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Position {
    /// The last number that its program took.
    pub(super) taken: u64,
    /// The last number that arrived, in order.
    pub(super) received: u64,
}

/// What one side tells the other, besides its position, which goes with everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Frame {
    /// The accepting side is there, and holds so much.
    Welcome(Window),
    /// A message.
    Data { number: u64 },
    /// Nothing but the position.
    Position,
    /// A sign of life, told from time to time.
    Alive,
    /// Something is missing: send again what comes after the position.
    Resend,
    /// There is nothing behind this number, and nothing more is taken than the position says.
    Finish { last: u64 },
    /// All that `Finish` promised was taken, or is not going to be. The last frame of a side.
    Bye,
    /// It ends here and now. The last frame of a side.
    Abort,
}

/// How a queue ended, as one side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ending {
    /// This side closed it.
    Closed,
    /// The other side closed it.
    ClosedByPeer,
    /// This side ended it by force.
    Aborted,
    /// The other side ended it by force.
    AbortedByPeer,
    /// Nothing was heard of the other side for too long.
    Silent,
    /// The other side sent more than there is room for, or what makes no sense.
    Violated,
}

/// Whether a message that comes back may have been taken nevertheless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Doubt {
    /// It was certainly not.
    None,
    /// It was under way, and the other side no longer says.
    Some,
}

/// What became of messages that this side sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Settled<M> {
    pub(super) confirmed: Vec<M>,
    pub(super) handed_back: Vec<(M, Doubt)>,
}

impl<M> Default for Settled<M> {
    fn default() -> Self {
        Settled { confirmed: Vec::new(), handed_back: Vec::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held<M> {
    message: M,
    size: usize,
}

/// One side of a queue. `M` is what it keeps of a message that it sends, `A` of one that arrives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Core<M, A> {
    /// What the other side may have under way to this one.
    own_window: Window,
    /// What this side may have under way.
    window: Window,
    /// Sent and not confirmed; the first has the number `confirmed + 1`.
    outbox: VecDeque<Held<M>>,
    outbox_bytes: usize,
    confirmed: u64,
    /// The next number to go out.
    cursor: u64,
    /// One more than the highest number that ever went out: below it, nobody knows.
    went_out: u64,
    /// Arrived and not taken; the last has the number `received`.
    inbox: VecDeque<Held<A>>,
    inbox_bytes: usize,
    position: Position,
    /// The position that was told last.
    told: Position,
    /// Octets that were taken since.
    untold: usize,
    /// What the other side had received at its last sign of life, to notice when it makes no
    /// progress.
    heard: Option<u64>,
    welcome: bool,
    resend: bool,
    /// Where a missing message was asked for already.
    asked: Option<u64>,
    /// A position is to be told though nothing was taken.
    sign: bool,
    alive: bool,
    finishing: bool,
    finish_sent: bool,
    /// The last number that the other side is going to send.
    finish: Option<u64>,
    farewell: Option<Frame>,
    ended: Option<Ending>,
}

impl<M, A> Core<M, A> {
    /// A side that connects; it learns the other side's window by its welcome.
    pub(super) fn new(own_window: Window) -> Self {
        Core {
            own_window,
            window: own_window,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            confirmed: 0,
            cursor: 1,
            went_out: 1,
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            position: Position::default(),
            told: Position::default(),
            untold: 0,
            heard: None,
            welcome: false,
            resend: false,
            asked: None,
            sign: false,
            alive: false,
            finishing: false,
            finish_sent: false,
            finish: None,
            farewell: None,
            ended: None,
        }
    }

    /// A side that accepts: it knows the other side's window, and welcomes it.
    pub(super) fn accepted(own_window: Window, theirs: Window) -> Self {
        let mut core = Core::new(own_window);
        core.window = own_window.min(theirs);
        core.welcome = true;
        core
    }

    pub(super) fn ended(&self) -> Option<Ending> {
        self.ended
    }

    /// Whether this side still takes messages to send.
    pub(super) fn is_sending(&self) -> bool {
        self.ended.is_none() && !self.finishing && self.finish.is_none()
    }

    /// Whether the other side has closed or this one has.
    pub(super) fn is_finishing(&self) -> bool {
        self.finishing
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    /// How many messages were sent and are not confirmed.
    pub(super) fn unconfirmed(&self) -> usize {
        self.outbox.len()
    }

    /// How many messages have arrived and are not taken.
    pub(super) fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Whether a message of that size fits now.
    pub(super) fn has_room(&self, size: usize) -> bool {
        self.outbox.len() < self.window.messages
            && self.outbox_bytes.saturating_add(size) <= self.window.bytes
    }

    /// Takes a message to be sent, and numbers it.
    pub(super) fn send(&mut self, message: M, size: usize) -> u64 {
        self.outbox.push_back(Held { message, size });
        self.outbox_bytes += size;
        self.confirmed + self.outbox.len() as u64
    }

    /// Gives the next message to the program, which confirms it. Nothing comes once this side is
    /// closing.
    pub(super) fn take(&mut self) -> Option<A> {
        if self.finishing {
            return None;
        }
        let held = self.inbox.pop_front()?;
        self.inbox_bytes -= held.size;
        self.untold += held.size;
        self.position.taken += 1;
        if self.ended.is_none() && self.finish == Some(self.position.taken) {
            self.leave(Ending::ClosedByPeer, Frame::Bye);
        }
        Some(held.message)
    }

    /// This side closes: what was sent goes out first, nothing is taken any more.
    pub(super) fn close(&mut self) -> Settled<M> {
        if self.ended.is_some() || self.finishing {
            return Settled::default();
        }
        self.finishing = true;
        self.inbox.clear();
        self.inbox_bytes = 0;
        match self.finish {
            // The other side waits only for this.
            Some(_) => self.end(Ending::Closed, Some(Frame::Bye), Doubt::None),
            None => Settled::default(),
        }
    }

    /// This side ends it by force, or gives it up: what is not confirmed comes back.
    pub(super) fn give_up(&mut self, ending: Ending) -> Settled<M> {
        if self.ended.is_some() {
            return Settled::default();
        }
        let farewell = (ending != Ending::Silent).then_some(Frame::Abort);
        self.end(ending, farewell, Doubt::Some)
    }

    /// The carrier was cut, or failed: what is not confirmed goes out again.
    pub(super) fn rewind(&mut self) {
        self.go_back_to(self.confirmed);
        self.sign = true;
    }

    /// The other side asks again whether anybody is there.
    pub(super) fn welcome_again(&mut self) {
        self.welcome = self.ended.is_none();
    }

    /// A sign of life is due.
    pub(super) fn tell(&mut self) {
        self.alive = self.ended.is_none();
        self.asked = None;
    }

    /// What is to go out next, with the position that goes with it.
    pub(super) fn transmit(&mut self) -> Option<(Frame, Position, Option<&M>)> {
        let frame = self.next_frame()?;
        self.sign = false;
        self.untold = 0;
        self.told = self.position;
        let message = match frame {
            Frame::Data { number } => {
                self.cursor = number + 1;
                self.went_out = self.went_out.max(self.cursor);
                self.outbox.get(self.index(number)).map(|held| &held.message)
            }
            _ => None,
        };
        Some((frame, self.position, message))
    }

    fn next_frame(&mut self) -> Option<Frame> {
        if let Some(farewell) = self.farewell.take() {
            return Some(farewell);
        }
        if self.ended.is_some() {
            return None;
        }
        if std::mem::take(&mut self.welcome) {
            return Some(Frame::Welcome(self.own_window));
        }
        if std::mem::take(&mut self.resend) {
            return Some(Frame::Resend);
        }
        let last = self.last();
        if self.cursor <= last {
            return Some(Frame::Data { number: self.cursor });
        }
        if self.finishing && !self.finish_sent {
            self.finish_sent = true;
            return Some(Frame::Finish { last });
        }
        if std::mem::take(&mut self.alive) {
            return Some(Frame::Alive);
        }
        (self.sign || self.owes_position()).then_some(Frame::Position)
    }

    /// Told when everything that arrived is taken, and on the way each time a quarter of the
    /// window is: the other side never waits for room that is there, and is not told in vain.
    fn owes_position(&self) -> bool {
        let taken = self.position.taken - self.told.taken;
        let Window { messages, bytes } = self.own_window;
        taken > 0
            && (self.inbox.is_empty() || taken >= messages as u64 / 4 || self.untold >= bytes / 4)
    }

    /// Takes a frame from the other side. A message is made only when it is new.
    pub(super) fn receive(
        &mut self,
        frame: Frame,
        theirs: Position,
        size: usize,
        arrival: impl FnOnce() -> A,
    ) -> Settled<M> {
        if self.ended.is_some() {
            return Settled::default();
        }
        if theirs.taken > theirs.received || theirs.received >= self.went_out {
            return self.end(Ending::Violated, Some(Frame::Abort), Doubt::Some);
        }
        let mut settled = self.confirm(theirs.taken);
        // What has arrived there need not go out again.
        self.cursor = self.cursor.max(theirs.received + 1);
        let more = match frame {
            Frame::Welcome(window) => {
                self.window = self.own_window.min(window);
                Settled::default()
            }
            Frame::Data { number } => self.arrive(number, size, arrival),
            Frame::Position => Settled::default(),
            Frame::Alive => {
                self.look_at_progress(theirs.received);
                Settled::default()
            }
            Frame::Resend => {
                self.go_back_to(theirs.received);
                Settled::default()
            }
            Frame::Finish { last } => self.peer_finishes(last),
            Frame::Bye => {
                let ending = if self.finishing { Ending::Closed } else { Ending::ClosedByPeer };
                self.end(ending, None, Doubt::None)
            }
            Frame::Abort => self.end(Ending::AbortedByPeer, None, Doubt::None),
        };
        settled.confirmed.extend(more.confirmed);
        settled.handed_back.extend(more.handed_back);
        settled
    }

    fn arrive(&mut self, number: u64, size: usize, arrival: impl FnOnce() -> A) -> Settled<M> {
        if number <= self.position.received || self.finishing {
            // Known, or no longer wanted; whoever sends it again does not know the position.
            self.sign = true;
            return Settled::default();
        }
        if number > self.position.received + 1 {
            self.ask();
            return Settled::default();
        }
        // A message is at most as large as the window, and the window is what both sides hold.
        if self.inbox.len() >= self.own_window.messages
            || self.inbox_bytes.saturating_add(size) > self.own_window.bytes
            || self.finish.is_some_and(|last| number > last)
        {
            return self.end(Ending::Violated, Some(Frame::Abort), Doubt::Some);
        }
        self.position.received = number;
        self.inbox_bytes += size;
        self.inbox.push_back(Held { message: arrival(), size });
        Settled::default()
    }

    /// Asks for what is missing, once: what comes behind it says the same.
    fn ask(&mut self) {
        if self.asked != Some(self.position.received) {
            self.asked = Some(self.position.received);
            self.resend = true;
        }
    }

    fn peer_finishes(&mut self, last: u64) -> Settled<M> {
        if last < self.position.received {
            return self.end(Ending::Violated, Some(Frame::Abort), Doubt::Some);
        }
        if self.finishing {
            return self.end(Ending::Closed, Some(Frame::Bye), Doubt::None);
        }
        self.finish = Some(last);
        if last > self.position.received {
            self.ask();
        }
        if last == self.position.taken {
            return self.end(Ending::ClosedByPeer, Some(Frame::Bye), Doubt::None);
        }
        // It takes nothing any more; what it took it has said.
        self.hand_back(Doubt::None)
    }

    /// No progress from one sign of life to the next, though more went out: it was lost.
    fn look_at_progress(&mut self, received: u64) {
        if self.heard.replace(received) == Some(received) {
            self.go_back_to(received);
        }
    }

    fn go_back_to(&mut self, received: u64) {
        self.cursor = self.cursor.min(received.max(self.confirmed) + 1);
        self.finish_sent = false;
    }

    fn confirm(&mut self, taken: u64) -> Settled<M> {
        let mut settled = Settled::default();
        while self.confirmed < taken
            && let Some(held) = self.outbox.pop_front()
        {
            self.confirmed += 1;
            self.outbox_bytes -= held.size;
            settled.confirmed.push(held.message);
        }
        self.cursor = self.cursor.max(self.confirmed + 1);
        settled
    }

    fn end(&mut self, ending: Ending, farewell: Option<Frame>, doubt: Doubt) -> Settled<M> {
        let settled = self.hand_back(doubt);
        if ending != Ending::Silent {
            // The other side gets back what was not taken, so it must not be taken from here on.
            self.inbox.clear();
            self.inbox_bytes = 0;
        }
        self.ended = Some(ending);
        self.farewell = farewell;
        settled
    }

    fn leave(&mut self, ending: Ending, farewell: Frame) {
        self.ended = Some(ending);
        self.farewell = Some(farewell);
    }

    fn hand_back(&mut self, doubt: Doubt) -> Settled<M> {
        let mut settled = Settled::default();
        let first = self.confirmed + 1;
        for (number, held) in (first..).zip(self.outbox.drain(..)) {
            let doubt = if number < self.went_out { doubt } else { Doubt::None };
            settled.handed_back.push((held.message, doubt));
        }
        // Numbers that were given are not given again.
        self.outbox_bytes = 0;
        self.cursor = self.cursor.max(first);
        settled
    }

    /// The number of the last message that was sent.
    fn last(&self) -> u64 {
        self.confirmed + self.outbox.len() as u64
    }

    fn index(&self, number: u64) -> usize {
        usize::try_from(number.saturating_sub(self.confirmed + 1)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests;
