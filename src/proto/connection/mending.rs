//! Mending: what recovery could not declare is tried again, with the backoff of the policy, until it
//! is there; and consumers whose queue was taken from them wait for it. Everything else goes on
//! meanwhile, in state Degraded.

use super::{
    recovery::{Phase, Purpose, Recovery},
    *,
};
use crate::fsm::supervisor::random;

/// RabbitMQ cancels the consumers of a quorum queue before it has forgotten the queue: for a moment it
/// answers as if that were still there, a declaration too, and then closes the channel (404) of whoever
/// consumes from it. So a queue is not asked for at once, and what was found is looked for once more
/// before the consumer's own channel is risked.
const SETTLED_AFTER: Duration = Duration::from_millis(250);

/// When the next attempt is, and the one under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Mending {
    due: Option<Time>,
    /// How many attempts there were, and the number of the next wait.
    pub(super) tries: u32,
    /// When everything was whole the last time.
    whole_at: Time,
    pub(super) run: Option<Recovery>,
}

impl Mending {
    /// The link is gone, and recovery will see to everything.
    pub(super) fn stop(&mut self) {
        self.due = None;
        self.run = None;
    }

    /// When there is something to do.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        let closing = |run: &&Recovery| run.phase == Phase::Closing;
        let overdue = self.run.as_ref().filter(|run| !closing(run)).and_then(|run| run.due);
        self.due.into_iter().chain(overdue).min()
    }
}

impl Connection {
    /// Whether something is still to be tried again.
    pub(super) fn has_unmended(&self) -> bool {
        !self.broken.is_empty() || self.awaited_queues().next().is_some()
    }

    pub(super) fn awaited_queues(&self) -> impl Iterator<Item = (&ShortString, WhenCancelled)> {
        self.channels.iter().flat_map(|channel| channel.awaited_queues())
    }

    /// A consumer has begun to wait for its queue.
    pub(super) fn queues_are_away(&mut self) {
        self.core.queues_are_away = false;
        self.supervise(supervisor::Event::Degrade(Reasons::PARTIAL));
        // A queue that comes and goes is not asked for in a tight circle.
        if self.core.now.saturating_since(self.mending.whole_at)
            >= self.settings.policy.steady_after
            || self.mending.whole_at == Time::ZERO
        {
            self.mending.tries = 0;
        }
        self.plan_mending();
        let settled = self.core.now + SETTLED_AFTER;
        self.mending.due = self.mending.due.map(|due| due.max(settled));
    }

    /// Plans the next attempt, if there may be one.
    pub(super) fn plan_mending(&mut self) {
        if self.mending.due.is_some() || self.mending.run.is_some() || self.closing.is_some() {
            return;
        }
        let (policy, tries) = (&self.settings.policy, self.mending.tries);
        if policy.max_attempts.is_some_and(|most| tries > most) {
            // What is broken stays reported; nobody waits for ever for a queue.
            for channel in self.channels.iter_mut() {
                channel.end_waiting(&mut self.core);
            }
            return;
        }
        let random = random(self.seed ^ u64::from(self.epoch), u64::from(tries));
        self.mending.due = Some(self.core.now + policy.backoff.delay(tries, random));
        self.mending.tries = tries.saturating_add(1);
    }

    /// What was planned is due, or the attempt under way has taken too long.
    pub(super) fn expire_mending(&mut self, now: Time) {
        if let Some(run) = &mut self.mending.run
            && run.phase != Phase::Closing
            && run.due.is_some_and(|due| due <= now)
        {
            let bytes = &mut self.core.batch.bytes;
            Request::CloseChannel.encode(bytes, run.channel, 0);
            run.phase = Phase::Closing;
        }
        if self.mending.due.is_none_or(|due| due > now) {
            return;
        }
        self.mending.due = None;
        if self.link == Link::Up && self.recovery.is_none() {
            self.mend();
        }
    }

    fn mend(&mut self) {
        self.core.topology.forget_away(|queue| {
            let mut awaited = self.channels.iter().flat_map(|channel| channel.awaited_queues());
            awaited.any(|(name, _)| name == queue)
        });
        let mut waiting: VecDeque<Entity> =
            self.broken.iter().map(|broken| broken.entity.clone()).collect();
        let awaited = self.awaited_entities();
        let others = awaited.into_iter().filter(|entity| !waiting.contains(entity));
        let others: Vec<Entity> = others.collect();
        waiting.extend(others);
        self.forget_unwanted(&mut waiting);
        if waiting.is_empty() {
            self.mended();
        } else if !self.declare_all(waiting, Purpose::Mend) {
            self.plan_mending();
        }
    }

    /// What was deleted meanwhile, or declared otherwise, is nobody's loss any more; while something
    /// is being deleted, nothing is declared that might be that.
    pub(super) fn forget_unwanted(&mut self, waiting: &mut VecDeque<Entity>) {
        let (awaited, topology) = (self.awaited_entities(), &self.core.topology);
        let wanted = |entity: &Entity| topology.contains(entity) || awaited.contains(entity);
        self.broken.retain(|broken| wanted(&broken.entity));
        match self.channels.iter().any(|channel| channel.is_deleting()) {
            true => waiting.clear(),
            false => waiting.retain(wanted),
        }
    }

    /// What is to be declared, or looked for, for the consumers that wait for a queue, apart from
    /// what is recorded.
    pub(super) fn awaited_entities(&self) -> Vec<Entity> {
        let topology = &self.core.topology;
        let mut entities = Vec::new();
        for (queue, when_cancelled) in self.awaited_queues() {
            let away = topology.away(queue);
            match when_cancelled {
                _ if topology.has_queue(queue) => {}
                WhenCancelled::Redeclare if !away.is_empty() => entities.extend_from_slice(away),
                _ => entities.push(Entity::known_queue(queue)),
            }
        }
        let mut seen = Vec::with_capacity(entities.len());
        entities.retain(|entity| {
            let new = !seen.contains(entity);
            if new {
                seen.push(entity.clone());
            }
            new
        });
        entities
    }

    /// An attempt is over.
    pub(super) fn mended(&mut self) {
        if self.has_unmended() {
            return self.plan_mending();
        }
        self.mending.whole_at = self.core.now;
        self.supervise(supervisor::Event::Clear(Reasons::PARTIAL));
    }
}
