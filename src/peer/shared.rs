//! What the handles of a queue and the task that carries it share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    core::{Core, Ending, Frame, Position, Settled, Window},
    error::{End, NotSent, SendError, Unsent},
    events::{PeerEvent, Teller},
    queue::{QueueId, Sent},
    settings::Settings,
};
use crate::{error::Error, message::Message};

/// One side of a queue.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: QueueId,
    /// The other side's name.
    pub(super) peer: String,
    pub(super) settings: Settings,
    state: Mutex<State>,
    teller: Teller,
    /// There may be something to transmit.
    pub(super) work: Notify,
    /// There may be room to send.
    room: Notify,
    /// There may be something to take.
    arrived: Notify,
    /// Whoever sends, or receives, waits in turn: first come, first served.
    sending: tokio::sync::Mutex<()>,
    receiving: tokio::sync::Mutex<()>,
    over: watch::Sender<bool>,
    /// Nobody carries it any more: what there was to say at the end was said.
    left: watch::Sender<bool>,
}

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct State {
    core: Core<Held, Message>,
    /// When something was last heard of the other side.
    heard: Instant,
    /// What was last wrong with the way there.
    cause: Option<Error>,
    end: Option<End>,
    /// What came back, and nobody waited for.
    unsent: Vec<Unsent>,
}

/// A message until it is confirmed, and who wants to know.
#[derive(Debug)]
struct Held {
    message: Message,
    ticket: oneshot::Sender<Result<(), Unsent>>,
}

impl Shared {
    /// The side that connects.
    pub(super) fn connecting(
        id: QueueId,
        peer: String,
        settings: Settings,
        teller: Teller,
    ) -> Shared {
        Shared::new(id, peer, settings, teller, Core::new(settings.window()))
    }

    /// The side that accepts.
    pub(super) fn accepting(
        id: QueueId,
        peer: String,
        settings: Settings,
        teller: Teller,
        theirs: Window,
    ) -> Shared {
        Shared::new(id, peer, settings, teller, Core::accepted(settings.window(), theirs))
    }

    fn new(
        id: QueueId,
        peer: String,
        settings: Settings,
        teller: Teller,
        core: Core<Held, Message>,
    ) -> Shared {
        let state =
            State { core, heard: Instant::now(), cause: None, end: None, unsent: Vec::new() };
        Shared {
            id,
            peer,
            settings,
            state: Mutex::new(state),
            teller,
            work: Notify::new(),
            room: Notify::new(),
            arrived: Notify::new(),
            sending: tokio::sync::Mutex::new(()),
            receiving: tokio::sync::Mutex::new(()),
            over: watch::Sender::new(false),
            left: watch::Sender::new(false),
        }
    }

    // For the program.

    pub(super) async fn send(&self, message: Message) -> Result<Sent, SendError> {
        if let Err(problem) = message.encoded(false) {
            return Err(SendError::new(NotSent::Usage(problem), message));
        }
        let size = weight(&message);
        let after = self.settings.send_timeout;
        let deadline = Instant::now() + after;
        let Ok(_turn) = timeout_at(deadline, self.sending.lock()).await else {
            return Err(SendError::new(NotSent::Full { after }, message));
        };
        loop {
            match self.try_send(&message, size) {
                Ok(Some(sent)) => return Ok(sent),
                Ok(None) => {}
                Err(reason) => return Err(SendError::new(reason, message)),
            }
            if timeout_at(deadline, self.room.notified()).await.is_err() {
                return Err(SendError::new(NotSent::Full { after }, message));
            }
        }
    }

    fn try_send(&self, message: &Message, size: usize) -> Result<Option<Sent>, NotSent> {
        let mut state = self.lock();
        if let Some(end) = &state.end {
            return Err(end.clone().into());
        }
        if !state.core.is_sending() {
            let closed = if state.core.is_finishing() { End::Closed } else { End::ClosedByPeer };
            return Err(closed.into());
        }
        let most = state.core.window().bytes;
        if size > most {
            return Err(NotSent::TooLarge { size, most });
        }
        if !state.core.has_room(size) {
            return Ok(None);
        }
        let (ticket, outcome) = oneshot::channel();
        let number = state.core.send(Held { message: message.clone(), ticket }, size);
        // Events are told before others can change the queue, so that they come in its order.
        self.teller.tell(|| PeerEvent::Sent { queue: self.id, number });
        drop(state);
        self.work.notify_one();
        Ok(Some(Sent::new(outcome)))
    }

    pub(super) async fn receive(&self) -> Option<Message> {
        let _turn = self.receiving.lock().await;
        loop {
            let mut taken = None;
            let over = self.change(|core| {
                taken = core.take();
                Settled::default()
            });
            if taken.is_some() || over {
                return taken;
            }
            self.arrived.notified().await;
        }
    }

    /// Closes, and waits until that is done and said; by force when it takes too long.
    pub(super) async fn close(&self) {
        self.change(Core::close);
        if timeout(self.settings.drain_timeout, self.until_over()).await.is_err() {
            self.abort();
        }
        let mut left = self.left.subscribe();
        let _ = timeout(FAREWELL, left.wait_for(|left| *left)).await;
    }

