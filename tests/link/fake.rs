//! A service that does what a test says, and notes what is asked of it.

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use hopmq::link::{
    Backoff, Breaker, Closing, Connected, Connecting, Disconnected, Failure, Link, Monitor, Policy,
    Pulse, Reasons, Restored, Retry, Service, Settings, State,
};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a dial, a probe, a recovery or a closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Work,
    /// Works after this time.
    Late(Duration),
    Fail,
    /// Fails, and no retry can help.
    Refuse,
    Hang,
    Panic,
    /// For a recovery: works in part.
    Partly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Oops {
    #[error("out of order")]
    OutOfOrder,
    #[error("no entry")]
    NoEntry,
}

impl Failure for Oops {
    fn retry(&self) -> Retry {
        match self {
            Self::OutOfOrder => Retry::Can,
            Self::NoEntry => Retry::Never,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Fake(Arc<World>);

struct World {
    script: Mutex<Script>,
    /// Sessions up to this number are cut.
    cut: watch::Sender<u64>,
}

struct Script {
    dials: VecDeque<Does>,
    dial: Does,
    probe: Does,
    recover: Does,
    drain: Does,
    close: Does,
    notes: Notes,
}

/// What was asked of the service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// When dials began.
    pub(crate) dials: Vec<Instant>,
    pub(crate) under_way: usize,
    /// The most dials that were under way at once.
    pub(crate) most_under_way: usize,
    pub(crate) probes: usize,
    pub(crate) recovered: Vec<u64>,
    pub(crate) drained: Vec<u64>,
    pub(crate) closed: Vec<u64>,
    /// Sessions that were dropped.
    pub(crate) dropped: Vec<u64>,
    sessions: u64,
}

pub(crate) struct Session {
    pub(crate) number: u64,
    world: Arc<World>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        crate::log::begin();
        let script = Script {
            dials: VecDeque::new(),
            dial: Does::Work,
            probe: Does::Work,
            recover: Does::Work,
            drain: Does::Work,
            close: Does::Work,
            notes: Notes::default(),
        };
        Self(Arc::new(World { script: Mutex::new(script), cut: watch::Sender::new(0) }))
    }

    /// What the next dials do, before those that [`dial`](Self::dial) says.
    pub(crate) fn next_dials(&self, does: &[Does]) {
        self.script(|script| script.dials.extend(does));
    }

    pub(crate) fn dials_do(&self, does: Does) {
        self.script(|script| script.dial = does);
    }

    pub(crate) fn probes_do(&self, does: Does) {
        self.script(|script| script.probe = does);
    }

    pub(crate) fn recovery_does(&self, does: Does) {
        self.script(|script| script.recover = does);
    }

    pub(crate) fn drain_does(&self, does: Does) {
        self.script(|script| script.drain = does);
    }

    pub(crate) fn close_does(&self, does: Does) {
        self.script(|script| script.close = does);
    }

    /// The session that is up is dead.
    pub(crate) fn cut(&self) {
        self.0.cut.send_replace(self.notes().sessions);
    }

    pub(crate) fn notes(&self) -> Notes {
        self.script(|script| script.notes.clone())
    }

    /// How many sessions there were.
    pub(crate) fn sessions(&self) -> usize {
        usize::try_from(self.notes().sessions).unwrap()
    }

    /// When dials began, in whole seconds after `start`.
    pub(crate) fn dialled_at(&self, start: Instant) -> Vec<u64> {
        self.notes().dials.iter().map(|dial| (*dial - start).as_secs()).collect()
    }

    fn script<R>(&self, f: impl FnOnce(&mut Script) -> R) -> R {
        f(&mut self.0.script.lock().unwrap())
    }
}

impl Service for Fake {
    type Session = Session;
    type Error = Oops;

    async fn dial(&self) -> Result<Session, Oops> {
        let does = self.script(|script| {
            script.notes.dials.push(Instant::now());
            script.notes.under_way += 1;
            script.notes.most_under_way = script.notes.most_under_way.max(script.notes.under_way);
            script.dials.pop_front().unwrap_or(script.dial)
        });
        let _guard = UnderWay(self);
        act(does).await?;
        let number = self.script(|script| {
            script.notes.sessions += 1;
            script.notes.sessions
        });
        Ok(Session { number, world: self.0.clone() })
    }

    async fn probe(&self, _: &Session) -> Result<(), Oops> {
        let does = self.script(|script| {
            script.notes.probes += 1;
            script.probe
        });
        act(does).await.map(drop)
    }

    async fn close(&self, session: &Session) {
        let _ = act(self.script(|script| script.close)).await;
        self.script(|script| script.notes.closed.push(session.number));
    }

    async fn lost(&self, session: &Session) -> Oops {
        let mut cut = self.0.cut.subscribe();
        let _ = cut.wait_for(|cut| *cut >= session.number).await;
        Oops::OutOfOrder
    }

