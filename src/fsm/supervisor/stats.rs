//! What a supervisor counts.

use std::{collections::VecDeque, time::Duration};

use super::keeper::Keeper;
use super::vocabulary::State;
use crate::fsm::{CauseId, Machine, Time};

/// Counts and times of a supervisor since it was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stats {
    /// The current state.
    pub state: State,
    /// When it was entered.
    pub since: Time,
    /// For how long it has lasted.
    pub time_in_state: Duration,
    /// Attempts that were begun.
    pub attempts: u64,
    /// Attempts, and recoveries, that failed.
    pub failures: u64,
    /// Failures of the outage under way; none while the link is up.
    pub failures_in_a_row: u32,
    /// How often a link that was up was lost.
    pub losses: u64,
    /// How often the breaker opened.
    pub trips: u64,
    /// How often a lost link was back.
    pub recoveries: u64,
    /// How long the last recovery took, from the loss on.
    pub last_recovery: Option<Duration>,
    /// How long the longest took.
    pub longest_recovery: Duration,
    /// How long all of them took.
    pub total_recovery: Duration,
    /// How long each of the last 16 took, the oldest first.
    pub recent_recoveries: Vec<Duration>,
    /// The cause of the last failure or loss.
    pub last_cause: CauseId,
    /// What every machine counts: transitions, refusals, time in each state.
    pub machine: crate::fsm::Stats<State>,
}

impl Stats {
    pub(super) fn of(machine: &Machine<Keeper>, now: Time) -> Self {
        let tally = machine.behaviour().tally();
        let since = machine.context().entered_at();
        Self {
            state: machine.state(),
            since,
            time_in_state: now.saturating_since(since),
            attempts: tally.attempts,
            failures: tally.failures,
            failures_in_a_row: machine.behaviour().failures_in_a_row(),
            losses: tally.losses,
            trips: tally.trips,
            recoveries: tally.recoveries,
            last_recovery: tally.last_recovery,
            longest_recovery: tally.longest_recovery,
            total_recovery: tally.total_recovery,
            recent_recoveries: tally.recent_recoveries.iter().copied().collect(),
            last_cause: tally.last_cause,
            machine: machine.stats(now),
        }
    }
}

/// Recoveries of which each one's duration is kept.
const RECENT: usize = 16;

/// The counts as they are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) attempts: u64,
    pub(super) failures: u64,
    pub(super) losses: u64,
    pub(super) trips: u64,
    pub(super) recoveries: u64,
    pub(super) last_recovery: Option<Duration>,
    pub(super) longest_recovery: Duration,
    pub(super) total_recovery: Duration,
    recent_recoveries: VecDeque<Duration>,
    pub(super) last_cause: CauseId,
}

impl Tally {
    pub(super) fn recovered(&mut self, after: Duration) {
        self.recoveries += 1;
        if self.recent_recoveries.len() >= RECENT {
            self.recent_recoveries.pop_front();
        }
        self.recent_recoveries.push_back(after);
        self.last_recovery = Some(after);
        self.longest_recovery = self.longest_recovery.max(after);
        self.total_recovery = self.total_recovery.saturating_add(after);
    }
}
