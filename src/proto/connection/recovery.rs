//! Recovery: the topology first, one entity at a time, then the channels.
//!
//! Entities are declared on a channel of recovery's own, so that a refusal costs nobody else's: it
//! is kept by name, degrades the connection, and the next entity follows on a channel opened anew.

use super::*;

/// An entity that could not be declared again.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NotRecovered {
    /// What it is, e.g. `queue 'inbox'`.
    pub entity: Arc<str>,
    /// The broker's answer.
    pub reason: Exception,
}

/// A recovery under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recovery {
    channel: u16,
    waiting: VecDeque<Entity>,
    current: Option<Entity>,
    /// channel.open-ok or channel.close-ok is awaited, not an entity's answer.
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Opening,
    Declaring,
    Closing,
}

impl Connection {
    /// The supervisor asks for everything that was on the link.
    pub(super) fn recover(&mut self) {
        self.not_recovered.clear();
        self.forget_left_queues();
        let waiting: VecDeque<Entity> = self.core.topology.entities().collect();
        match self.ids.take() {
            Some(channel) if !waiting.is_empty() => {
                encode::method(&mut self.core.batch.bytes, channel, &channel_open());
                let phase = Phase::Opening;
                self.recovery = Some(Recovery { channel, waiting, current: None, phase });
            }
            id => {
                if let Some(id) = id {
                    self.ids.give_back(id);
                }
                self.resume_channels();
            }
        }
    }

    /// Whether this frame is recovery's own.
    pub(super) fn is_recovering_on(&self, channel: u16) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| recovery.channel == channel)
    }

    /// Handles a method on recovery's channel.
    pub(super) fn handle_recovery(&mut self, method: Method<'_>) -> Result<(), Violation> {
        let Some(mut recovery) = self.recovery.take() else { return Ok(()) };
        let id = recovery.channel;
        match (recovery.phase, method) {
            (Phase::Opening, Method::ChannelOpenOk(_)) => self.declare_next(recovery),
            (Phase::Closing, Method::ChannelCloseOk(_)) => {
                self.ids.give_back(id);
                self.resume_channels();
            }
            (Phase::Closing, Method::ChannelClose(_)) => {
                // Both sides close at once: nothing was asked any more, and our answer follows.
                encode::method(&mut self.core.batch.bytes, id, &channel_close_ok());
                self.recovery = Some(recovery);
            }
            (_, Method::ChannelClose(close)) => {
                encode::method(&mut self.core.batch.bytes, id, &channel_close_ok());
                encode::method(&mut self.core.batch.bytes, id, &channel_open());
                let reason = channel::exception(Scope::Channel, &close);
                if let Some(entity) = recovery.current.take() {
                    self.was_not_recovered(&entity, reason);
                }
                recovery.phase = Phase::Opening;
                self.recovery = Some(recovery);
            }
            (Phase::Declaring, answer) => {
                let Some(entity) = recovery.current.take() else {
                    return Err(unexpected(answer.id()));
                };
                if !answers(&entity, &answer) {
                    return Err(unexpected(answer.id()));
                }
                if let (Entity::Queue(old, spec), Method::QueueDeclareOk(ok)) = (&entity, &answer)
                    && spec.name.is_empty()
                {
                    let new = ShortString::from_short_lossy(ok.queue);
                    self.rename_queue(old, &new, &mut recovery);
                }
                self.declare_next(recovery);
            }
            (_, other) => return Err(unexpected(other.id())),
        }
        Ok(())
    }

    fn declare_next(&mut self, mut recovery: Recovery) {
        let bytes = &mut self.core.batch.bytes;
        recovery.current = recovery.waiting.pop_front();
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
        self.recovery = Some(recovery);
    }

    fn was_not_recovered(&mut self, entity: &Entity, reason: Exception) {
        if let Entity::Queue(name, _) = entity {
            let cause = Arc::new(Cause::Exception(reason.clone()));
            for channel in self.channels.iter_mut() {
                channel.queue_was_not_recovered(name, &cause, &mut self.core);
            }
        }
        let entity = Arc::from(entity.describe());
        self.not_recovered.push(NotRecovered { entity, reason });
    }

    fn rename_queue(&mut self, old: &ShortString, new: &ShortString, recovery: &mut Recovery) {
        self.core.topology.rename_queue(old, new);
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
        self.renamed.push_back((old.clone(), new.clone()));
    }

    /// The topology is back: open the channels again.
    fn resume_channels(&mut self) {
        self.recovery = None;
        let keys: Vec<ChannelKey> = self.channels.iter().map(|channel| channel.key).collect();
        for key in keys {
            self.resume_channel(key);
        }
        if !self.not_recovered.is_empty() {
            self.supervise(supervisor::Event::Degrade(Reasons::PARTIAL));
        }
        self.supervise(supervisor::Event::Recovered);
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
        self.core.batch.clear();
        self.core.acks_due.clear();
        let cause = self.last_cause.clone().unwrap_or_else(|| Arc::new(Cause::ByUs));
        let epoch = self.epoch + 1;
        self.channels.forget_routes();
        for channel in self.channels.iter_mut() {
            channel.interrupt(&cause, epoch, &mut self.core);
        }
        self.channels.remove_released();
    }

    /// What could not be declared again in the last recovery.
    pub fn not_recovered(&self) -> &[NotRecovered] {
        &self.not_recovered
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