    /// Ends it by force, unless it has ended.
    pub(super) fn abort(&self) {
        self.change(|core| core.give_up(Ending::Aborted));
    }

    pub(super) async fn until_over(&self) {
        // It fails only when the sender is gone, which is in `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    pub(super) fn end(&self) -> Option<End> {
        self.lock().end.clone()
    }

    pub(super) fn take_unsent(&self) -> Vec<Unsent> {
        std::mem::take(&mut self.lock().unsent)
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.lock().core.unconfirmed()
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().core.waiting()
    }

    // For whoever carries it.

    /// The next frame that is to go out, with the program's message.
    pub(super) fn transmit(&self) -> Option<(Frame, Position, Option<Message>)> {
        let mut state = self.lock();
        let (frame, position, held) = state.core.transmit()?;
        Some((frame, position, held.map(|held| held.message.clone())))
    }

    /// Takes a frame from the other side, with its message.
    pub(super) fn arrive(&self, frame: Frame, position: Position, message: Message) {
        let size = weight(&message);
        self.lock().heard = Instant::now();
        self.change(|core| {
            core.receive(frame, position, size, || {
                if let Frame::Data { number } = frame {
                    self.teller.tell(|| PeerEvent::Arrived { queue: self.id, number });
                }
                message
            })
        });
    }

    /// The other side asks again whether anybody is there.
    pub(super) fn welcome_again(&self) {
        self.change(|core| {
            core.welcome_again();
            Settled::default()
        });
    }

    /// Says that this side is there, or gives the other side up. `excused`: nothing can be heard of
    /// it, and that is known.
    pub(super) fn pulse(&self, excused: bool) {
        let silent = {
            let mut state = self.lock();
            if excused {
                state.heard = Instant::now();
            }
            state.heard.elapsed() > self.settings.patience
        };
        self.change(|core| match silent {
            true => core.give_up(Ending::Silent),
            false => {
                core.tell();
                Settled::default()
            }
        });
    }

    /// Nobody carries the queue any more: if it has not ended, it has now.
    pub(super) fn left(&self) {
        self.change(|core| core.give_up(Ending::Silent));
        self.left.send_replace(true);
    }

    /// Tells that there is a queue, of the side that connected.
    pub(super) fn connected(&self) {
        self.teller.tell_both(PeerEvent::Connected { queue: self.id, to: self.peer.clone() });
    }

    pub(super) fn interrupted(&self, cause: Error) {
        self.lock().cause = Some(cause.clone());
        self.tell_open(|| PeerEvent::Interrupted { queue: self.id, cause });
    }

    pub(super) fn blocked(&self, reason: Arc<str>) {
        self.tell_open(|| PeerEvent::Blocked { queue: self.id, reason });
    }

    pub(super) fn unblocked(&self) {
        self.tell_open(|| PeerEvent::Unblocked { queue: self.id });
    }

    /// Tells of a queue that has not ended.
    fn tell_open(&self, event: impl FnOnce() -> PeerEvent) {
        let state = self.lock();
        if state.end.is_none() {
            self.teller.tell(event);
        }
    }

    pub(super) fn resumed(&self) {
        self.change(|core| {
            core.rewind();
            Settled::default()
        });
        self.tell_open(|| PeerEvent::Resumed { queue: self.id });
    }

    pub(super) fn failed_again(&self, cause: Error) {
        self.lock().cause = Some(cause);
    }

    /// Changes the core, and tells everybody whom that concerns. Whether it has ended.
    fn change(&self, change: impl FnOnce(&mut Core<Held, Message>) -> Settled<Held>) -> bool {
        let mut state = self.lock();
        let settled = change(&mut state.core);
        let mut told = None;
        if let (None, Some(ending)) = (&state.end, state.core.ended()) {
            let end = End::new(ending, self.settings.patience, state.cause.clone());
            state.end = Some(end.clone());
            told = Some(end);
        }
        let end = state.end.clone();
        let waiting = state.core.waiting() > 0;
        drop(state);

        if !settled.confirmed.is_empty() || !settled.handed_back.is_empty() || told.is_some() {
            self.settle(settled, end.clone().unwrap_or(End::ClosedByPeer));
            self.room.notify_one();
        }
        if waiting || told.is_some() {
            self.arrived.notify_one();
        }
        self.work.notify_one();
        if let Some(end) = told {
            self.over.send_replace(true);
            let from = self.peer.clone();
            self.teller.tell_both(PeerEvent::Disconnected { queue: self.id, from, end });
        }
        end.is_some()
    }

    fn settle(&self, settled: Settled<Held>, end: End) {
        for held in settled.confirmed {
            // Whoever dropped it does not want to know.
            let _ = held.ticket.send(Ok(()));
        }
        for (Held { message, ticket }, doubt) in settled.handed_back {
            let unsent = Unsent::new(message, doubt, end.clone());
            if let Err(Err(unsent)) = ticket.send(Err(unsent)) {
                self.lock().unsent.push(unsent);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a message counts: its body and its headers, and a little for itself.
fn weight(message: &Message) -> usize {
    const ITSELF: usize = 64;
    let properties = message.properties();
    let headers = properties.as_wire().headers.as_ref().map_or(0, |all| all.as_bytes().len());
    ITSELF + message.body().len() + headers
}
