//! Recovery: the topology first, one entity at a time, then the channels.
//!
//! Entities are declared on a channel of recovery's own, so that a refusal costs nobody else's: it
//! is kept by name, degrades the connection, and the next entity follows on a channel opened anew.
//! What was refused is tried again later, in the same way; see [`mending`](super::mending).

use super::*;

/// An entity that could not be declared again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NotRecovered {
    /// What it is, e.g. `queue 'inbox'`.
    pub entity: Arc<str>,
    /// The broker's answer.
    pub reason: Exception,
}

/// An entity that is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Broken {
    pub(super) entity: Entity,
    report: NotRecovered,
}

/// Reports that are kept for whoever logs them.
const REPORTS_KEPT: usize = 256;

/// What became of an entity, for logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EntityReport {
    /// It could not be declared again.
    NotRecovered(NotRecovered),
    /// It could not at first, and now it could.
    Mended(Arc<str>),
}

/// Entities being declared again, on a channel for that alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovery {
    pub(super) channel: u16,
    waiting: VecDeque<Entity>,
    /// Queues that consumers wait for, and that were there; they are looked for once more, in the end.
    found: Vec<ShortString>,
    /// The one of them that is looked for now.
    looked_for: Option<ShortString>,
    pub(super) current: Option<Entity>,
    /// channel.open-ok or channel.close-ok is awaited, not an entity's answer.
    pub(super) phase: Phase,
    purpose: Purpose,
    /// By when it has to be over; the whole recovery has a deadline of the supervisor's.
    pub(super) due: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Opening,
    Declaring,
    Closing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// The connection is back, and everything waits for what was on it.
    Recover,
    /// What could not be recovered then is tried again, while everything else goes on.
    Mend,
}

impl Connection {
    /// The supervisor asks for everything that was on the link.
    pub(super) fn recover(&mut self) {
        self.broken.clear();
        self.forget_left_queues();
        let mut waiting: VecDeque<Entity> = self.core.topology.entities().collect();
        waiting.extend(self.awaited_entities());
        for queue in self.channels.iter().flat_map(|channel| channel.patient_queues()) {
            // Asked on a channel of the user's, the broker would close that if the queue is gone.
            let probe = Entity::known_queue(queue);
            if !self.core.topology.has_queue(queue) && !waiting.contains(&probe) {
                waiting.push_back(probe);
            }
        }
        if !self.declare_all(waiting, Purpose::Recover) {
            self.resume_channels();
        }
    }

    /// Declares entities on a new channel; false when there are none, or no channel.
    pub(super) fn declare_all(&mut self, waiting: VecDeque<Entity>, purpose: Purpose) -> bool {
        let Some(channel) = self.ids.take() else { return false };
        if waiting.is_empty() {
            self.ids.give_back(channel);
            return false;
        }
        encode::method(&mut self.core.batch.bytes, channel, &channel_open());
        let (phase, now) = (Phase::Opening, self.core.now);
        let within = self.settings.policy.recover_timeout;
        let due = within.filter(|_| purpose == Purpose::Mend).map(|within| now + within);
        let (found, looked_for, current) = (Vec::new(), None, None);
        let run = Recovery { channel, waiting, found, looked_for, current, phase, purpose, due };
        self.put_back(run);
        true
    }

    fn put_back(&mut self, recovery: Recovery) {
        match recovery.purpose {
            Purpose::Recover => self.recovery = Some(recovery),
            Purpose::Mend => self.mending.run = Some(recovery),
        }
    }

    /// Whether this frame is recovery's own.
    pub(super) fn is_recovering_on(&self, channel: u16) -> bool {
        let runs = [&self.recovery, &self.mending.run];
        runs.into_iter().flatten().any(|recovery| recovery.channel == channel)
    }

