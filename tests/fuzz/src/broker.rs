//! The embedded broker under clients that say anything.
//!
//! Held against it, besides the assertions in the library: what it says is AMQP; a connection that
//! is logged in is hung up only after connection.close with a code that AMQP knows, or because it
//! was silent; others do not notice; memory follows the octets that arrived; and however they were
//! split, the same comes out.

mod scene;

use std::time::Duration;

use arbitrary::Unstructured;
use hopmq::wire::{
    FrameKind, METHODS, MethodFrame,
    method::{basic, channel, confirm, connection, exchange, queue, tx},
};

use crate::{
    grammar::{self, Drawn, Wish},
    memory,
};
use scene::Scene;

/// Clients at most, besides the one that behaves.
const CLIENTS: usize = 3;

pub fn run(input: &[u8]) {
    let Some((&mode, input)) = input.split_first() else { return };
    let compared = mode & 3 == 0;
    let (said, peak) = memory::peak(|| play(input, usize::MAX, compared));
    assert!(peak < 512 * 1024 + 2048 * input.len(), "{peak} octets for {}", input.len());
    if compared {
        let again = play(input, 1 + usize::from(mode >> 2), true);
        for (whole, split) in said.iter().zip(&again) {
            assert_eq!(whole, split, "the same in small blocks");
        }
    }
}

/// Plays an input in blocks of at most so many octets, and gives what the broker said to each.
fn play(input: &[u8], block: usize, compared: bool) -> Vec<String> {
    let mut from = Unstructured::new(input);
    let mut scene = Scene::new(block, compared);
    // An input that has ended is as good as one that goes on.
    let _ = steps(&mut from, &mut scene);
    scene.end()
}

fn steps(from: &mut Unstructured<'_>, scene: &mut Scene) -> Drawn<()> {
    while !from.is_empty() {
        let step = from.arbitrary::<u8>()?;
        let who = 1 + usize::from(step) % CLIENTS;
        match step {
            0..=219 => {
                let mut out = Vec::new();
                say(from, scene.is_greeted(who), &mut out)?;
                scene.receive(who, &out);
            }
            220..=229 => scene.take(who, usize::from(from.arbitrary::<u16>()?)),
            230..=237 => {
                let waits = [1, 5, 100, 1_000, 10_000, 70_000];
                scene.pass(Duration::from_millis(*grammar::one_of(from, &waits)?));
            }
            238..=241 => scene.disconnect(who),
            242..=245 => scene.broker.set_alarm(from.arbitrary()?),
            246 => scene.broker.withhold_confirms(from.arbitrary()?, scene.now),
            247 => scene.broker.nack_publishes(from.arbitrary::<u8>()?.into()),
            248 => {
                let name = grammar::text(from)?;
                scene.broker.delete_queue(name, scene.now);
            }
            249 => {
                let name = grammar::text(from)?;
                scene.broker.cancel_consumers(name, scene.now);
            }
            _ => {
                let name = grammar::text(from)?;
                scene.declare_for_all(name);
            }
        }
        scene.look();
    }
    Ok(())
}

/// What a client says next: mostly what it may, with arguments of chance.
fn say(from: &mut Unstructured<'_>, greeted: bool, out: &mut Vec<u8>) -> Drawn<()> {
    if !greeted {
        match from.arbitrary::<u8>()? {
            0..=247 => scene::greet(out),
            _ => out.extend_from_slice(grammar::bytes(from)?),
        }
        return Ok(());
    }
    let channel = 1 + u16::from(from.arbitrary::<u8>()? % 3);
    let id = match from.arbitrary::<u8>()? {
        0..=29 => channel::Open::ID,
        30..=59 => queue::Declare::ID,
        60..=74 => exchange::Declare::ID,
        75..=89 => queue::Bind::ID,
        90..=95 => exchange::Bind::ID,
        96..=125 => basic::Publish::ID,
        126..=140 => basic::Consume::ID,
        141..=155 => basic::Get::ID,
        156..=170 => basic::Ack::ID,
        171..=178 => basic::Nack::ID,
        179..=184 => confirm::Select::ID,
        185..=188 => tx::Select::ID,
        189..=192 => tx::Commit::ID,
        193..=200 => grammar::one_of(from, METHODS)?.id,
        201..=202 => return whole(from, 0, connection::Close::ID, out),
        _ => return grammar::any_frame(from, channel.min(2), out),
    };
    whole(from, channel, id, out)
}

/// A method with its content.
fn whole(
    from: &mut Unstructured<'_>,
    channel: u16,
    id: hopmq::wire::MethodId,
    out: &mut Vec<u8>,
) -> Drawn<()> {
    let spec = grammar::row(id);
    let payload = grammar::method(from, spec, Wish { tidy: true, ..Wish::default() })?;
    grammar::frame(FrameKind::Method, channel, &payload, out);
    if spec.content {
        grammar::content(from, channel, out)?;
    }
    Ok(())
}