    async fn recover(&self, session: &Session) -> Result<Restored, Oops> {
        let does = self.script(|script| {
            script.notes.recovered.push(session.number);
            script.recover
        });
        act(does).await
    }

    async fn drain(&self, session: &Session) {
        let _ = act(self.script(|script| script.drain)).await;
        self.script(|script| script.notes.drained.push(session.number));
    }
}

async fn act(does: Does) -> Result<Restored, Oops> {
    match does {
        Does::Work => {}
        Does::Late(time) => sleep(time).await,
        Does::Fail => return Err(Oops::OutOfOrder),
        Does::Refuse => return Err(Oops::NoEntry),
        Does::Hang => pending().await,
        Does::Panic => panic!("as the test wants it"),
        Does::Partly => return Ok(Restored::Partly),
    }
    Ok(Restored::Everything)
}

struct UnderWay<'a>(&'a Fake);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.script(|script| script.notes.under_way -= 1);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.world.script.lock().unwrap().notes.dropped.push(self.number);
    }
}

// --- links to it ---

pub(crate) type Up = Link<Connected, Fake>;
pub(crate) type Down = Link<Disconnected, Fake>;

/// Waits of one second, the first retry at once; a breaker at three failures that cools down for five,
/// ten, ... seconds; attempts may take four.
pub(crate) fn policy() -> Policy {
    Policy {
        backoff: Backoff::fixed(SECOND),
        breaker: Some(Breaker {
            threshold: 3,
            cool_down: 5 * SECOND,
            growth: 2,
            cap: 60 * SECOND,
            jitter_percent: 0,
        }),
        connect_timeout: Some(4 * SECOND),
        ..Policy::default()
    }
}

/// A probe each ten seconds, late after two, lost after five.
pub(crate) fn settings(policy: Policy) -> Settings {
    let pulse = Pulse { every: 10 * SECOND, late_after: 2 * SECOND, lost_after: 5 * SECOND };
    Settings { policy, pulse: Some(pulse), seed: Some(42), ..Settings::default() }
}

pub(crate) fn link(policy: Policy) -> (Fake, Down) {
    let fake = Fake::new();
    (fake.clone(), Link::with(fake, settings(policy)))
}

/// A link that has been up for a while.
pub(crate) async fn connected(policy: Policy) -> (Fake, Up) {
    let (fake, link) = link(policy);
    let link = link.connect().await.unwrap();
    sleep(5 * SECOND).await;
    (fake, link)
}

/// A link that was up and whose dials fail from now on.
pub(crate) async fn failing(policy: Policy) -> (Fake, Up) {
    let (fake, link) = connected(policy).await;
    fake.dials_do(Does::Fail);
    fake.cut();
    (fake, link)
}

/// Lets everything happen that can happen now.
pub(crate) async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Polls a transition once, which must not complete it.
pub(crate) async fn begin<F: Future + Unpin>(future: &mut F) {
    poll_fn(|cx| {
        assert!(Pin::new(&mut *future).poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Whatever there is of a link in a state.
#[derive(Debug)]
pub(crate) enum Held {
    Down(Down),
    Connecting(Connecting<Fake>),
    Up(Up),
    Closing(Closing<Fake>),
}

/// A link in this state, in which it stays for as long as the clock stands still.
pub(crate) async fn in_state(state: State) -> (Fake, Monitor, Held) {
    // Without probes, and with attempts that may take for ever, so that states last.
    let policy = Policy { connect_timeout: None, recover_timeout: None, ..policy() };
    let fake = Fake::new();
    let link = Link::with(fake.clone(), Settings { pulse: None, ..settings(policy) });
    let monitor = link.monitor();
    let held = match state {
        State::Disconnected => Held::Down(link),
        State::Connecting => {
            fake.dials_do(Does::Hang);
            let mut connecting = link.connect();
            begin(&mut connecting).await;
            Held::Connecting(connecting)
        }
        _ => {
            let link = link.connect().await.unwrap();
            sleep(5 * SECOND).await;
            bring(state, &fake, link).await
        }
    };
    settle().await;
    assert_eq!(monitor.state(), state);
    (fake, monitor, held)
}

async fn bring(state: State, fake: &Fake, link: Up) -> Held {
    match state {
        State::Degraded => drop(link.degrade(Reasons::own(1))),
        State::Reconnecting => {
            fake.dials_do(Does::Hang);
            fake.cut();
        }
        State::Recovering => {
            fake.recovery_does(Does::Hang);
            fake.cut();
        }
        State::CircuitOpen => {
            fake.dials_do(Does::Fail);
            fake.cut();
            assert!(link.monitor().reaches(State::CircuitOpen).await);
        }
        State::Closing => {
            fake.close_does(Does::Hang);
            let mut closing = link.close();
            begin(&mut closing).await;
            return Held::Closing(closing);
        }
        State::Closed => {
            fake.dials_do(Does::Refuse);
            fake.cut();
            link.closed().await;
        }
        _ => {}
    }
    Held::Up(link)
}