    /// Handles a method on recovery's channel.
    pub(super) fn handle_recovery(&mut self, method: Method<'_>) -> Result<(), Violation> {
        // There is never one of both kinds: mending waits for recovery, and ends with the link.
        let Some(mut recovery) = self.recovery.take().or_else(|| self.mending.run.take()) else {
            return Ok(());
        };
        let id = recovery.channel;
        match (recovery.phase, method) {
            (Phase::Opening, Method::ChannelOpenOk(_)) => self.declare_next(recovery),
            (Phase::Closing, Method::ChannelCloseOk(_)) => {
                self.ids.give_back(id);
                match recovery.purpose {
                    Purpose::Recover => self.resume_channels(),
                    Purpose::Mend => self.mended(),
                }
            }
            (Phase::Closing, Method::ChannelClose(_)) => {
                // Both sides close at once: nothing was asked any more, and our answer follows.
                encode::method(&mut self.core.batch.bytes, id, &channel_close_ok());
                self.put_back(recovery);
            }
            // Given up for its deadline, the answer came all the same.
            (Phase::Closing, _) => self.put_back(recovery),
            (_, Method::ChannelClose(close)) => {
                encode::method(&mut self.core.batch.bytes, id, &channel_close_ok());
                encode::method(&mut self.core.batch.bytes, id, &channel_open());
                let reason = channel::exception(Scope::Channel, &close);
                let entity = recovery.current.take();
                if let Some(queue) = recovery.looked_for.take() {
                    self.queue_went_after_all(&queue);
                } else if let Some(entity) = entity {
                    self.was_not_recovered(entity, reason, recovery.purpose);
                }
                recovery.phase = Phase::Opening;
                self.put_back(recovery);
            }
            (Phase::Declaring, answer) => {
                let Some(entity) = recovery.current.take() else {
                    return Err(unexpected(answer.id()));
                };
                if !answers(&entity, &answer) {
                    return Err(unexpected(answer.id()));
                }
                self.is_declared(&entity, &answer, &mut recovery);
                self.declare_next(recovery);
            }
            (_, other) => return Err(unexpected(other.id())),
        }
        Ok(())
    }

    fn declare_next(&mut self, mut recovery: Recovery) {
        if recovery.purpose == Purpose::Mend {
            self.forget_unwanted(&mut recovery.waiting);
        }
        let bytes = &mut self.core.batch.bytes;
        recovery.current = recovery.waiting.pop_front().or_else(|| {
            recovery.looked_for = recovery.found.pop();
            recovery.looked_for.as_ref().map(Entity::known_queue)
        });
        match &recovery.current {
            Some(entity) => {
                entity.request().encode(bytes, recovery.channel, 0);
                recovery.phase = Phase::Declaring;
            }
            None => {
                Request::CloseChannel.encode(bytes, recovery.channel, 0);
                recovery.phase = Phase::Closing;
            }
        }
        self.put_back(recovery);
    }

    /// It was there only because the broker had not done with deleting it.
    fn queue_went_after_all(&mut self, queue: &ShortString) {
        self.core.topology.queue_is_away(queue);
        self.broken.retain(|broken| {
            !matches!(&broken.entity, Entity::Binding(Destination::Queue, spec) if spec.destination == *queue)
        });
    }

    /// An entity is there again.
    fn is_declared(&mut self, entity: &Entity, answer: &Method<'_>, recovery: &mut Recovery) {
        if let Some(queue) = recovery.looked_for.take() {
            for channel in self.channels.iter_mut() {
                channel.queue_is_back(&queue, &mut self.core);
            }
            return;
        }
        if let (Entity::Queue(old, spec), Method::QueueDeclareOk(ok)) = (entity, answer) {
            let mut name = old.clone();
            self.core.topology.queue_is_back(old);
            if spec.name.is_empty() {
                name = ShortString::from_short_lossy(ok.queue);
                self.rename_queue(old, &name, recovery);
            }
            match recovery.purpose {
                Purpose::Mend if self.awaited_queues().any(|(queue, _)| *queue == name) => {
                    recovery.found.push(name);
                }
                _ => {
                    for channel in self.channels.iter_mut() {
                        channel.queue_is_back(&name, &mut self.core);
                    }
                }
            }
        }
        if let Some(at) = self.broken.iter().position(|broken| broken.entity == *entity) {
            let mended = self.broken.remove(at).report.entity;
            self.report(EntityReport::Mended(mended));
        }
    }

    fn was_not_recovered(&mut self, entity: Entity, reason: Exception, purpose: Purpose) {
        if let (Entity::Queue(name, _), Purpose::Recover) = (&entity, purpose) {
            let cause = Arc::new(Cause::Exception(reason.clone()));
            for channel in self.channels.iter_mut() {
                channel.queue_was_not_recovered(name, &cause, &mut self.core);
            }
        }
        let report = NotRecovered { entity: Arc::from(entity.describe()), reason };
        self.report(EntityReport::NotRecovered(report.clone()));
        match self.broken.iter_mut().find(|broken| broken.entity == entity) {
            Some(known) => known.report = report,
            None => self.broken.push(Broken { entity, report }),
        }
    }

