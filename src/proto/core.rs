//! What all channels of a connection share: the outbound batch, the reply slots, the wakes.

use std::{collections::VecDeque, time::Duration};

use super::{
    Batch, Calls, ChannelTransition, Limits, Topology, Traffic, Violation, WaiterId, Wakes,
    inbound::Inbound,
};
use crate::{
    fsm::{Aside, Time},
    wire::ShortString,
};

/// Transitions of channels that are kept for whoever logs them.
const TRANSITIONS_KEPT: usize = 256;

/// So many of them may wait to be answered.
const UNREAD_ANSWERS_MAX: u32 = 2_000;

/// Over this time the frames that cost the peer nothing are counted.
const IDLE_FRAMES_PER: Duration = Duration::from_secs(1);

/// How much a batch's one look at the clock may be behind: confirm deadlines are late by that, so that
/// none is early. Where a batch waits longer for the socket, its publishes are dated anew.
pub(super) const COARSE: Duration = Duration::from_millis(50);

/// The shared part of a connection, apart from its channels, so that both can be borrowed at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Core {
    pub(super) now: Time,
    /// When a publish last read the clock, for all of them in the batch; see [`COARSE`].
    pub(super) stamp: Option<Time>,
    pub(super) limits: Limits,
    pub(super) batch: Batch,
    pub(super) calls: Calls,
    pub(super) wakes: Wakes,
    /// Publishers that wait for room in the batch, for unblocking, or for recovery.
    pub(super) gate: Vec<WaiterId>,
    /// Whoever waits for a change of the connection's state, for a block, or for an end.
    pub(super) watchers: Vec<WaiterId>,
    /// What this connection declared.
    pub(super) topology: Topology,
    /// Queues that a consumer of ours has just left.
    pub(super) consumers_left: Vec<ShortString>,
    /// A consumer has begun to wait for its queue.
    pub(super) queues_are_away: bool,
    /// Messages that were published again after a cut.
    pub(super) replayed: Aside<u64>,
    pub(super) traffic: Aside<Traffic>,
    /// What waits for all consumers.
    pub(super) inbound: Inbound,
    /// Consumers that hold more than they may.
    pub(super) behind: usize,
    /// Since when reading has stopped for them.
    pub(super) paused_since: Option<Time>,
    /// Channels with an ack that waits for the next flush.
    pub(super) acks_due: Vec<u32>,
    /// Answers to such frames in the batch.
    pub(super) unread_answers: u32,
    /// Since when frames that cost the peer nothing are counted, and how many there were.
    idle_frames: (Time, u32),
    /// Transitions of channels that nobody has fetched; the oldest are dropped.
    pub(super) transitions: VecDeque<ChannelTransition>,
}

impl Core {
    pub(super) fn new(limits: Limits) -> Self {
        Core {
            now: Time::ZERO,
            stamp: None,
            limits,
            batch: Batch::default(),
            calls: Calls::default(),
            wakes: Wakes::new(),
            gate: Vec::new(),
            watchers: Vec::new(),
            topology: Topology::default(),
            consumers_left: Vec::new(),
            queues_are_away: false,
            replayed: Aside::default(),
            traffic: Aside::default(),
            inbound: Inbound::default(),
            behind: 0,
            paused_since: None,
            acks_due: Vec::new(),
            unread_answers: 0,
            idle_frames: (Time::ZERO, 0),
            transitions: VecDeque::new(),
        }
    }

    /// What was to be written goes nowhere.
    pub(super) fn clear_batch(&mut self) {
        self.batch.clear();
        self.stamp = None;
    }

    pub(super) fn note(&mut self, transition: ChannelTransition) {
        if self.transitions.len() >= TRANSITIONS_KEPT {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// A frame arrived that cost the peer nothing: too many of them are a flood.
    pub(super) fn idle_frame(&mut self, what: &'static str) -> Result<(), Violation> {
        let (since, count) = &mut self.idle_frames;
        if self.now.saturating_since(*since) >= IDLE_FRAMES_PER {
            (*since, *count) = (self.now, 0);
        }
        *count += 1;
        if *count > self.limits.idle_frames {
            return Err(Violation::Flood(what));
        }
        Ok(())
    }

    /// The same for one that asks for an answer: answers that the peer does not read must not pile up.
    pub(super) fn idle_request(&mut self, what: &'static str) -> Result<(), Violation> {
        self.unread_answers += 1;
        match self.unread_answers > UNREAD_ANSWERS_MAX {
            true => Err(Violation::Flood(what)),
            false => self.idle_frame(what),
        }
    }

    pub(super) fn consumer_fell_behind(&mut self) {
        self.behind += 1;
        self.pause();
    }

    pub(super) fn consumer_caught_up(&mut self) {
        self.behind = self.behind.saturating_sub(1);
        self.unpause();
    }

    /// Reading stops.
    pub(super) fn pause(&mut self) {
        self.paused_since.get_or_insert(self.now);
    }

    /// Reading goes on, unless there is another reason for it not to.
    pub(super) fn unpause(&mut self) {
        if self.behind == 0 && !self.inbound.was_full() {
            self.paused_since = None;
        }
    }
}
