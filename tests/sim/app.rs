//! The users of the connections: publishers, consumers and declarers that wait for nothing but
//! their wakes, as futures do.

use std::{collections::VecDeque, task::Poll};

use hopmq::proto::{
    Accepted, Arrival, CallError, CallId, ChannelKey, ConsumerEnd, ConsumerKey, Outcome, Reply,
    Request, SettleError, Settlement, WaiterId,
};

use crate::{
    account::{MessageId, PublishedIn},
    requests as ask,
    world::World,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Plain,
    Confirming,
    Transactional,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    Publish(Mode),
    /// From this queue; the empty name is one that the broker names.
    Consume {
        queue: &'static str,
        automatic: bool,
    },
    Declare,
}

pub(crate) struct Task {
    pub(crate) client: usize,
    pub(crate) job: Job,
    pub(crate) channel: Option<ChannelKey>,
    /// The channel is in its mode, or the queue declared and bound.
    pub(crate) ready: bool,
    /// Operations that are left to do.
    pub(crate) left: usize,
    /// Answers without which it does nothing.
    pub(crate) blocked: usize,
    pub(crate) consumer: Option<ConsumerKey>,
    /// Unsettled deliveries, and the queues that they came from.
    pub(crate) held: Vec<(String, Arrival)>,
    /// A message that has to wait for room.
    pub(crate) stuck: Option<MessageId>,
    /// The transaction that it publishes into.
    pub(crate) transaction: Option<usize>,
    /// The queue's name, where the broker chose it.
    pub(crate) named: String,
    /// Which channel of this task it is: messages keep their order within one.
    pub(crate) lane: usize,
    pub(crate) life: u32,
}

/// Something that a task waits for.
#[derive(Clone, Debug)]
pub(crate) enum Wait {
    Open(CallId),
    Call { call: CallId, request: Request, blocks: bool, transaction: Option<usize> },
    Confirm { key: ChannelKey, tag: u64, message: MessageId },
    Gate,
    Consumer(ConsumerKey),
}

impl World {
    /// Whether the task can do something of its own accord.
    pub(crate) fn can_step(&self, t: usize) -> bool {
        let task = &self.tasks[t];
        if task.blocked > 0 || self.over || self.clients[task.client].connection.ended().is_some() {
            return false;
        }
        let lost = task
            .channel
            .is_some_and(|key| self.clients[task.client].connection.channel_ended(key).is_some());
        lost || match task.job {
            _ if task.life != self.clients[task.client].life => true,
            Job::Consume { .. } => {
                task.channel.is_none()
                    || !task.ready
                    || !task.held.is_empty()
                    || (task.consumer.is_none() && task.left > 0)
                    || (task.left > 0 && self.active)
            }
            _ => {
                task.left > 0 && self.active || task.transaction.is_some() && task.channel.is_some()
            }
        }
    }

    pub(crate) fn step(&mut self, t: usize) {
        let now = self.now;
        let c = self.tasks[t].client;
        if self.tasks[t].life != self.clients[c].life {
            // Its handles were of a connection that has ended.
            self.tasks[t].life = self.clients[c].life;
            self.tasks[t].held.clear();
            self.forget_channel(t);
            return;
        }
        let Some(key) = self.tasks[t].channel else {
            let after = self.call_time();
            if let Ok(call) = self.clients[c].connection.open_channel(now, after) {
                self.wait(t, Wait::Open(call), true);
            }
            return self.drain(c);
        };
        if self.clients[c].connection.channel_ended(key).is_some() {
            self.settle_some(t, true);
            return self.release(t);
        }
        match self.tasks[t].job.clone() {
            Job::Publish(mode) => self.step_publisher(t, key, mode),
            Job::Consume { queue, automatic } => self.step_consumer(t, key, queue, automatic),
            Job::Declare => self.step_declarer(t, key),
        }
        self.drain(c);
    }

