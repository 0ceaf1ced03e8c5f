//! What the link, its leases and its task share: the machine, the service, and the session that is up.

use std::collections::VecDeque;
use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::core::{Core, Inner};
use super::error::{Ended, Fault, Unavailable};
use super::hooks;
use super::lease::Lease;
use super::service::Service;
use super::settings::{Pulse, Settings};
use super::task::Task;
use crate::fsm::supervisor::{End, Event, Hooks, Refusal, Retry, State, Transition};
use crate::fsm::{CauseId, Label, Reaction, Supervisor, Time};

/// How many faults are kept for those who ask for a cause by its number.
const FAULTS: usize = 16;

pub(super) struct Shared<T: Service> {
    pub(super) core: Arc<Core>,
    pub(super) service: T,
    pub(super) pulse: Option<Pulse>,
    /// Taken by who runs them.
    hooks: Mutex<Option<Hooks>>,
    /// Locked only while the core is, so that session and state always fit.
    slot: Mutex<Slot<T>>,
}

struct Slot<T: Service> {
    session: Option<Arc<T::Session>>,
    /// The number of the session that is up, or was last.
    epoch: u64,
    faults: VecDeque<(CauseId, Arc<Fault<T::Error>>)>,
    last_cause: u64,
}

type Caught<T> = Arc<Fault<<T as Service>::Error>>;

impl<T: Service> Shared<T> {
    pub(super) fn new(service: T, settings: Settings) -> Self {
        let Settings { id, policy, pulse, hooks, seed } = settings;
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        let core = Core::new(id.unwrap_or_else(next_id).into(), Supervisor::new(policy, seed));
        let slot = Slot { session: None, epoch: 0, faults: VecDeque::new(), last_cause: 0 };
        Self {
            core: Arc::new(core),
            service,
            pulse,
            hooks: Mutex::new((!hooks.is_empty()).then_some(hooks)),
            slot: Mutex::new(slot),
        }
    }

    /// Begins to dial; gives how often the link was up before.
    pub(super) fn start(self: &Arc<Self>) -> Result<u64, Fault<T::Error>> {
        let runtime = Handle::try_current().map_err(|_| Fault::NoRuntime)?;
        let (ups, spawn) = self.step(|inner, _, now| {
            inner.supervisor.handle(now, Event::Connect)?;
            inner.stopped = false;
            Ok::<_, Refusal>((inner.ups, !std::mem::replace(&mut inner.running, true)))
        })?;
        if let Some(hooks) = lock(&self.hooks).take() {
            runtime.spawn(hooks::run(self.core.clone(), hooks));
        }
        if spawn {
            runtime.spawn(Task::new(self.clone()));
        }
        Ok(ups)
    }

    pub(super) fn tell(&self, event: Event) -> Result<Reaction, Refusal> {
        self.step(|inner, _, now| inner.supervisor.handle(now, event))
    }

    pub(super) fn handle_timeout(&self) {
        // It refuses only where actions were not fetched, and every step fetches them.
        let _ = self.step(|inner, _, now| inner.supervisor.handle_timeout(now));
    }

    /// Makes an ended link one that can be dialled; without effect on others.
    pub(super) fn reset(&self) {
        if self.core.look(Inner::state) == State::Closed && self.tell(Event::Reset).is_ok() {
            self.log_alone();
        }
    }

    /// The link was dropped: it closes, and then all that waits for it ends.
    pub(super) fn release(&self) {
        self.step(|inner, _, now| {
            inner.released = true;
            inner.gone = !inner.running;
            if !matches!(inner.state(), State::Disconnected | State::Closed) {
                // Ignored if it is closing already.
                let _ = inner.supervisor.handle(now, Event::Close);
            }
        });
    }

    // --- what happens to sessions ---

    /// An attempt has brought a session; it is dropped if the attempt is not waited for any more.
    pub(super) fn opened(&self, attempt: u64, session: T::Session) {
        let mut session = Some(Arc::new(session));
        self.step(|inner, slot, now| {
            let taken = inner.supervisor.handle(now, Event::Opened { attempt });
            if taken == Ok(Reaction::Changed) {
                slot.epoch += 1;
                slot.session = session.take();
            }
        });
    }

    pub(super) fn failed(&self, attempt: u64, fault: Fault<T::Error>) {
        let retry = fault.retry();
        self.step(|inner, slot, now| {
            let cause = slot.keep(fault);
            let _ = inner.supervisor.handle(now, Event::Failed { attempt, retry, cause });
        });
    }

    /// The session of this epoch is gone; says whether that was news.
    pub(super) fn lost(&self, epoch: u64, fault: Fault<T::Error>) -> bool {
        let retry = fault.retry();
        self.step(|inner, slot, now| {
            if slot.epoch != epoch || slot.session.is_none() {
                return false;
            }
            let cause = slot.keep(fault);
            inner.supervisor.handle(now, Event::Lost { retry, cause }) == Ok(Reaction::Changed)
        })
    }

    /// The task has ended before its work was done.
    pub(super) fn stopped(&self) {
        self.step(|inner, _, now| {
            inner.running = false;
            inner.stopped = true;
            inner.gone |= inner.released;
            if !matches!(inner.state(), State::Disconnected | State::Closed) {
                for event in [Event::Close, Event::Closed] {
                    let _ = inner.supervisor.handle(now, event);
                }
            }
        });
        while self.core.next_action().is_some() {}
        self.log();
    }

