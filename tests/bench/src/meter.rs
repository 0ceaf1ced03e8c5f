//! One measurement, from the inside of the client's process.

use std::{
    str::FromStr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::os::{self, SystemCalls};

/// What a run gave. As text it goes from the client's process to the one that compares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    pub count: u64,
    pub wall_ns: u64,
    pub cpu_ns: u64,
    /// Of single operations, where they are timed.
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub peak_bytes: u64,
    /// Growth of resident memory, where that is the question.
    pub grown_bytes: Option<u64>,
    pub allocations: Option<u64>,
    pub system_calls: Option<u64>,
}

impl Measured {
    pub fn to_line(self) -> String {
        let option = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        format!(
            "{} {} {} {} {} {} {} {} {}",
            self.count,
            self.wall_ns,
            self.cpu_ns,
            option(self.p50_ns),
            option(self.p99_ns),
            self.peak_bytes,
            option(self.grown_bytes),
            option(self.allocations),
            option(self.system_calls)
        )
    }

    /// CPU of the client's process per message, in microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.count as f64
    }

    pub fn per_second(&self) -> f64 {
        self.count as f64 / (self.wall_ns as f64 / 1e9)
    }
}

impl FromStr for Measured {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut next = || -> Result<Option<u64>, String> {
            match words.next() {
                None => Err(format!("too short: {line}")),
                Some("-") => Ok(None),
                Some(word) => word.parse().map(Some).map_err(|error| format!("{line}: {error}")),
            }
        };
        Ok(Measured {
            count: next()?.unwrap_or_default(),
            wall_ns: next()?.unwrap_or_default(),
            cpu_ns: next()?.unwrap_or_default(),
            p50_ns: next()?,
            p99_ns: next()?,
            peak_bytes: next()?.unwrap_or_default(),
            grown_bytes: next()?,
            allocations: next()?,
            system_calls: next()?,
        })
    }
}

/// Measures what happens between `start` and `stop`.
pub struct Meter {
    system_calls: Option<SystemCalls>,
    probing: bool,
    begun: Option<Reading>,
    memory: Option<u64>,
    latencies: Vec<u64>,
    measured: Measured,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    cpu: Duration,
    allocations: u64,
    system_calls: u64,
}

impl Meter {
    /// A probe counts allocations and system calls, and its times are not to be used.
    pub fn new(count: u64, probing: bool) -> Self {
        Meter {
            system_calls: if probing { SystemCalls::count() } else { None },
            probing,
            begun: None,
            memory: None,
            latencies: Vec::new(),
            measured: Measured { count, ..Measured::default() },
        }
    }

    /// Everything is set up: from here on it counts.
    pub fn start(&mut self) {
        os::COUNT_ALLOCATIONS.store(self.probing, Ordering::Relaxed);
        self.begun = Some(self.read());
    }

    /// All is done.
    pub fn stop(&mut self) {
        let now = self.read();
        os::COUNT_ALLOCATIONS.store(false, Ordering::Relaxed);
        let Some(begun) = self.begun else { return };
        let measured = &mut self.measured;
        measured.wall_ns = nanos(now.at - begun.at);
        measured.cpu_ns = nanos(now.cpu.saturating_sub(begun.cpu));
        if self.probing {
            measured.allocations = Some(now.allocations - begun.allocations);
            let calls = now.system_calls - begun.system_calls;
            measured.system_calls = self.system_calls.is_some().then_some(calls);
        }
    }

    fn read(&self) -> Reading {
        Reading {
            at: Instant::now(),
            cpu: os::cpu_time(),
            allocations: os::allocations(),
            system_calls: self.system_calls.as_ref().map_or(0, SystemCalls::so_far),
        }
    }

    /// One operation took this long.
    pub fn latency(&mut self, since: Instant) {
        self.latencies.push(nanos(since.elapsed()));
    }

    /// Memory before what is weighed is made.
    pub fn memory_before(&mut self) {
        self.memory = Some(os::memory());
    }

    /// Memory with all of it there.
    pub fn memory_after(&mut self) {
        let grown = self.memory.map(|before| os::memory().saturating_sub(before));
        self.measured.grown_bytes = grown;
    }

    pub fn finish(mut self) -> Measured {
        self.latencies.sort_unstable();
        let at = |share: f64| {
            let last = self.latencies.len().checked_sub(1)?;
            self.latencies.get((last as f64 * share).round() as usize).copied()
        };
        self.measured.p50_ns = at(0.5);
        self.measured.p99_ns = at(0.99);
        self.measured.peak_bytes = os::peak_memory();
        self.measured
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