    fn step_publisher(&mut self, t: usize, key: ChannelKey, mode: Mode) {
        if !self.tasks[t].ready {
            return match mode {
                Mode::Plain => self.tasks[t].ready = true,
                Mode::Confirming => self.ask(t, key, Request::ConfirmSelect, true),
                Mode::Transactional => self.ask(t, key, Request::TxSelect, true),
            };
        }
        if self.tasks[t].stuck.is_none() {
            if let Some(number) = self.tasks[t].transaction
                && (self.random.once_in(4) || self.tasks[t].left == 0)
            {
                let request = match self.random.once_in(3) {
                    true => Request::TxRollback,
                    false => Request::TxCommit,
                };
                let blocks = !self.random.once_in(3);
                return self.end_transaction(t, key, request, number, blocks);
            }
            if self.random.once_in(20) {
                return self.ask(t, key, ask::passive("q0"), false);
            }
            if self.random.once_in(80) && mode != Mode::Confirming {
                // What follows on this channel is refused.
                return self.ask(t, key, Request::CloseChannel, false);
            }
            if self.random.once_in(100) && mode != Mode::Transactional {
                return self.release(t);
            }
        }
        self.publish(t, key, mode);
    }

    fn publish(&mut self, t: usize, key: ChannelKey, mode: Mode) {
        let c = self.tasks[t].client;
        let message = match self.tasks[t].stuck.take() {
            Some(message) => message,
            None => {
                self.tasks[t].left = self.tasks[t].left.saturating_sub(1);
                let lane = self.tasks[t].lane;
                self.account.write(lane, &mut self.random)
            }
        };
        let outgoing = self.account.outgoing(message);
        let now = self.now;
        let waiter = WaiterId { index: t as u32, generation: self.last_wait + 1 };
        let mut asked = false;
        let accepted =
            self.clients[c].connection.publish(key, &outgoing.borrow(), || now, &mut || {
                asked = true;
                Some(waiter)
            });
        self.note(|| format!("task {t}: publish {message} {accepted:?}"));
        match accepted {
            Ok(Accepted::Yes { tag }) => {
                let number = match mode {
                    Mode::Transactional => Some(match self.tasks[t].transaction {
                        Some(number) => number,
                        None => self.account.begin(),
                    }),
                    _ => None,
                };
                self.tasks[t].transaction = number;
                let within = number.map_or(PublishedIn::Nothing, PublishedIn::Transaction);
                let epoch = self.clients[c].connection.epoch();
                self.account.published(message, within, epoch, self.now);
                self.check((tag > 0) == (mode == Mode::Confirming), || format!("tag {tag}"));
                if mode == Mode::Confirming {
                    if self.random.once_in(30) {
                        self.clients[c].connection.abandon_confirms(key, tag..tag + 1);
                    } else {
                        self.wait(t, Wait::Confirm { key, tag, message }, false);
                    }
                }
            }
            Ok(Accepted::Wait) => {
                self.check(asked, || "told to wait, without being asked for a waiter".to_owned());
                self.tasks[t].stuck = Some(message);
                self.park(t, Wait::Gate, true);
            }
            Err(CallError::TransactionLost) => {
                self.check(mode == Mode::Transactional, || "no transaction to lose".to_owned());
                let number =
                    self.tasks[t].transaction.take().unwrap_or_else(|| self.account.begin());
                self.account.doomed(number);
                self.end_transaction(t, key, Request::TxRollback, number, true);
            }
            Err(CallError::Ended(_)) => {}
            Err(error) => self.fail(format!("task {t}: publish: {error}")),
        }
    }

