//! The one task of a link: does what the machine says, and tells it what became of that.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Sleep;

use super::core::Inner;
use super::error::Fault;
use super::pulse::{Heart, Need};
use super::service::{Restored, Service};
use super::shared::Shared;
use crate::fsm::Time;
use crate::fsm::supervisor::{Action, Event, Reasons, State};

/// How much is done before other tasks get their turn.
const ROUNDS: usize = 32;

pub(super) struct Task<T: Service> {
    shared: Arc<Shared<T>>,
    dialling: Option<(u64, Job<Dialled<T>>)>,
    up: Option<Up<T>>,
    heart: Heart,
    alarm: Option<Pin<Box<Sleep>>>,
    done: bool,
}

type Job<O> = Pin<Box<dyn Future<Output = O> + Send>>;

type Dialled<T> = Result<<T as Service>::Session, <T as Service>::Error>;

/// What is under way on the session that is up.
struct Up<T: Service> {
    epoch: u64,
    session: Arc<T::Session>,
    losing: Job<T::Error>,
    probing: Option<Job<Result<(), T::Error>>>,
    /// Recovering, then draining, then closing.
    work: Option<Job<Done<T::Error>>>,
}

enum Done<E> {
    Recovered(Result<Restored, E>),
    Drained,
    Closed,
}

impl<T: Service> Task<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        let heart = Heart::new(shared.pulse);
        Self { shared, dialling: None, up: None, heart, alarm: None, done: false }
    }

    /// Does what the machine has said since, in that order.
    fn follow(&mut self) {
        self.attend();
        while let Some(action) = self.shared.core.next_action() {
            match action {
                Action::Dial { attempt, .. } => {
                    let shared = self.shared.clone();
                    let dial = Box::pin(async move { shared.service.dial().await });
                    self.dialling = Some((attempt, dial));
                }
                Action::AbortDial { .. } => self.dialling = None,
                Action::Recover | Action::Drain | Action::Close => self.work(action),
                // The session went with the state that counted on it, and whoever waits was woken.
                Action::Drop | Action::GiveUp(_) => {}
            }
        }
    }

    /// Turns to the session that is up, and away from the one that is not.
    fn attend(&mut self) {
        let current = self.shared.current();
        let epoch = current.as_ref().map(|(epoch, _)| *epoch);
        if self.up.as_ref().map(|up| up.epoch) != epoch {
            self.heart.stop();
            self.up = current.map(|(epoch, session)| Up::new(&self.shared, epoch, session));
        }
        match self.shared.core.look(Inner::state) {
            State::Connected | State::Degraded => self.heart.start(self.shared.core.now()),
            _ => {
                self.heart.stop();
                if let Some(up) = &mut self.up {
                    up.probing = None;
                }
            }
        }
    }

    fn work(&mut self, action: Action) {
        // Without a session it was lost since, and the machine knows.
        let Some(up) = &mut self.up else { return };
        let (shared, session) = (self.shared.clone(), up.session.clone());
        up.work = Some(Box::pin(async move {
            let service = &shared.service;
            match action {
                Action::Recover => Done::Recovered(service.recover(&session).await),
                Action::Drain => {
                    service.drain(&session).await;
                    Done::Drained
                }
                _ => {
                    service.close(&session).await;
                    Done::Closed
                }
            }
        }));
    }

    /// Says whether something happened.
    fn poll_jobs(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some((attempt, dial)) = &mut self.dialling {
            let attempt = *attempt;
            if let Poll::Ready(result) = dial.as_mut().poll(cx) {
                self.dialling = None;
                match result {
                    Ok(session) => self.shared.opened(attempt, session),
                    Err(error) => self.shared.failed(attempt, Fault::Service(error)),
                }
                return true;
            }
        }
        let Some(up) = &mut self.up else { return false };
        if let Poll::Ready(error) = up.losing.as_mut().poll(cx) {
            self.lost(Fault::Service(error));
            return true;
        }
        if let Some(Poll::Ready(done)) = up.work.as_mut().map(|work| work.as_mut().poll(cx)) {
            up.work = None;
            self.worked(done);
            return true;
        }
        if let Some(Poll::Ready(answer)) = up.probing.as_mut().map(|probe| probe.as_mut().poll(cx))
        {
            up.probing = None;
            match answer {
                Ok(()) => {
                    self.heart.answered(self.shared.core.now());
                    self.tell(Event::Clear(Reasons::LATE));
                }
                Err(error) => self.lost(Fault::Service(error)),
            }
            return true;
        }
        false
    }

    fn worked(&mut self, done: Done<T::Error>) {
        match done {
            Done::Recovered(Ok(restored)) => {
                if restored == Restored::Partly {
                    self.tell(Event::Degrade(Reasons::PARTIAL));
                }
                self.tell(Event::Recovered);
            }
            Done::Recovered(Err(error)) => self.lost(Fault::Service(error)),
            Done::Drained => self.tell(Event::Drained),
            Done::Closed => self.tell(Event::Closed),
        }
    }

    /// Does what is due; says whether something was.
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let core = self.shared.core.clone();
        let now = core.now();
        let deadline = core.look(|inner| inner.supervisor.poll_timeout());
        if deadline.is_some_and(|due| due <= now) {
            self.shared.handle_timeout();
            return true;
        }
        if let Some(need) = self.heart.need(now) {
            self.beat(need);
            return true;
        }
        let next = [deadline, self.heart.due()].into_iter().flatten().min();
        next.is_some_and(|next| self.poll_alarm(next, cx))
    }

    fn beat(&mut self, need: Need) {
        match need {
            Need::Probe => {
                let Some(up) = &mut self.up else { return };
                let (shared, session) = (self.shared.clone(), up.session.clone());
                let probe = async move { shared.service.probe(&session).await };
                up.probing = Some(Box::pin(probe));
            }
            Need::Late => self.tell(Event::Degrade(Reasons::LATE)),
            Need::Silent { after } => self.lost(Fault::Silent { after }),
        }
    }

    fn poll_alarm(&mut self, at: Time, cx: &mut Context<'_>) -> bool {
        let at = self.shared.core.instant(at);
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(cx).is_ready()
    }

    fn lost(&self, fault: Fault<T::Error>) {
        if let Some(up) = &self.up {
            self.shared.lost(up.epoch, fault);
        }
    }

    /// A refusal means that the link was lost or closed at the same moment, which the machine knows.
    fn tell(&self, event: Event) {
        let _ = self.shared.tell(event);
    }
}

impl<T: Service> Up<T> {
    fn new(shared: &Arc<Shared<T>>, epoch: u64, session: Arc<T::Session>) -> Self {
        let losing = {
            let (shared, session) = (shared.clone(), session.clone());
            Box::pin(async move { shared.service.lost(&session).await })
        };
        Self { epoch, session, losing, probing: None, work: None }
    }
}

impl<T: Service> Future for Task<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        for _ in 0..ROUNDS {
            // Before looking, so that nothing that comes after goes unseen.
            this.shared.core.watch(cx.waker());
            this.follow();
            this.shared.log();
            if this.poll_jobs(cx) || this.poll_clock(cx) {
                continue;
            }
            if this.shared.core.rest() {
                this.done = true;
                return Poll::Ready(());
            }
            return Poll::Pending;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Service> Drop for Task<T> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.stopped();
        }
    }
}
