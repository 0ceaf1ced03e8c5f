//! How a run begins and ends: the topology, the rest after the faults, the books.

use std::{task::Poll, time::Duration};

use hopmq::{
    fsm::supervisor::State,
    proto::{ChannelKey, Reply, Request, WaiterId},
};

use crate::{
    account::SAFE,
    app::{Job, Wait},
    client::Socket,
    requests as ask,
    world::World,
};

/// A waiter that nobody listens to.
const NOBODY: WaiterId = WaiterId { index: u32::MAX, generation: 0 };

/// Declares what every run has: three queues that stay, and an exchange to two of them.
pub(crate) fn prepare(world: &mut World) {
    world.active = false;
    let (c, key) = secretary(world);
    for queue in SAFE.iter().chain(&["lossy"]) {
        must(world, c, key, ask::queue(queue, false));
    }
    must(world, c, key, ask::fanout("fan"));
    must(world, c, key, ask::bind("q0", "fan", ""));
    must(world, c, key, ask::bind("q1", "fan", ""));
    dismiss(world, c);
    world.clients.clear();
    world.active = true;
}

/// One run, from seed to verdict.
pub(crate) fn run(seed: u64, verbose: bool) -> World {
    let mut world = World::new(seed, verbose);
    let steps = 200 + world.random.below(3_000);
    while world.steps < steps && world.failure.is_none() {
        world.turn();
    }
    world.heal();
    world.note(|| "healed".to_owned());
    come_to_rest(&mut world);
    stay(&mut world);
    let_go(&mut world);
    take_stock(&mut world);
    close_all(&mut world);
    world
}

/// All answers arrive, all that can be delivered is, and settled.
fn come_to_rest(world: &mut World) {
    let rested = world.run_until(Duration::from_secs(600), |world| {
        let clients = world
            .clients
            .iter()
            .all(|client| client.is_settled() && client.connection.unconfirmed() == 0);
        let waits = world.waits.values().all(|(_, wait)| matches!(wait, Wait::Consumer(_)));
        let tasks = (0..world.tasks.len()).all(|t| !world.can_step(t));
        clients && waits && tasks && world.woken.is_empty() && is_quiet(world)
    });
    if !rested {
        let waits: Vec<_> = world
            .waits
            .values()
            .filter(|(_, wait)| !matches!(wait, Wait::Consumer(_)))
            .cloned()
            .collect();
        let states: Vec<_> = world
            .clients
            .iter()
            .map(|client| (client.state(), client.socket, client.connection.unconfirmed()))
            .collect();
        world.fail(format!("does not come to rest: {waits:?} {states:?}"));
        return;
    }
    check_channels(world);
    check_consumers(world);
}

/// Nothing is wrong, so nothing happens: heartbeats keep every connection.
fn stay(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    let epochs = |world: &World| -> Vec<_> {
        world.clients.iter().map(|client| (client.life, client.epoch)).collect()
    };
    let before = epochs(world);
    world.run_until(Duration::from_secs(150), |_| false);
    let after = epochs(world);
    world
        .check(before == after, || format!("lost at rest: lives and epochs {before:?}, {after:?}"));
}

/// Nothing is on its way, and no end that one of the two has yet to learn of.
fn is_quiet(world: &mut World) -> bool {
    let now = world.now;
    (0..world.links.len()).all(|l| {
        let (peer, link) = (world.links[l].peer, &world.links[l]);
        let is_over = link.hung_up && link.left;
        let is_open =
            [&link.up, &link.down].into_iter().all(|pipe| pipe.bytes.is_empty() && !pipe.closed)
                && !world.broker.has_output(peer, now)
                && !world.broker.hangs_up(peer, now);
        is_over || is_open
    })
}

/// The broker has exactly the channels that are held: one that nobody holds takes its number for good.
fn check_channels(world: &mut World) {
    for c in 0..world.clients.len() {
        let Socket::Up(link) = world.clients[c].socket else { continue };
        let connection = &world.clients[c].connection;
        let keys =
            world.tasks.iter().filter(|task| task.client == c).filter_map(|task| task.channel);
        let held = keys.filter(|key| connection.channel_ended(*key).is_none()).count();
        let there = world.broker.channels(world.links[link].peer);
        world.check(held == there.len(), || {
            format!("client {c}: {held} channels are held, {there:?} are there")
        });
    }
}

/// The broker has exactly the consumers that their users believe in, and nothing waits for them.
fn check_consumers(world: &mut World) {
    let queues = world.broker.queues(world.now);
    for queue in &queues {
        let live = |task: &&crate::app::Task| {
            task.consumer.is_some()
                && match &task.job {
                    Job::Consume { queue: "", .. } => task.named == queue.name,
                    Job::Consume { queue: of, .. } => *of == queue.name,
                    _ => false,
                }
        };
        let believed = world.tasks.iter().filter(live).count();
        let there = queue.consumers.len();
        world.check(there == believed, || {
            format!("queue {}: {believed} consumers are held, {there} are there", queue.name)
        });
        world.check(queue.unacked == 0, || {
            format!("{} deliveries are owed by nobody: {queue:?}", queue.unacked)
        });
        world.check(there == 0 || queue.ready == 0, || {
            format!(
                "queue {}: {} messages wait for {there} idle consumers",
                queue.name, queue.ready
            )
        });
    }
    // What a recovery could not declare, since its channel was closed meanwhile, is mended.
    let mended = world.run_until(Duration::from_secs(60), |world| unbound(world).is_none());
    if !mended && let Some(queue) = unbound(world) {
        world.fail(format!("queue {queue} is not bound any more"));
    }
    let queues = world.broker.queues(world.now);
    let believed = world.tasks.iter().filter(|task| task.consumer.is_some()).count();
    let there: usize = queues.iter().map(|queue| queue.consumers.len()).sum();
    world.check(there == believed, || format!("{believed} consumers are held, {there} are there"));
}