    fn end_transaction(
        &mut self,
        t: usize,
        key: ChannelKey,
        request: Request,
        number: usize,
        blocks: bool,
    ) {
        let (c, after, now) = (self.tasks[t].client, self.call_time(), self.now);
        self.tasks[t].transaction = None;
        let is_commit = request == Request::TxCommit;
        match self.clients[c].connection.request(now, key, request.clone(), after) {
            Ok(call) => {
                self.account.ending(number, is_commit);
                let transaction = Some(number);
                self.wait(t, Wait::Call { call, request, blocks, transaction }, blocks);
            }
            Err(CallError::TransactionLost) if is_commit => {
                self.account.doomed(number);
                self.end_transaction(t, key, Request::TxRollback, number, true);
            }
            Err(_) => self.account.doomed(number),
        }
    }

    fn step_consumer(&mut self, t: usize, key: ChannelKey, queue: &'static str, automatic: bool) {
        let c = self.tasks[t].client;
        if queue.is_empty() && !self.tasks[t].ready {
            return match self.tasks[t].named.is_empty() {
                true => self.ask(t, key, ask::server_named(), true),
                false => {
                    let bind = ask::bind(&self.tasks[t].named, "fan", "");
                    self.ask(t, key, bind, true);
                }
            };
        }
        self.tasks[t].ready = true;
        let Some(consumer) = self.tasks[t].consumer else {
            if self.tasks[t].left == 0 {
                return self.settle_some(t, true);
            }
            let queue =
                if queue.is_empty() { self.tasks[t].named.clone() } else { queue.to_owned() };
            let prefetch = if automatic { None } else { Some(1 + self.random.below(20) as u16) };
            self.tasks[t].left = self.tasks[t].left.saturating_sub(1);
            return self.ask(t, key, ask::consume(&queue, automatic, prefetch), true);
        };
        self.tasks[t].left = self.tasks[t].left.saturating_sub(1);
        match self.random.below(if self.active { 60 } else { 1 }) {
            1 if !queue.is_empty() => {
                // It is dropped, with what it had not handed out.
                let held = self.tasks[t].held.drain(..);
                let rest: VecDeque<Arrival> = held.map(|(_, arrival)| arrival).collect();
                let now = self.now;
                self.note(|| format!("task {t}: drops consumer {consumer:?} with {}", rest.len()));
                self.clients[c].connection.drop_consumer(now, consumer, rest);
                self.forget_consumer(t);
            }
            2 => self.ask(t, key, ask::cancel(consumer.number), true),
            3 => {
                let blocks = self.random.once_in(2);
                self.ask(t, key, ask::get("q0"), blocks);
            }
            4 if !queue.is_empty() => {
                self.settle_some(t, true);
                self.release(t);
            }
            5 => self.clients[c].connection.never_merge_acks(key),
            _ => self.settle_some(t, false),
        }
    }

    /// Settles one of the deliveries that the task holds, or all.
    fn settle_some(&mut self, t: usize, all: bool) {
        let c = self.tasks[t].client;
        while !self.tasks[t].held.is_empty() {
            // Mostly in order, so that acks merge.
            let count = self.tasks[t].held.len();
            let which = if self.random.once_in(3) { self.random.below(count) } else { 0 };
            let (queue, arrival) = self.tasks[t].held.remove(which);
            let how = match self.random.below(20) {
                0..3 if self.active => Settlement::Requeue,
                3..5 => Settlement::Reject,
                _ => Settlement::Ack,
            };
            let message = crate::account::read(&arrival);
            let method = arrival.content.method().map(|method| method.name());
            let key = match (self.tasks[t].channel, arrival.automatic()) {
                (Some(key), false) => key,
                _ => continue,
            };
            let connection = &mut self.clients[c].connection;
            let settled = connection.settle(key, arrival.epoch, arrival.tag, how);
            let epoch = connection.epoch();
            self.note(|| {
                format!("task {t}: {how:?} {message:?} tag {} {method:?} {settled:?}", arrival.tag)
            });
            match settled {
                Ok(()) => {
                    self.account.settled(&queue, message, how);
                    let twice = self.clients[c].connection.settle(key, epoch, arrival.tag, how);
                    self.check(twice.is_err(), || format!("tag {} settled twice", arrival.tag));
                }
                Err(SettleError::Stale) => {
                    let up = !matches!(
                        self.clients[c].state(),
                        hopmq::fsm::supervisor::State::Reconnecting
                            | hopmq::fsm::supervisor::State::CircuitOpen
                    );
                    self.check(arrival.epoch < epoch || !up, || {
                        format!("task {t}: a delivery of this epoch is stale, tag {}", arrival.tag)
                    });
                }
                Err(_) => {}
            }
            if !all {
                return;
            }
        }
    }