    fn report(&mut self, report: EntityReport) {
        if self.reports.len() >= REPORTS_KEPT {
            self.reports.pop_front();
        }
        self.reports.push_back(report);
    }

    fn rename_queue(&mut self, old: &ShortString, new: &ShortString, recovery: &mut Recovery) {
        self.core.topology.rename_queue(old, new, self.epoch);
        for channel in self.channels.iter_mut() {
            channel.rename_queue(old, new);
        }
        for waiting in &mut recovery.waiting {
            if let Entity::Binding(Destination::Queue, spec) = waiting
                && spec.destination == *old
            {
                spec.destination = new.clone();
            }
        }
        for broken in &mut self.broken {
            if let Entity::Binding(Destination::Queue, spec) = &mut broken.entity
                && spec.destination == *old
            {
                spec.destination = new.clone();
            }
        }
        self.renamed.push_back((old.clone(), new.clone()));
    }

    /// The topology is back: open the channels again.
    fn resume_channels(&mut self) {
        self.recovery = None;
        self.resume_waiting();
        if self.has_unmended() {
            self.supervise(supervisor::Event::Degrade(Reasons::PARTIAL));
            // The broker has just refused: not at once again.
            self.mending.tries = 1;
            self.plan_mending();
        }
        self.supervise(supervisor::Event::Recovered);
    }

    pub(super) fn resume_waiting(&mut self) {
        let keys: Vec<ChannelKey> = self.channels.iter().map(|channel| channel.key).collect();
        for key in keys {
            self.resume_channel(key);
        }
        self.open_gate();
    }

    pub(super) fn resume_channel(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if channel.ended.is_some() || channel.live {
            return;
        }
        match self.ids.take() {
            Some(id) => {
                let frame_max = self.negotiated.as_ref().map_or(4096, |agreed| agreed.frame_max);
                channel.resume(id, frame_max as usize, &mut self.core);
                self.channels.route(id, Some(key.index()));
            }
            None => {
                // The broker allows fewer channels than before.
                let cause = Arc::new(Cause::TooManyChannels { max: self.ids.max() });
                channel.end(cause, &mut self.core);
            }
        }
    }

    /// The link broke, and the supervisor will bring it back.
    pub(super) fn interrupt_channels(&mut self) {
        self.recovery = None;
        self.mending.stop();
        self.core.clear_batch();
        self.core.unread_answers = 0;
        self.core.acks_due.clear();
        let cause = self.last_cause.clone().unwrap_or_else(|| Arc::new(Cause::ByUs));
        let epoch = self.epoch + 1;
        self.channels.forget_routes();
        for channel in self.channels.iter_mut() {
            channel.interrupt(&cause, epoch, &mut self.core);
        }
        self.channels.remove_released();
    }

    /// What could not be declared again yet.
    pub fn not_recovered(&self) -> Vec<NotRecovered> {
        self.broken.iter().map(|broken| broken.report.clone()).collect()
    }

    /// What became of the next entity that could not be declared at once.
    pub fn poll_entity_report(&mut self) -> Option<EntityReport> {
        self.reports.pop_front()
    }

    /// The next queue whose name the broker chose anew: its old name, and the new one.
    pub fn poll_renamed(&mut self) -> Option<(ShortString, ShortString)> {
        self.renamed.pop_front()
    }
}

fn channel_open() -> crate::wire::method::channel::Open {
    crate::wire::method::channel::Open {}
}

fn channel_close_ok() -> crate::wire::method::channel::CloseOk {
    crate::wire::method::channel::CloseOk {}
}

fn answers(entity: &Entity, answer: &Method<'_>) -> bool {
    matches!(
        (entity, answer),
        (Entity::Exchange(_), Method::ExchangeDeclareOk(_))
            | (Entity::Queue(..), Method::QueueDeclareOk(_))
            | (Entity::Binding(Destination::Exchange, _), Method::ExchangeBindOk(_))
            | (Entity::Binding(Destination::Queue, _), Method::QueueBindOk(_))
    )
}

fn unexpected(method: MethodId) -> Violation {
    Violation::UnexpectedMethod { method, awaited: "an answer during recovery" }
}