    /// The session that is up, with its epoch.
    pub(super) fn current(&self) -> Option<(u64, Arc<T::Session>)> {
        self.core.look(|_| {
            let slot = lock(&self.slot);
            slot.session.clone().map(|session| (slot.epoch, session))
        })
    }

    // --- what callers see ---

    pub(super) fn is_current(&self, epoch: u64) -> bool {
        self.current().is_some_and(|(current, _)| current == epoch)
    }

    /// A lease of the session, if the link is up.
    pub(super) fn lease(
        self: &Arc<Self>,
        inner: &Inner,
    ) -> Result<Lease<T>, Unavailable<T::Error>> {
        let slot = lock(&self.slot);
        let supervisor = &inner.supervisor;
        let instant = |time| self.core.instant(time);
        let state = inner.state();
        let fault = || slot.last_fault();
        Err(match (state, supervisor.next_probe(), &slot.session) {
            (State::Connected | State::Degraded, _, Some(session)) => {
                return Ok(Lease::new(self.clone(), session.clone(), slot.epoch));
            }
            (State::CircuitOpen, Some(probe), _) => {
                Unavailable::CircuitOpen { next_probe: instant(probe), fault: fault() }
            }
            (State::Closing, ..) => Unavailable::Closing,
            (State::Closed, ..) => Unavailable::Ended(slot.ended(inner)),
            _ => {
                let next_attempt = supervisor.next_attempt().map(instant);
                Unavailable::Down { state, next_attempt, fault: fault() }
            }
        })
    }

    /// How the link ended, while it is at its end.
    pub(super) fn ended(&self, inner: &Inner) -> Option<Ended<T::Error>> {
        let at_its_end = matches!(inner.state(), State::Disconnected | State::Closed);
        let has_ended = at_its_end && inner.supervisor.end().is_some();
        has_ended.then(|| lock(&self.slot).ended(inner))
    }

    /// Logs what was not logged yet. The task does it, so that a log that blocks holds no caller up.
    pub(super) fn log(&self) {
        while let Some(transition) = self.core.next_to_log() {
            self.log_one(&transition);
        }
    }

    fn log_alone(&self) {
        if !self.core.look(|inner| inner.running) {
            self.log();
        }
    }

    fn log_one(&self, transition: &Transition) {
        let fault = self.core.look(|_| lock(&self.slot).fault(transition.cause));
        let cause = fault.as_deref().map(|fault| fault as &(dyn Error + 'static));
        let (id, number, event) = (&**self.core.id(), transition.number(), transition.event());
        let (from, to) = (transition.from.name(), transition.to.name());
        macro_rules! log {
            ($level:ident) => {
                tracing::$level!(target: "hopmq::link", id, number, from, event, to, cause, "transition")
            };
        }
        match transition.to {
            State::Degraded | State::Reconnecting | State::CircuitOpen => log!(warn),
            State::Disconnected | State::Closed if cause.is_some() => log!(warn),
            _ => log!(info),
        }
    }

    /// Changes something under both locks. A session that the machine no longer counts on is dropped
    /// when they are free again.
    fn step<R>(&self, change: impl FnOnce(&mut Inner, &mut Slot<T>, Time) -> R) -> R {
        let mut gone = None;
        let result = self.core.step(|inner, now| {
            let mut slot = lock(&self.slot);
            let result = change(inner, &mut slot, now);
            if !inner.has_session() {
                gone = slot.session.take();
            }
            result
        });
        drop(gone);
        result
    }
}

impl<T: Service> Slot<T> {
    fn keep(&mut self, fault: Fault<T::Error>) -> CauseId {
        self.last_cause += 1;
        if self.faults.len() >= FAULTS {
            self.faults.pop_front();
        }
        let cause = CauseId(self.last_cause);
        self.faults.push_back((cause, Arc::new(fault)));
        cause
    }

    fn fault(&self, cause: CauseId) -> Option<Caught<T>> {
        self.faults.iter().find(|kept| kept.0 == cause).map(|kept| kept.1.clone())
    }

    fn last_fault(&self) -> Option<Caught<T>> {
        self.faults.back().map(|kept| kept.1.clone())
    }

    fn ended(&self, inner: &Inner) -> Ended<T::Error> {
        // Whoever asks has seen that it ended.
        let end = inner.supervisor.end().unwrap_or(End::ByUs { clean: false });
        let cause = match end {
            End::ByUs { .. } => None,
            End::FirstAttempt { cause, .. }
            | End::Lost { cause }
            | End::Fatal { cause }
            | End::Exhausted { cause, .. } => Some(cause),
        };
        let fault = match cause {
            _ if inner.stopped => Some(Arc::new(Fault::Stopped)),
            // Deadlines are the machine's own.
            Some(CauseId::NONE) => Some(Arc::new(Fault::TimedOut)),
            Some(cause) => self.fault(cause),
            None => None,
        };
        Ended { end, fault }
    }
}

/// How a link ended that never began.
pub(super) fn never_began<E: std::error::Error>(fault: Fault<E>) -> Ended<E> {
    let end = End::FirstAttempt { retry: Retry::Never, cause: CauseId::NONE };
    Ended { end, fault: Some(Arc::new(fault)) }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("link-{}", LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