    fn step_declarer(&mut self, t: usize, key: ChannelKey) {
        self.tasks[t].left = self.tasks[t].left.saturating_sub(1);
        let request = match self.random.below(14) {
            0 | 1 => ask::exchange("ex", self.random.once_in(2)),
            2 | 3 => ask::queue("lossy", false),
            4 => ask::queue("fleeting", true),
            5 => ask::bind("lossy", "ex", "key"),
            6 => ask::bind("fleeting", "ex", "key"),
            7 => ask::unbind("lossy", "ex", "key"),
            8 => ask::delete_queue("lossy"),
            9 => ask::delete_exchange("ex"),
            10 => ask::passive("missing"),
            11 => ask::purge("lossy"),
            12 => Request::Limit { prefetch: 5, global: false },
            _ => return self.release(t),
        };
        let blocks = self.random.once_in(2);
        self.ask(t, key, request, blocks);
    }

    /// Sends a request and waits for its answer, or drops the call at once.
    pub(crate) fn ask(&mut self, t: usize, key: ChannelKey, request: Request, blocks: bool) {
        let (c, after, now) = (self.tasks[t].client, self.call_time(), self.now);
        match self.clients[c].connection.request(now, key, request.clone(), after) {
            Ok(call) if !self.random.once_in(40) => {
                self.wait(t, Wait::Call { call, request, blocks, transaction: None }, blocks);
            }
            Ok(call) => {
                self.note(|| format!("task {t}: {} dropped", request.name()));
                self.clients[c].connection.abandon_call(now, call);
                if matches!(request, Request::ConfirmSelect | Request::TxSelect) {
                    // The call owned the channel.
                    self.release(t);
                }
            }
            Err(CallError::Ended(_)) => {}
            Err(CallError::TransactionLost) => {
                if self.tasks[t].transaction.is_none() {
                    let number = self.account.begin();
                    self.tasks[t].transaction = Some(number);
                }
            }
            Err(error) => self.fail(format!("task {t}: {}: {error}", request.name())),
        }
    }

    pub(crate) fn release(&mut self, t: usize) {
        let (c, now) = (self.tasks[t].client, self.now);
        if let Some(consumer) = self.tasks[t].consumer {
            self.clients[c].connection.drop_consumer(now, consumer, VecDeque::new());
            self.forget_consumer(t);
        }
        if let Some(key) = self.tasks[t].channel.take() {
            self.note(|| format!("task {t}: releases its channel"));
            self.clients[c].connection.release_channel(now, key);
            self.drain(c);
        }
        self.forget_channel(t);
    }

    /// Whoever drops a consumer does not wait for it any more.
    fn forget_consumer(&mut self, t: usize) {
        if let Some(consumer) = self.tasks[t].consumer.take() {
            let is_its = |wait: &Wait| matches!(wait, Wait::Consumer(key) if *key == consumer);
            self.waits.retain(|_, (waits, wait)| *waits != t || !is_its(wait));
        }
    }

    pub(crate) fn forget_channel(&mut self, t: usize) {
        self.forget_consumer(t);
        let task = &mut self.tasks[t];
        (task.channel, task.ready) = (None, false);
        task.lane = self.account.lane();
        task.held.clear();
        task.named.clear();
        if let Some(message) = task.stuck.take() {
            self.account.never_sent(message);
        }
        if let Some(number) = task.transaction.take() {
            self.account.doomed(number);
        }
    }