/// A server-named queue of a consumer that has lost its binding.
fn unbound(world: &World) -> Option<String> {
    let bindings = world.broker.bindings();
    let mut named = world
        .tasks
        .iter()
        .filter(|task| task.consumer.is_some() && !task.named.is_empty())
        .map(|task| &task.named);
    named.find(|name| bindings.iter().all(|binding| binding.destination != **name)).cloned()
}

/// Users drop everything that they hold, the connections apart.
fn let_go(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    for t in 0..world.tasks.len() {
        world.release(t);
    }
    world.over = true;
    let done = world.run_until(Duration::from_secs(60), |world| {
        world.waits.is_empty()
            && world.woken.is_empty()
            && world.clients.iter().all(|client| client.is_settled())
            && is_quiet(world)
    });
    if !done {
        let waits = world.waits.clone();
        world.fail(format!("what was let go of does not end: {waits:?}"));
        return;
    }
    for queue in world.broker.queues(world.now) {
        world.check(queue.consumers.is_empty() && queue.unacked == 0, || {
            format!("nobody holds anything, and yet: {queue:?}")
        });
    }
    for c in 0..world.clients.len() {
        let text = format!("{:?}", world.clients[c].connection);
        for mark in ["Waiting {", "Answered(", "Pending {", "channel: Some("] {
            world.check(!text.contains(mark), || format!("client {c} keeps {mark}: {text}"));
        }
    }
}

/// Drains the queues, and compares with the books.
fn take_stock(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    let (c, key) = secretary(world);
    for queue in world.broker.queues(world.now).into_iter().filter(|queue| !queue.exclusive) {
        while let Some(Reply::Got(_, Some(arrival))) =
            must(world, c, key, ask::get_automatically(&queue.name))
        {
            if let Err(wrong) = world.account.found(&queue.name, &arrival) {
                world.fail(wrong);
            }
        }
    }
    if let Err(wrong) = world.account.close() {
        world.fail(wrong);
    }
}

fn close_all(world: &mut World) {
    if world.failure.is_some() {
        return;
    }
    for c in 0..world.clients.len() {
        if world.clients[c].connection.ended().is_none() {
            dismiss(world, c);
        }
    }
    let closed = world.run_until(Duration::from_secs(60), |world| world.broker.connections() == 0);
    world.check(closed, || "connections stay with the broker".to_owned());
    world.check(world.broker.stored() == 0, || "the broker keeps something".to_owned());
    for c in 0..world.clients.len() {
        let client = &world.clients[c];
        let clean = client.state() == State::Closed
            && !client.connection.has_output()
            && client.rest.is_empty();
        world.check(clean, || format!("client {c} does not end cleanly"));
    }
}

/// Somebody who sees to things, while nothing goes wrong.
fn secretary(world: &mut World) -> (usize, ChannelKey) {
    let c = world.add_client();
    world.run_until(Duration::from_secs(60), |world| world.clients[c].is_settled());
    let now = world.now;
    let call = world.clients[c].connection.open_channel(now, Duration::from_secs(60));
    let call = call.expect("a channel");
    match answer(world, c, call) {
        Some(Reply::Opened(key)) => (c, key),
        other => panic!("{other:?} to channel.open"),
    }
}

fn must(world: &mut World, c: usize, key: ChannelKey, request: Request) -> Option<Reply> {
    let (now, after) = (world.now, Duration::from_secs(60));
    let call = world.clients[c].connection.request(now, key, request, after).expect("a request");
    answer(world, c, call)
}

fn answer(world: &mut World, c: usize, call: hopmq::proto::CallId) -> Option<Reply> {
    world.drain(c);
    let mut answer = None;
    for _ in 0..100_000 {
        if let Poll::Ready(reply) = world.clients[c].connection.poll_call(call, || NOBODY) {
            answer = Some(reply);
            break;
        }
        world.turn();
    }
    match answer {
        Some(Ok(reply)) => Some(reply),
        other => {
            world.fail(format!("the secretary got {other:?}"));
            None
        }
    }
}

fn dismiss(world: &mut World, c: usize) {
    let now = world.now;
    let call = world.clients[c].connection.close(now);
    world.over = true;
    answer(world, c, call);
    let gone = |world: &mut World| world.clients[c].socket == Socket::None;
    let gone = world.run_until(Duration::from_secs(60), gone);
    world.check(gone, || "a closed connection keeps its socket".to_owned());
    world.over = world.tasks.iter().all(|task| task.channel.is_none()) && !world.tasks.is_empty();
}
