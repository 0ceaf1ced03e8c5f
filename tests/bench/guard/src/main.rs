//! Does one thing a number of times: `hopmq-guard CASE COUNT`. Run twice with different counts under a tool
//! that counts instructions, the difference is what one message costs, free of set-up and noise.
//!
//! A message has 16 bytes, a key of five and a delivery mode. Messages come and go in batches of a
//! hundred, as they do on a busy connection.

mod scripted;

use std::{collections::VecDeque, env, hint::black_box, process::ExitCode, task::Poll};

use bytes::{Bytes, BytesMut};
use hopmq::{
    proto::{Accepted, Arrival, Batch, Outcome, Outgoing, Settlement, WaiterId},
    wire::{
        ContentHeader, Decoder, FrameKind, Method, Properties, ShortStr, encode, method::basic,
    },
};

use crate::scripted::{FRAME_MAX, Scripted};

const BATCH: u64 = 100;
const BODY: &[u8] = &[b'x'; 16];
const PROPERTIES: &[u8] = &[0x10, 0, 2];

const CASES: &[(&str, fn(u64))] = &[
    ("encode", encode),
    ("decode", decode),
    ("publish", publish),
    ("publish-confirm", publish_confirm),
    ("publish-keys", publish_keys),
    ("deliver", deliver),
    ("deliver-ack", deliver_ack),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            CASES.iter().for_each(|(name, _)| println!("{name}"));
            ExitCode::SUCCESS
        }
        [name, count] => {
            let case = CASES.iter().find(|(case, _)| case == name);
            match (case, count.parse::<u64>()) {
                (Some((_, case)), Ok(count)) => {
                    case(count);
                    ExitCode::SUCCESS
                }
                _ => ExitCode::FAILURE,
            }
        }
        _ => ExitCode::FAILURE,
    }
}

fn key() -> ShortStr<'static> {
    ShortStr::new("bench").expect("short")
}

/// Publish, content header and body, as a client writes them.
fn encode(count: u64) {
    let mut out = BytesMut::new();
    let publish = basic::Publish { routing_key: key(), ..Default::default() };
    for index in 0..count {
        if index % BATCH == 0 {
            out.clear();
        }
        encode::message(&mut out, 1, black_box(&publish), PROPERTIES, BODY, FRAME_MAX);
    }
    black_box(&out);
}

/// Deliver, content header and body, as a client reads them.
fn decode(count: u64) {
    let block = deliveries(1, "hopmq-1");
    for _ in 0..count / BATCH {
        let (mut decoder, mut at) = (Decoder::new(FRAME_MAX), 0);
        while let Some(frame) = decoder.next(&block, &mut at).expect("well formed") {
            let payload = &block[frame.payload];
            match frame.kind {
                FrameKind::Method => drop(black_box(Method::decode(payload).expect("a method"))),
                FrameKind::Header => {
                    let header = ContentHeader::decode(payload).expect("a header");
                    Properties::validate(header.properties).expect("properties");
                    black_box(header);
                }
                _ => drop(black_box(payload)),
            }
        }
    }
}

fn outgoing<'a>(body: &'a [Bytes]) -> Outgoing<'a> {
    Outgoing {
        exchange: ShortStr::empty(),
        routing_key: key(),
        mandatory: false,
        properties: PROPERTIES,
        sequence_at: None,
        body,
        keep: false,
    }
}

fn publish(count: u64) {
    let mut scripted = Scripted::with_channel();
    let body = [Bytes::from_static(BODY)];
    let mut batch = Batch::default();
    for _ in 0..count / BATCH {
        for _ in 0..BATCH {
            scripted.publish(black_box(&outgoing(&body)));
        }
        scripted.take_batch(&mut batch);
    }
}

/// No message goes where the one before went.
fn publish_keys(count: u64) {
    let mut scripted = Scripted::with_channel();
    let body = [Bytes::from_static(BODY)];
    let mut batch = Batch::default();
    for index in 0..count {
        let routing_key = if index % 2 == 0 { key() } else { ShortStr::empty() };
        scripted.publish(black_box(&Outgoing { routing_key, ..outgoing(&body) }));
        if index % BATCH == BATCH - 1 {
            scripted.take_batch(&mut batch);
        }
    }
}

/// A batch is confirmed by one multiple ack; each publish is asked for its outcome.
fn publish_confirm(count: u64) {
    let mut scripted = Scripted::with_channel();
    scripted.confirm_select();
    let body = [Bytes::from_static(BODY)];
    let mut batch = Batch::default();
    for _ in 0..count / BATCH {
        let mut last = 0;
        for _ in 0..BATCH {
            if let Accepted::Yes { tag } = scripted.publish(black_box(&outgoing(&body))) {
                last = tag;
            }
        }
        scripted.take_batch(&mut batch);
        scripted.receive(1, &basic::Ack { delivery_tag: last, multiple: true });
        for tag in last + 1 - BATCH..=last {
            let outcome = scripted.connection.poll_confirm(scripted.channel, tag, || NOBODY);
            assert!(outcome == Poll::Ready(Outcome::Confirmed));
        }
    }
}

const NOBODY: WaiterId = WaiterId { index: 0, generation: 0 };

/// A hundred deliveries in one block, with tags from `first` on.
fn deliveries(first: u64, consumer: &str) -> Bytes {
    let mut block = BytesMut::new();
    for delivery_tag in first..first + BATCH {
        let deliver = basic::Deliver {
            consumer_tag: ShortStr::new(consumer).expect("short"),
            delivery_tag,
            redelivered: false,
            exchange: ShortStr::empty(),
            routing_key: key(),
        };
        encode::message(&mut block, 1, &deliver, PROPERTIES, BODY, FRAME_MAX);
    }
    block.freeze()
}

fn deliver(count: u64) {
    consume(count, true, |_, arrival| drop(black_box(arrival.content.into_body())));
}

fn deliver_ack(count: u64) {
    let mut batch = Batch::default();
    consume(count, false, |scripted, arrival| {
        let Arrival { tag, epoch, content, .. } = arrival;
        drop(black_box(content.into_body()));
        let settled = scripted.connection.settle(scripted.channel, epoch, tag, Settlement::Ack);
        settled.expect("it is owed");
        if tag.is_multiple_of(BATCH) {
            scripted.take_batch(&mut batch);
        }
    });
}

/// The cost of writing the blocks is that of `encode`, the same in every run; it is in the figure.
fn consume(count: u64, automatic: bool, mut each: impl FnMut(&mut Scripted, Arrival)) {
    let mut scripted = Scripted::with_channel();
    let consumer = scripted.consume(automatic);
    let mut taken = VecDeque::new();
    for index in 0..count / BATCH {
        scripted.receive_bytes(&deliveries(1 + index * BATCH, "hopmq-1"));
        let polled = scripted.connection.poll_consumer(consumer, &mut taken, || NOBODY);
        assert!(polled.is_ready());
        for arrival in taken.drain(..) {
            each(&mut scripted, arrival);
        }
    }
}