    /// Takes up what a task waited for.
    pub(crate) fn resume(&mut self, id: u32) {
        let Some((t, wait)) = self.waits.remove(&id) else { return };
        let c = self.tasks[t].client;
        let waiter = WaiterId { index: t as u32, generation: id };
        match wait.clone() {
            Wait::Gate => self.finished(t, true),
            Wait::Open(call) if self.active && self.impatient && self.random.once_in(4) => {
                self.finished(t, true);
                let now = self.now;
                self.note(|| format!("task {t}: channel.open given up"));
                self.clients[c].connection.abandon_call(now, call);
            }
            Wait::Open(call) => match self.clients[c].connection.poll_call(call, || waiter) {
                Poll::Pending => self.again(id, t, wait),
                Poll::Ready(answer) => {
                    self.finished(t, true);
                    self.note(|| format!("task {t}: channel.open: {answer:?}"));
                    match answer {
                        // The mode may have been set meanwhile, on the channel that was let go of.
                        Ok(Reply::Opened(key)) => {
                            (self.tasks[t].channel, self.tasks[t].ready) = (Some(key), false);
                        }
                        Ok(other) => self.fail(format!("{other:?} to channel.open")),
                        Err(_) => {}
                    }
                }
            },
            Wait::Call { call, request, blocks, transaction } => {
                if self.active && self.random.once_in(60) && transaction.is_none() {
                    self.finished(t, blocks);
                    let now = self.now;
                    self.note(|| format!("task {t}: {} given up", request.name()));
                    self.clients[c].connection.abandon_call(now, call);
                    if matches!(request, Request::ConfirmSelect | Request::TxSelect) {
                        self.release(t);
                    }
                    self.drain(c);
                } else {
                    match self.clients[c].connection.poll_call(call, || waiter) {
                        Poll::Pending => self.again(id, t, wait),
                        Poll::Ready(answer) => {
                            self.finished(t, blocks);
                            self.note(|| format!("task {t}: {}: {answer:?}", request.name()));
                            self.answered(t, &request, transaction, answer);
                        }
                    }
                }
            }
            Wait::Confirm { key, tag, message } => {
                match self.clients[c].connection.poll_confirm(key, tag, || waiter) {
                    Poll::Pending => self.again(id, t, wait),
                    Poll::Ready(outcome) => {
                        self.finished(t, false);
                        let alive = self.clients[c].connection.channel_ended(key).is_none();
                        self.confirmed(message, outcome, alive);
                    }
                }
            }
            Wait::Consumer(key) => self.consume(id, t, key, waiter),
        }
        self.drain(c);
    }

    fn answered(
        &mut self,
        t: usize,
        request: &Request,
        transaction: Option<usize>,
        answer: Result<Reply, CallError>,
    ) {
        if let Some(number) = transaction {
            return self.transaction_ended(t, request, number, answer);
        }
        let reply = match answer {
            Ok(reply) => reply,
            Err(CallError::Timeout { .. }) if matches!(self.tasks[t].job, Job::Declare) => return,
            // Whether it took effect is not known: a new channel is.
            Err(_) => return self.release(t),
        };
        let fits = match (&reply, request) {
            (Reply::Declared { name, .. }, Request::DeclareQueue(spec)) => {
                if spec.name.is_empty() {
                    self.tasks[t].named = name.to_string();
                }
                spec.name.is_empty() || spec.name == *name
            }
            (Reply::Removed { .. }, Request::PurgeQueue { .. } | Request::DeleteQueue { .. }) => {
                true
            }
            (Reply::Consuming(consumer), Request::Consume(_)) => {
                if self.tasks[t].channel == Some(consumer.channel) {
                    self.tasks[t].consumer = Some(*consumer);
                    self.wait(t, Wait::Consumer(*consumer), false);
                }
                true
            }
            (Reply::Got(key, arrival), Request::Get { queue, .. }) => {
                if let Some(arrival) = arrival
                    && self.tasks[t].channel == Some(*key)
                {
                    self.arrived(t, queue.as_str(), (**arrival).clone());
                }
                true
            }
            (Reply::Done, request) => {
                self.tasks[t].ready |= matches!(
                    request,
                    Request::ConfirmSelect | Request::TxSelect | Request::BindQueue(_)
                );
                !matches!(
                    request,
                    Request::DeclareQueue(_)
                        | Request::Consume(_)
                        | Request::Get { .. }
                        | Request::PurgeQueue { .. }
                        | Request::DeleteQueue { .. }
                )
            }
            _ => false,
        };
        self.check(fits, || format!("{} was answered with {reply:?}", request.name()));
    }

