//! What was published, and what became of it: the books that have to balance.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use hopmq::{
    fsm::Time,
    proto::{Arrival, Outcome, Outgoing, SEQUENCE_HEADER, Settlement},
    wire::{Method, ShortString},
};

use crate::{random::Random, requests::name};

pub(crate) type MessageId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishedIn {
    Nothing,
    Transaction(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It was not sent: nobody may ever see it.
    Unsent,
    /// It is on its way, or nobody knows.
    Unknown,
    Confirmed,
    /// Returned or nacked: it is in no queue.
    Refused,
}

#[derive(Clone, Debug)]
struct Message {
    lane: usize,
    exchange: &'static str,
    key: &'static str,
    mandatory: bool,
    /// It is published again after a cut: it may come twice.
    keep: bool,
    size: usize,
    at: Time,
    epoch: u32,
    within: PublishedIn,
    fate: Fate,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// A commit was sent: all of it or nothing.
    Committing,
    RollingBack,
    Committed,
    /// It was rolled back, or cut before its commit was sent: nothing of it may be seen.
    Doomed,
}

#[derive(Default)]
pub(crate) struct Account {
    messages: Vec<Message>,
    transactions: Vec<End>,
    lanes: usize,
    /// Which queue has seen which message, delivered or drained at the end.
    seen: BTreeSet<(String, MessageId)>,
    /// Delivered without the mark that it was before.
    fresh: BTreeSet<(String, MessageId)>,
    /// Acknowledged or rejected by a user.
    settled: BTreeSet<(String, MessageId)>,
    /// The highest message that a consumer saw first, by task, queue, epoch and lane.
    order: BTreeMap<(usize, String, u32, usize, u32), MessageId>,
    drained: BTreeSet<(String, MessageId)>,
}

/// A message with what is borrowed by [`Outgoing`].
pub(crate) struct Written {
    exchange: ShortString,
    key: ShortString,
    mandatory: bool,
    keep: bool,
    properties: Vec<u8>,
    sequence_at: Option<usize>,
    body: [Bytes; 2],
}

impl Written {
    pub(crate) fn borrow(&self) -> Outgoing<'_> {
        Outgoing {
            exchange: self.exchange.as_short(),
            routing_key: self.key.as_short(),
            mandatory: self.mandatory,
            properties: &self.properties,
            sequence_at: self.sequence_at,
            body: &self.body,
            keep: self.keep,
        }
    }
}

/// The queues that are never deleted, purged or read without acknowledgement.
pub(crate) const SAFE: [&str; 3] = ["q0", "q1", "q2"];

impl Message {
    fn goes_to(&self, queue: &str) -> bool {
        match self.exchange {
            "" => self.key == queue,
            _ => queue == "q0" || queue == "q1",
        }
    }

    fn body(&self, id: MessageId) -> Vec<u8> {
        let mut body = (id as u64).to_be_bytes().to_vec();
        body.resize(self.size, id as u8);
        body
    }
}

impl Account {
    /// A new lane: messages of one keep their order.
    pub(crate) fn lane(&mut self) -> usize {
        self.lanes += 1;
        self.lanes
    }

    /// Makes up a message.
    pub(crate) fn write(&mut self, lane: usize, random: &mut Random) -> MessageId {
        let (exchange, key) = match random.below(10) {
            0 | 1 => ("fan", ""),
            2 => ("", "nowhere"),
            3 => ("", "lossy"),
            4 | 5 => ("", "q2"),
            6 => ("", "q1"),
            _ => ("", "q0"),
        };
        let size = match random.below(30) {
            0 => 20_000 + random.below(20_000),
            1 | 2 => 2_000 + random.below(8_000),
            _ => 8 + random.below(100),
        };
        let (mandatory, keep) = (random.once_in(3), random.once_in(3));
        let (at, within, fate) = (Time::ZERO, PublishedIn::Nothing, Fate::Unsent);
        let written =
            Message { lane, exchange, key, mandatory, keep, size, at, epoch: 0, within, fate };
        self.messages.push(written);
        self.messages.len() - 1
    }

