//! Publishers, waiters and a task on a socket of its own, around the driver's `Shared`.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use loom::{future::block_on, thread};

use super::{shared::Shared, sync::AtomicU64};
use crate::{
    fsm::{Time, supervisor::Policy},
    proto::{
        Accepted, Action, Batch, CallId, ChannelKey, Connection, ConsumeSpec, ConsumerKey, Limits,
        Loss, Mechanism, Outcome, Outgoing, Reply, Request, Secret, Settings, Upkeep, WaiterId,
    },
    wire::{MethodFrame, RawTable, ShortStr, ShortString, encode, method},
};

const SECOND: Duration = Duration::from_secs(1);

/// A connection with one confirming channel, whose socket takes `outbound_bytes` at a time.
fn confirming(outbound_bytes: usize) -> (Connection, ChannelKey) {
    let settings = Settings {
        virtual_host: ShortString::new("/").unwrap(),
        client_properties: Bytes::new(),
        channel_max: 2047,
        frame_max: 131_072,
        heartbeat: 60 * SECOND,
        confirm_timeout: 20 * SECOND,
        limits: Limits { outbound_bytes, ..Limits::default() },
        policy: Policy { reconnect: false, ..Policy::default() },
    };
    let mut connection = Connection::new(settings, 1);
    let opened = connection.connect(Time::ZERO);
    assert!(matches!(connection.poll_action(), Some(Action::Dial { .. })));
    let response = Secret(Bytes::from_static(b"\0guest\0guest"));
    let plain = Mechanism { name: ShortString::new("PLAIN").unwrap(), response };
    connection.handle_dialed(Time::ZERO, vec![plain]);
    let start = method::connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: RawTable::new(&[]),
        mechanisms: b"PLAIN",
        locales: b"en_US",
    };
    let tune = method::connection::Tune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 };
    receive(&mut connection, 0, &start);
    receive(&mut connection, 0, &tune);
    receive(&mut connection, 0, &method::connection::OpenOk {});
    assert_eq!(answer(&mut connection, opened), Reply::Done);
    let channel = connection.open_channel(Time::ZERO, SECOND).unwrap();
    receive(&mut connection, 1, &method::channel::OpenOk {});
    let Reply::Opened(key) = answer(&mut connection, channel) else { panic!("a channel") };
    let select = connection.request(Time::ZERO, key, Request::ConfirmSelect, SECOND).unwrap();
    receive(&mut connection, 1, &method::confirm::SelectOk {});
    assert_eq!(answer(&mut connection, select), Reply::Done);
    connection.take_batch(Time::ZERO, &mut Batch::default());
    while connection.poll_transition().is_some() {}
    (connection, key)
}

/// The same with a consumer that has so much before it that the socket is not read.
fn overfull() -> (Connection, ConsumerKey) {
    let (mut connection, key) = confirming(1 << 20);
    let spec = ConsumeSpec {
        queue: ShortString::new("inbox").unwrap(),
        automatic: true,
        exclusive: false,
        arguments: Bytes::new(),
        prefetch: None,
        upkeep: Upkeep::default(),
    };
    let consume = connection.request(Time::ZERO, key, Request::Consume(spec), SECOND).unwrap();
    let consumer_tag = ShortStr::new("hopmq-1").unwrap();
    receive(&mut connection, 1, &method::basic::ConsumeOk { consumer_tag });
    let Reply::Consuming(consumer) = answer(&mut connection, consume) else { panic!("a consumer") };
    for delivery_tag in 1..=17 {
        let deliver = method::basic::Deliver {
            consumer_tag,
            delivery_tag,
            redelivered: false,
            exchange: ShortStr::empty(),
            routing_key: ShortStr::empty(),
        };
        let mut bytes = BytesMut::new();
        encode::message(&mut bytes, 1, &deliver, &[0, 0], &[0; 65_536], 131_072);
        connection.handle_input(Time::ZERO, &bytes.freeze());
    }
    assert!(!connection.wants_read());
    connection.take_batch(Time::ZERO, &mut Batch::default());
    (connection, consumer)
}

fn answer(connection: &mut Connection, call: CallId) -> Reply {
    let nobody = WaiterId { index: u32::MAX, generation: 0 };
    match connection.poll_call(call, || nobody) {
        Poll::Ready(Ok(reply)) => reply,
        other => panic!("{other:?}"),
    }
}