    fn transaction_ended(
        &mut self,
        t: usize,
        request: &Request,
        number: usize,
        answer: Result<Reply, CallError>,
    ) {
        match (request, answer) {
            (Request::TxCommit, Ok(Reply::Done)) => self.account.committed(number),
            (Request::TxRollback, Ok(Reply::Done)) => self.account.doomed(number),
            (_, Ok(other)) => self.fail(format!("{other:?} to {}", request.name())),
            (_, Err(CallError::Timeout { .. })) => self.release(t),
            (_, Err(_)) => {}
        }
    }

    fn confirmed(&mut self, message: MessageId, outcome: Outcome, alive: bool) {
        self.note(|| format!("message {message}: {outcome:?}"));
        // While nothing can be written a publish may count as older than it is.
        let timeout = match self.jammed {
            true => std::time::Duration::ZERO,
            false => crate::world::CONFIRM_TIMEOUT,
        };
        let now = self.now;
        if let Err(wrong) = self.account.confirmed(message, &outcome, now, timeout, alive) {
            self.fail(wrong);
        }
    }

    fn consume(&mut self, id: u32, t: usize, key: ConsumerKey, waiter: WaiterId) {
        let c = self.tasks[t].client;
        let mut into = VecDeque::new();
        let polled = self.clients[c].connection.poll_consumer(key, &mut into, || waiter);
        let mine = self.tasks[t].consumer == Some(key);
        match polled {
            Poll::Pending => self.again(id, t, Wait::Consumer(key)),
            Poll::Ready(None) => {
                for arrival in into {
                    let queue = match &self.tasks[t].job {
                        Job::Consume { queue, .. } => *queue,
                        _ => "",
                    };
                    if mine {
                        self.arrived(t, queue, arrival);
                    } else {
                        self.fail(format!("task {t}: a delivery for a consumer that was dropped"));
                    }
                }
                self.again(id, t, Wait::Consumer(key));
                self.woken.push_back(id);
            }
            Poll::Ready(Some(end)) => {
                self.finished(t, false);
                self.note(|| format!("task {t}: consumer {} ended: {end:?}", key.number));
                if end == ConsumerEnd::Overrun {
                    self.fail("an overrun, with a small prefetch".to_owned());
                }
                if mine {
                    let now = self.now;
                    self.clients[c].connection.drop_consumer(now, key, VecDeque::new());
                    self.tasks[t].consumer = None;
                }
            }
        }
    }

    fn arrived(&mut self, t: usize, queue: &str, arrival: Arrival) {
        self.note(|| {
            let id = crate::account::read(&arrival);
            format!("task {t}: gets {id} from '{queue}', tag {}", arrival.tag)
        });
        let epoch = self.clients[self.tasks[t].client].connection.epoch();
        self.check(arrival.epoch <= epoch, || format!("a delivery of epoch {}", arrival.epoch));
        if let Err(wrong) = self.account.arrived(t, queue, &arrival) {
            self.fail(format!("task {t}, queue '{queue}', tag {}: {wrong}", arrival.tag));
        }
        if !arrival.automatic() {
            self.tasks[t].held.push((queue.to_owned(), arrival));
        }
    }
}
