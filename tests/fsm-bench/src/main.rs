//! What an event costs the supervisor: prints nanoseconds and allocations per event, and fails if
//! there is a single allocation. Run it with `--release`; without, only the allocations count.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hopmq::fsm::supervisor::{Action, Backoff, Event, Policy, Reasons, Retry, State};
use hopmq::fsm::{CauseId, Supervisor, Time};

/// Counts what is asked of the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it is; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Slower than this per event means that something is wrong, however busy the machine is.
const MOST_NANOSECONDS: f64 = 2_000.0;

fn main() {
    let costs = [
        measure("ignored: clear what is not there", 1, ignored),
        measure("refused: connect while connected", 1, refused),
        measure("degrade, clear: two transitions", 2, degrade_and_clear),
        measure("lost, opened, recovered: three transitions", 3, lost_and_back),
        measure("lost, three failures and deadlines, back: ten events", 10, outage),
    ];
    for Cost { name, nanoseconds, allocations } in costs {
        println!("{nanoseconds:8.1} ns  {allocations} allocations per event   {name}");
        assert_eq!(allocations, 0.0, "an event allocates: {name}");
        assert!(
            cfg!(debug_assertions) || nanoseconds < MOST_NANOSECONDS,
            "an event takes microseconds: {name}"
        );
    }
}

struct Cost {
    name: &'static str,
    nanoseconds: f64,
    allocations: f64,
}

/// A supervisor with a driver that does at once what it is told.
struct Driven {
    supervisor: Supervisor,
    now: Time,
    attempt: u64,
}

fn measure(name: &'static str, events: u32, round: fn(&mut Driven)) -> Cost {
    let mut driven = Driven::connected();
    let rounds = if cfg!(debug_assertions) { 10_000 } else { 500_000 };
    for _ in 0..rounds / 10 {
        round(&mut driven);
    }
    let (before, start) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
    for _ in 0..rounds {
        round(black_box(&mut driven));
    }
    let (elapsed, after) = (start.elapsed(), ALLOCATIONS.load(Ordering::Relaxed));
    assert_eq!(driven.supervisor.state(), State::Connected, "each round comes back: {name}");
    let count = f64::from(rounds) * f64::from(events);
    let nanoseconds = elapsed.as_secs_f64() * 1e9 / count;
    Cost { name, nanoseconds, allocations: (after - before) as f64 / count }
}

fn ignored(driven: &mut Driven) {
    driven.give(Event::Clear(Reasons::LATE));
}

fn refused(driven: &mut Driven) {
    assert!(driven.supervisor.handle(driven.now, Event::Connect).is_err());
}

fn degrade_and_clear(driven: &mut Driven) {
    driven.give(Event::Degrade(Reasons::LATE));
    driven.give(Event::Clear(Reasons::LATE));
}

fn lost_and_back(driven: &mut Driven) {
    driven.give(LOST);
    driven.give(Event::Opened { attempt: driven.attempt });
    driven.give(Event::Recovered);
}

fn outage(driven: &mut Driven) {
    driven.give(LOST);
    for _ in 0..3 {
        let attempt = driven.attempt;
        driven.give(Event::Failed { attempt, retry: Retry::Can, cause: CauseId(1) });
        driven.wait();
    }
    driven.give(Event::Opened { attempt: driven.attempt });
    driven.give(Event::Recovered);
    // A steady link, so that the next outage is a new one.
    driven.now = driven.now + Duration::from_secs(10);
    driven.give(Event::Clear(Reasons::LATE));
}

const LOST: Event = Event::Lost { retry: Retry::Can, cause: CauseId(1) };

impl Driven {
    fn connected() -> Self {
        let policy = Policy {
            backoff: Backoff::fixed(Duration::from_secs(1)),
            breaker: None,
            steady_after: Duration::ZERO,
            ..Policy::default()
        };
        let supervisor = Supervisor::new(policy, 7);
        let mut driven = Self { supervisor, now: Time::ZERO, attempt: 0 };
        driven.give(Event::Connect);
        driven.give(Event::Opened { attempt: driven.attempt });
        driven
    }

    fn give(&mut self, event: Event) {
        let taken = self.supervisor.handle(self.now, event);
        assert!(taken.is_ok(), "{event:?} in {}", self.supervisor.state());
        self.fetch();
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) {
        while let Some(due) = self.supervisor.poll_timeout() {
            if self.supervisor.attempt().is_some() {
                return;
            }
            self.now = due;
            assert!(self.supervisor.handle_timeout(due).is_ok());
            self.fetch();
        }
    }

    fn fetch(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            if let Action::Dial { attempt, .. } = action {
                self.attempt = attempt;
            }
        }
        while let Some(transition) = self.supervisor.poll_transition() {
            black_box(transition);
        }
    }
}