    pub(crate) fn outgoing(&self, id: MessageId) -> Written {
        let message = &self.messages[id];
        let mut properties = vec![0, 0];
        let mut sequence_at = None;
        if message.mandatory {
            // The headers alone: a table with the private header.
            properties = vec![0x20, 0x00];
            let len = 1 + SEQUENCE_HEADER.len() + 1 + 8;
            properties.extend_from_slice(&(len as u32).to_be_bytes());
            properties.push(SEQUENCE_HEADER.len() as u8);
            properties.extend_from_slice(SEQUENCE_HEADER.as_bytes());
            properties.push(b'l');
            sequence_at = Some(properties.len());
            properties.extend_from_slice(&[0; 8]);
        }
        let body = Bytes::from(message.body(id));
        let middle = body.len() / 3;
        Written {
            exchange: name(message.exchange),
            key: name(message.key),
            mandatory: message.mandatory,
            keep: message.keep,
            properties,
            sequence_at,
            body: [body.slice(..middle), body.slice(middle..)],
        }
    }

    pub(crate) fn published(&mut self, id: MessageId, within: PublishedIn, epoch: u32, now: Time) {
        let message = &mut self.messages[id];
        message.epoch = epoch;
        (message.fate, message.within, message.at) = (Fate::Unknown, within, now);
    }

    pub(crate) fn never_sent(&mut self, id: MessageId) {
        self.messages[id].fate = Fate::Unsent;
    }

    pub(crate) fn confirmed(
        &mut self,
        id: MessageId,
        outcome: &Outcome,
        now: Time,
        timeout: Duration,
        alive: bool,
    ) -> Result<(), String> {
        let message = &mut self.messages[id];
        let nowhere = message.key == "nowhere";
        let safe = SAFE.iter().any(|queue| message.goes_to(queue));
        let wrong = match outcome {
            Outcome::Confirmed => nowhere && message.mandatory,
            Outcome::Returned { .. } => !message.mandatory || safe,
            Outcome::Unknown(_) => alive && message.keep,
            // A batch of publishes shares one reading of the clock.
            Outcome::Overdue => now + Duration::from_secs(1) < message.at + timeout,
            _ => false,
        };
        match outcome {
            Outcome::Confirmed => message.fate = Fate::Confirmed,
            Outcome::Returned { .. } | Outcome::Nacked => message.fate = Fate::Refused,
            _ => {}
        }
        match wrong {
            true => Err(format!("message {id} {message:?} ended as {outcome:?}")),
            false => Ok(()),
        }
    }

    pub(crate) fn begin(&mut self) -> usize {
        self.transactions.push(End::Open);
        self.transactions.len() - 1
    }

    pub(crate) fn ending(&mut self, number: usize, commit: bool) {
        if self.transactions[number] != End::Doomed {
            self.transactions[number] = if commit { End::Committing } else { End::RollingBack };
        }
    }

    /// The commit was answered.
    pub(crate) fn committed(&mut self, number: usize) {
        self.transactions[number] = End::Committed;
    }

    /// It ended without a commit.
    pub(crate) fn doomed(&mut self, number: usize) {
        self.transactions[number] = End::Doomed;
    }

    pub(crate) fn settled(&mut self, queue: &str, id: MessageId, how: Settlement) {
        if how != Settlement::Requeue {
            self.settled.insert((queue.to_owned(), id));
        }
    }

    /// A delivery reached its user.
    pub(crate) fn arrived(
        &mut self,
        task: usize,
        queue: &str,
        arrival: &Arrival,
    ) -> Result<(), String> {
        let id = self.recognise(queue, arrival)?;
        let fresh = !arrival.redelivered() && !self.messages[id].keep;
        if SAFE.contains(&queue) && fresh && !self.fresh.insert((queue.to_owned(), id)) {
            return Err(format!("message {id} came twice as if for the first time"));
        }
        let got = matches!(arrival.content.method(), Ok(Method::BasicGetOk(_)));
        if fresh && !got && !queue.is_empty() {
            let Message { lane, epoch, .. } = self.messages[id];
            let seen = (task, queue.to_owned(), arrival.epoch, lane, epoch);
            if let Some(before) = self.order.insert(seen, id)
                && before > id
            {
                return Err(format!("message {id} came after {before}"));
            }
        }
        Ok(())
    }