fn receive(connection: &mut Connection, channel: u16, method: &impl MethodFrame) {
    let mut bytes = BytesMut::new();
    encode::method(&mut bytes, channel, method);
    connection.handle_input(Time::ZERO, &bytes.freeze());
}

fn acks(tag: u64, multiple: bool) -> impl FnOnce(&mut Connection) {
    move |connection| {
        receive(connection, 1, &method::basic::Ack { delivery_tag: tag, multiple });
    }
}

/// A publisher's future, as far as to the batch.
async fn publish(shared: &Shared, key: ChannelKey) -> Option<u64> {
    let body = [Bytes::from_static(b"x")];
    let outgoing = Outgoing {
        exchange: ShortStr::empty(),
        routing_key: ShortStr::new("inbox").unwrap(),
        mandatory: false,
        properties: &[0, 0],
        sequence_at: None,
        body: &body,
        keep: false,
    };
    let mut held = None;
    let accepted = poll_fn(|cx| {
        match shared.poll_publish(key, &outgoing.route(), &outgoing.encoded(), &mut held, cx) {
            Ok(Accepted::Yes { tag }) => Poll::Ready(Some(tag)),
            Ok(Accepted::Wait) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    });
    let tag = accepted.await;
    shared.forget(held);
    tag
}

/// A confirm's future.
async fn outcome(shared: &Shared, key: ChannelKey, tag: u64, below: &AtomicU64) -> Outcome {
    let mut held = None;
    poll_fn(|cx| match tag < below.load(Ordering::Relaxed) {
        true => Poll::Ready(Outcome::Confirmed),
        false => shared.poll_confirm(key, tag, below, &mut held, cx),
    })
    .await
}

/// The connection's task, on a socket that takes everything.
struct Task {
    shared: Arc<Shared>,
    batch: Batch,
}

impl Task {
    fn new(shared: &Arc<Shared>) -> Self {
        Task { shared: shared.clone(), batch: Batch::default() }
    }

    /// Sleeps and works, as the driver's does, until `over`, which looks on each time it has worked.
    async fn run(&mut self, mut over: impl FnMut(&Shared, &Batch) -> bool) {
        poll_fn(|cx| self.poll(cx, &mut over)).await;
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        over: &mut impl FnMut(&Shared, &Batch) -> bool,
    ) -> Poll<()> {
        loop {
            while self.shared.with(|state| state.connection.poll_action()).is_some() {}
            self.batch.clear();
            self.shared.with(|state| {
                if state.connection.has_output() {
                    state.connection.take_batch(Time::ZERO, &mut self.batch);
                }
            });
            if over(&self.shared, &self.batch) {
                return Poll::Ready(());
            }
            if self.shared.may_sleep(cx.waker(), true, false) {
                return Poll::Pending;
            }
        }
    }
}

/// How many bytes one message is on the wire.
fn message_len(connection: &Connection, key: ChannelKey) -> usize {
    let shared = Shared::around(connection.clone(), 1);
    block_on(publish(&shared, key));
    let mut batch = Batch::default();
    shared.with(|state| state.connection.take_batch(Time::ZERO, &mut batch));
    batch.len()
}

/// Runs the test in every order of its threads, of which one is preempted so many times at most.
fn in_every_order(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

/// Two threads publish a message each, and the task writes both. Gives the tags.
fn published_by_two(connection: &Connection, key: ChannelKey) -> [Option<u64>; 2] {
    let shared = Shared::around(connection.clone(), 1);
    let publishers = [0, 1].map(|_| {
        let shared = shared.clone();
        thread::spawn(move || block_on(publish(&shared, key)))
    });
    let (mut task, mut written) = (Task::new(&shared), 0);
    let all = 2 * message_len(connection, key);
    block_on(task.run(|_, batch| {
        written += batch.len();
        written == all
    }));
    publishers.map(|publisher| publisher.join().unwrap())
}

#[test]
fn what_is_published_while_the_task_goes_to_sleep_is_written() {
    let (connection, key) = confirming(1 << 20);
    in_every_order(move || {
        let mut tags = published_by_two(&connection, key);
        tags.sort();
        assert_eq!(tags, [Some(1), Some(2)]);
    });
}

#[test]
fn a_publisher_that_waits_for_the_socket_goes_on_when_the_batch_is_taken() {
    let (connection, key) = confirming(1);
    in_every_order(move || {
        assert!(published_by_two(&connection, key).iter().all(Option::is_some));
    });
}

#[test]
fn every_confirm_reaches_its_waiter_and_no_nacked_message_passes_for_confirmed() {
    let (connection, key) = confirming(1 << 20);
    in_every_order(move || {
        let shared = Shared::around(connection.clone(), 1);
        let below = Arc::new(AtomicU64::new(0));
        for _ in 0..3 {
            block_on(publish(&shared, key));
        }
        let waiters = [2, 3].map(|tag| {
            let (shared, below) = (shared.clone(), below.clone());
            thread::spawn(move || block_on(outcome(&shared, key, tag, &below)))
        });
        shared.with(|state| acks(1, false)(&mut state.connection));
        shared.with(|state| {
            let nack = method::basic::Nack { delivery_tag: 2, multiple: false, requeue: false };
            receive(&mut state.connection, 1, &nack);
        });
        shared.with(|state| acks(3, true)(&mut state.connection));
        assert_eq!(block_on(outcome(&shared, key, 1, &below)), Outcome::Confirmed);
        let outcomes = waiters.map(|waiter| waiter.join().unwrap());
        assert_eq!(outcomes, [Outcome::Nacked, Outcome::Confirmed]);
    });
}

#[test]
fn a_close_while_a_message_is_published_ends_the_task_and_everybody_who_waits() {
    let (connection, key) = confirming(1 << 20);
    in_every_order(move || {
        let shared = Shared::around(connection.clone(), 1);
        let closer = {
            let shared = shared.clone();
            thread::spawn(move || {
                let call = shared.command(|connection, now| connection.close(now));
                let mut held = None;
                block_on(poll_fn(|cx| shared.poll_call(call, &mut held, cx)))
            })
        };
        let publisher = {
            let shared = shared.clone();
            thread::spawn(move || {
                let below = AtomicU64::new(0);
                block_on(async {
                    let tag = publish(&shared, key).await?;
                    Some(outcome(&shared, key, tag, &below).await)
                })
            })
        };
        // The broker confirms what it gets, and answers the close.
        let mut task = Task::new(&shared);
        block_on(task.run(|shared, batch| {
            if !batch.is_empty() {
                shared.with(|state| {
                    if state.connection.unconfirmed() > 0 {
                        acks(1, true)(&mut state.connection);
                    }
                    receive(&mut state.connection, 0, &method::connection::CloseOk {});
                });
            }
            shared.look(|connection| connection.ended().is_some())
        }));
        assert!(closer.join().unwrap().is_ok());
        let outcome = publisher.join().unwrap();
        assert!(matches!(outcome, None | Some(Outcome::Confirmed | Outcome::Unknown(_))));
    });
}

#[test]
fn a_cut_wakes_whoever_waits_for_an_answer_a_confirm_or_a_change() {
    let (connection, key) = confirming(1 << 20);
    in_every_order(move || {
        let shared = Shared::around(connection.clone(), 1);
        let tag = block_on(publish(&shared, key)).unwrap();
        let watcher = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (mut cursor, mut held, mut seen) = (0, None, 0);
                while block_on(poll_fn(|cx| shared.poll_change(&mut cursor, &mut held, cx)))
                    .is_some()
                {
                    seen += 1;
                }
                seen
            })
        };
        let publisher = {
            let shared = shared.clone();
            thread::spawn(move || block_on(outcome(&shared, key, tag, &AtomicU64::new(0))))
        };
        let now = shared.now();
        shared.with(|state| state.connection.handle_lost(now, Loss::EndOfStream));
        assert!(watcher.join().unwrap() > 0);
        assert!(matches!(publisher.join().unwrap(), Outcome::Unknown(_)));
    });
}

#[test]
fn the_task_reads_again_when_a_consumer_catches_up_while_it_goes_to_sleep() {
    let (connection, key) = overfull();
    in_every_order(move || {
        let shared = Shared::around(connection.clone(), 1);
        let consumer = {
            let shared = shared.clone();
            thread::spawn(move || {
                let (mut into, mut held) = (VecDeque::new(), None);
                block_on(poll_fn(|cx| {
                    let _ = shared.poll_consumer(key, &mut into, &mut held, cx);
                    Poll::Ready(())
                }));
                shared.forget(held);
                assert!(!into.is_empty());
            })
        };
        block_on(poll_fn(|cx| {
            loop {
                let paused = !shared.look(|connection| connection.wants_read());
                if !paused {
                    return Poll::Ready(());
                }
                if shared.may_sleep(cx.waker(), true, paused) {
                    return Poll::Pending;
                }
            }
        }));
        consumer.join().unwrap();
    });
}
