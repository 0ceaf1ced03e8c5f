//! Client, broker and a link that loses what is on it, explored to exhaustion.
//!
//! The client is `proto::Connection` and the broker its whole core and sessions, as they are; between
//! them are links. Channels publish with confirms, messages that are kept to be published again and
//! messages that are not; the last channel consumes and acks. A link may be cut at any time; what was
//! under way then arrives, each way, as far as to any point, in whole frames or in the middle of one,
//! and what was on its way to the broker may come late, when the next connection is in use already.
//!
//! What must hold in every state is checked there (`world.rs`): nothing panics, one attempt at a time,
//! epochs and tags follow each other, a tag is settled once and never in another epoch, what was confirmed
//! is in the queue or settled, what is kept comes to the broker in the order of publishing. Where nothing
//! can happen any more, everybody who waited has been answered, what is kept is confirmed, everything was
//! delivered and settled, and the connection is in the state that it left. What is wrong is printed with
//! the way there. And what must be possible has to have happened.
//!
//! A state is known again by 128 bits of its hash; what is `Aside` in it, statistics, is not hashed. Of
//! steps whose order nobody can tell, one order is taken:
//!
//! - What the client writes is on its way at once, and the broker reads it at once, unless the link is
//!   cut before: the broker's reading does not depend on what the client does meanwhile.
//! - A method comes with its content: before the last frame of it nobody can tell the difference. Only
//!   what is torn ends in the middle.
//! - The client's task acts at once on what is due, and users on what they are woken for; slow users do
//!   not, where the bounds say so.
//! - After the last cut, a delivery or a confirm is read before users go on: neither is answered, and
//!   they touch what users do nowhere.
//! - The broker loses a link that the client has left at any time after the next one has opened, if it
//!   still can change the queue; else at once.
//!
//! Exhausted: two channels, three messages, two cuts: 6,143,311 states, 16,830,115 transitions, at most 88
//! steps (the long test; about two minutes of processor time). `tests/sim/planted
//! --model NAME...` plants faults in the client and demands that this finds them. Within the small bounds
//! it finds confirms-too-many and confirms-the-unknown (both in 7 steps), settles-the-stale and
//! forgets-a-consumer. It does not find acks-the-unsettled, since users here settle in order, nor
//! keeps-the-gate-shut; the simulation finds those.
//!
//! What one channel makes of every sequence of inputs, also in a transaction and while it polls, is in
//! `channel.rs`.
//!
//! Time stands still here: `tests/sim` has deadlines. Frames are split in `tests/wire_decoder.rs`.
#![cfg(test)]

mod channel;
mod explore;
mod link;
mod print;
mod start;
mod transaction;
mod world;

use explore::explore;
use world::seen::*;

/// How much may happen.
#[derive(Clone, Debug)]
struct Bounds {
    /// What each channel publishes: for each message whether it is kept, to be published again.
    channels: Vec<Vec<bool>>,
    prefetch: u16,
    cuts: u8,
    refusals: u8,
    /// Users ask for outcomes and take deliveries some time after they are woken, and acks wait for
    /// others.
    slow: bool,
}

const KEPT: bool = true;
const SENT_ONCE: bool = false;

/// Explores all of it; `seen` must come to pass.
fn exhaust(bounds: Bounds, seen: u32) {
    match explore(&bounds) {
        Ok(report) => {
            println!("{bounds:?}: {report}");
            assert_eq!(seen & !report.seen, 0, "not seen, as bits, of {:#b}", report.seen);
        }
        Err(wrong) => panic!("{bounds:?}: {wrong}"),
    }
}

/// What a cut can bring about.
const AFTER_A_CUT: u32 = CONFIRMED_AT_THE_END
    | REPLAYED
    | REDELIVERED
    | STALE
    | PUBLISHED_WHILE_DOWN
    | CAME_LATE
    | TWICE_IN_THE_QUEUE;

#[test]
fn without_a_cut_everything_is_confirmed_and_settled() {
    let channels = vec![vec![KEPT, SENT_ONCE], vec![SENT_ONCE]];
    let bounds = Bounds { channels, prefetch: 2, cuts: 0, refusals: 0, slow: true };
    exhaust(bounds, CONFIRMED_AT_THE_END | ACKS_MERGED);
}

#[test]
fn a_message_survives_two_cuts_and_a_refusal() {
    let bounds =
        Bounds { channels: vec![vec![KEPT]], prefetch: 1, cuts: 2, refusals: 1, slow: false };
    exhaust(bounds, AFTER_A_CUT);
}

#[test]
fn three_messages_on_two_channels_survive_a_cut() {
    let channels = vec![vec![KEPT, KEPT], vec![SENT_ONCE]];
    let bounds = Bounds { channels, prefetch: 1, cuts: 1, refusals: 0, slow: false };
    exhaust(bounds, AFTER_A_CUT | UNKNOWN | WAITED_FOR_THE_GATE);
}

#[test]
fn a_cut_finds_slow_users() {
    let channels = vec![vec![SENT_ONCE], vec![KEPT]];
    let bounds = Bounds { channels, prefetch: 2, cuts: 1, refusals: 0, slow: true };
    exhaust(bounds, AFTER_A_CUT | UNKNOWN | WAITED_FOR_THE_GATE | ACKS_MERGED);
}

mod long {
    use super::*;

    #[test]
    #[ignore = "long: run tests/run --long"]
    fn three_messages_on_two_channels_survive_two_cuts() {
        let channels = vec![vec![KEPT, KEPT], vec![SENT_ONCE]];
        let bounds = Bounds { channels, prefetch: 1, cuts: 2, refusals: 0, slow: false };
        exhaust(bounds, AFTER_A_CUT | UNKNOWN | WAITED_FOR_THE_GATE);
    }
}