    /// What was found in a queue at the end.
    pub(crate) fn found(&mut self, queue: &str, arrival: &Arrival) -> Result<(), String> {
        let id = self.recognise(queue, arrival)?;
        match self.drained.insert((queue.to_owned(), id)) {
            true => Ok(()),
            false if self.messages[id].keep => Ok(()),
            false => Err(format!("message {id} is in queue {queue} twice")),
        }
    }

    fn recognise(&mut self, queue: &str, arrival: &Arrival) -> Result<MessageId, String> {
        let body = arrival.content.clone().into_body().into_bytes();
        let id = read(arrival);
        let Some(message) = self.messages.get(id) else {
            return Err(format!("a message that nobody wrote, {id}"));
        };
        if *body != message.body(id) {
            return Err(format!("message {id} arrived with another body"));
        }
        if SAFE.contains(&queue) && !message.goes_to(queue) {
            return Err(format!("message {id} {message:?} does not belong here"));
        }
        if message.fate == Fate::Unsent {
            return Err(format!("message {id} was never sent"));
        }
        self.seen.insert((queue.to_owned(), id));
        Ok(id)
    }

    /// Whether the books balance, once everything is at rest and the queues are drained.
    pub(crate) fn close(&self) -> Result<(), String> {
        for (id, message) in self.messages.iter().enumerate() {
            for queue in SAFE.iter().filter(|queue| message.goes_to(queue)) {
                let entry = ((*queue).to_owned(), id);
                let kept = self.settled.contains(&entry) || self.drained.contains(&entry);
                let seen = self.seen.contains(&entry);
                if message.fate == Fate::Confirmed && !kept {
                    return Err(format!("message {id} was confirmed and lost from {queue}"));
                }
                if message.fate == Fate::Refused && seen && !message.keep {
                    return Err(format!("message {id} was refused, and is in {queue}"));
                }
                if seen && !kept {
                    return Err(format!("message {id} was delivered from {queue} and lost"));
                }
                let PublishedIn::Transaction(number) = message.within else { continue };
                match self.transactions[number] {
                    End::Committed if !kept => {
                        return Err(format!("message {id} was committed and lost from {queue}"));
                    }
                    End::Doomed if seen => {
                        return Err(format!("message {id} is of a transaction that never was"));
                    }
                    _ => {}
                }
            }
        }
        self.transactions_are_whole()
    }

    /// Of a commit whose answer was lost there is all or nothing.
    fn transactions_are_whole(&self) -> Result<(), String> {
        let mut halves: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        for (id, message) in self.messages.iter().enumerate() {
            let PublishedIn::Transaction(number) = message.within else { continue };
            for queue in SAFE.iter().filter(|queue| message.goes_to(queue)) {
                let seen = self.seen.contains(&((*queue).to_owned(), id));
                let (all, part) = halves.entry(number).or_default();
                *all += 1;
                *part += usize::from(seen);
            }
        }
        match halves.iter().find(|(_, (all, part))| *part != 0 && part != all) {
            Some((number, (all, part))) => {
                let end = self.transactions[*number];
                Err(format!("of transaction {number} ({end:?}) there are {part} of {all}"))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn written(&self) -> usize {
        self.messages.len()
    }

    pub(crate) fn count(&self) -> [usize; 3] {
        let confirmed = self.messages.iter().filter(|m| m.fate == Fate::Confirmed).count();
        [confirmed, self.settled.len(), self.drained.len()]
    }
}

/// The number in a message's body.
pub(crate) fn read(arrival: &Arrival) -> MessageId {
    let body = arrival.content.clone().into_body().into_bytes();
    body.first_chunk().map_or(usize::MAX, |id| u64::from_be_bytes(*id) as usize)
}
