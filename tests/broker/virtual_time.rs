//! What a broker does by the clock, to the nanosecond: the broker without sockets, in virtual time.

use std::time::Duration;

use bytes::BytesMut;
use hopmq::{
    broker::{Broker, Builder, ConnectionId, Unplugged},
    fsm::Time,
    wire::{
        Decoder, FieldTable, FrameKind, Method, MethodFrame, PROTOCOL_HEADER, RawTable, Value,
        encode,
        method::{basic, channel, confirm, connection, queue},
    },
};

use crate::raw::{RawFrame, short};

/// A broker, one connection to it, and the time.
struct Virtual {
    broker: Unplugged,
    id: ConnectionId,
    now: Time,
}

impl Virtual {
    /// A client has connected, at the origin of time.
    fn accepted(builder: Builder) -> Self {
        let mut broker = builder.unplugged(1);
        let id = broker.accept(Time::ZERO);
        Virtual { broker, id, now: Time::ZERO }
    }

    /// The virtual host `/` is open, and channel 1.
    fn open(builder: Builder, heartbeat: u16) -> Self {
        let mut wire = Virtual::accepted(builder);
        wire.broker.receive(wire.id, &PROTOCOL_HEADER, wire.now);
        let start_ok = connection::StartOk {
            client_properties: RawTable::EMPTY,
            mechanism: short("PLAIN"),
            response: b"\0guest\0guest",
            locale: short("en_US"),
        };
        wire.send(0, &start_ok);
        wire.send(0, &connection::TuneOk { channel_max: 2047, frame_max: 131_072, heartbeat });
        wire.send(0, &connection::Open { virtual_host: short("/") });
        wire.frames();
        wire.send(1, &channel::Open {});
        wire.says(&[channel::OpenOk {}.into()]);
        wire
    }

    /// The same with a queue `q`, and channel 1 confirms.
    fn confirming() -> Self {
        let mut wire = Virtual::open(Broker::builder(), 0);
        wire.declare(&FieldTable::new());
        wire.send(1, &confirm::Select { no_wait: false });
        wire.says(&[confirm::SelectOk {}.into()]);
        wire
    }

    fn declare(&mut self, arguments: &FieldTable) {
        let arguments = arguments.encode();
        let declare = queue::Declare {
            queue: short("q"),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: true,
            arguments: RawTable::new(&arguments),
        };
        self.send(1, &declare);
        self.says(&[]);
    }

    fn send(&mut self, channel: u16, method: &impl MethodFrame) {
        let mut out = BytesMut::new();
        encode::method(&mut out, channel, method);
        self.broker.receive(self.id, &out, self.now);
    }

    fn publish(&mut self) {
        self.publish_body(b"m");
    }

    /// Publishes a message to the queue.
    fn publish_body(&mut self, body: &[u8]) {
        let (exchange, routing_key) = (short(""), short("q"));
        let publish = basic::Publish { exchange, routing_key, mandatory: false, immediate: false };
        let mut out = BytesMut::new();
        encode::message(&mut out, 1, &publish, &[0, 0], body, 131_072);
        self.broker.receive(self.id, &out, self.now);
    }

    /// Lets time pass; whatever falls due meanwhile is done when it does. What it then says is to
    /// be read before time goes on.
    fn at(&mut self, milliseconds: u64) {
        let end = Time::from_millis(milliseconds);
        while let Some(due) = self.broker.poll_timeout().filter(|due| *due <= end)
            && !self.broker.hangs_up(self.id, self.now)
            && !self.broker.has_output(self.id, self.now)
        {
            assert!(due > self.now, "it has nothing to do at {due}, and says it has");
            self.now = due;
            self.broker.handle_timeout(due);
        }
        self.now = end;
    }

    /// The last moment before this one.
    fn just_before(&mut self, milliseconds: u64) {
        self.at(milliseconds - 1);
        self.now = Time::from_nanos(Time::from_millis(milliseconds).as_nanos() - 1);
        let due = self.broker.poll_timeout();
        assert_eq!(due, Some(Time::from_millis(milliseconds)), "it knows what comes");
    }

    /// What the broker says now.
    fn frames(&mut self) -> Vec<RawFrame> {
        let block = self.broker.transmit(self.id, usize::MAX, self.now);
        let (mut decoder, mut at, mut frames) = (Decoder::new(131_072), 0, Vec::new());
        while let Some(frame) = decoder.next(&block, &mut at).unwrap() {
            assert!(frame.ends, "whole frames are taken");
            let payload = block.slice(frame.payload);
            frames.push(RawFrame { kind: frame.kind, channel: frame.channel, payload });
        }
        frames
    }

    /// It says exactly this now.
    fn says(&mut self, expected: &[Method<'_>]) {
        let frames = self.frames();
        let said: Vec<_> = frames.iter().map(RawFrame::method).collect();
        assert_eq!(said, expected, "at {}", self.now);
    }

    fn depth(&mut self) -> Option<u64> {
        self.broker.queues(self.now).iter().find(|queue| queue.name == "q").map(|queue| queue.ready)
    }
}

fn ack(tag: u64, multiple: bool) -> Method<'static> {
    basic::Ack { delivery_tag: tag, multiple }.into()
}

fn nack(tag: u64) -> Method<'static> {
    basic::Nack { delivery_tag: tag, multiple: true, requeue: true }.into()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn confirms_are_told_exactly_when_their_delay_is_over_and_in_their_order() {
    let mut wire = Virtual::confirming();
    wire.broker.delay_confirms(HOUR);
    for at in [0, 250, 250, 1_000] {
        wire.at(at);
        wire.publish();
        wire.says(&[]);
    }
    assert_eq!(wire.depth(), Some(4), "the messages themselves are not late");
    for (due, told) in [
        (3_600_000, ack(1, false)),
        // Those that are due together are told together.
        (3_600_250, ack(3, true)),
        (3_601_000, ack(4, false)),
    ] {
        wire.just_before(due);
        wire.says(&[]);
        wire.at(due);
        wire.says(&[told]);
    }
    assert_eq!(wire.broker.poll_timeout(), None);
    wire.broker.delay_confirms(Duration::ZERO);
    wire.publish();
    wire.says(&[ack(5, false)]);
}

#[test]
fn a_confirm_with_a_shorter_delay_overtakes_none_and_a_nack_waits_as_long() {
    let mut wire = Virtual::confirming();
    wire.broker.delay_confirms(Duration::from_millis(100));
    wire.publish();
    wire.broker.nack_publishes(1);
    wire.publish();
    wire.broker.delay_confirms(Duration::from_millis(30));
    wire.at(10);
    wire.publish();
    wire.broker.delay_confirms(Duration::ZERO);
    wire.publish();
    wire.just_before(100);
    wire.says(&[]);
    wire.at(100);
    wire.says(&[ack(1, false), nack(2), ack(4, true)]);
}

#[test]
fn what_is_withheld_beyond_its_delay_is_told_when_it_is_released_and_the_rest_when_it_is_due() {
    let mut wire = Virtual::confirming();
    wire.broker.delay_confirms(Duration::from_millis(100));
    wire.broker.withhold_confirms(true, wire.now);
    wire.publish();
    wire.at(150);
    wire.publish();
    wire.at(200);
    wire.says(&[]);
    wire.broker.withhold_confirms(false, wire.now);
    wire.says(&[ack(1, false)]);
    wire.just_before(250);
    wire.says(&[]);
    wire.at(250);
    wire.says(&[ack(2, false)]);
}

#[test]
fn a_channel_that_closes_takes_its_late_confirms_with_it() {
    let mut wire = Virtual::confirming();
    wire.broker.delay_confirms(Duration::from_millis(100));
    wire.publish();
    let (reply_text, class_id, method_id) = (short(""), 0, 0);
    wire.send(1, &channel::Close { reply_code: 200, reply_text, class_id, method_id });
    wire.says(&[channel::CloseOk {}.into()]);
    wire.send(1, &channel::Open {});
    wire.send(1, &confirm::Select { no_wait: true });
    wire.says(&[channel::OpenOk {}.into()]);
    wire.at(50);
    wire.publish();
    wire.just_before(150);
    wire.says(&[]);
    wire.at(150);
    wire.says(&[ack(1, false)]);
}

#[test]
fn a_delivery_is_overdue_exactly_when_its_time_is_over() {
    let builder = Broker::builder().acknowledgement_timeout(HOUR);
    let mut wire = Virtual::open(builder, 0);
    wire.declare(&FieldTable::new());
    wire.publish();
    wire.publish();
    wire.send(1, &basic::Get { queue: short("q"), no_ack: false });
    wire.frames();
    wire.at(1_000);
    wire.send(1, &basic::Get { queue: short("q"), no_ack: false });
    wire.frames();
    // The first one is settled in time: the second one counts.
    wire.just_before(3_600_000);
    wire.send(1, &basic::Ack { delivery_tag: 1, multiple: false });
    wire.just_before(3_601_000);
    wire.says(&[]);
    wire.at(3_601_000);
    let said = wire.frames();
    let [Method::ChannelClose(close)] = said.iter().map(RawFrame::method).collect::<Vec<_>>()[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(close.reply_code, 406);
    assert_eq!(wire.depth(), Some(1), "it is back");
}

#[test]
fn heartbeats_come_after_half_the_interval_and_silence_ends_it_after_two() {
    let mut wire = Virtual::open(Broker::builder(), 10);
    for due in [5_000, 10_000, 15_000] {
        wire.just_before(due);
        wire.says(&[]);
        wire.at(due);
        let said = wire.frames();
        assert!(matches!(&said[..], [only] if only.kind == FrameKind::Heartbeat), "{said:?}");
    }
    wire.just_before(20_000);
    assert!(!wire.broker.hangs_up(wire.id, wire.now));
    wire.at(20_000);
    assert!(wire.broker.hangs_up(wire.id, wire.now));
}

#[test]
fn who_has_not_logged_in_is_hung_up_on_exactly_when_its_time_is_over() {
    let mut wire = Virtual::accepted(Broker::builder());
    wire.just_before(10_000);
    assert!(!wire.broker.hangs_up(wire.id, wire.now));
    wire.at(10_000);
    assert!(wire.broker.hangs_up(wire.id, wire.now));
}

#[test]
fn messages_and_queues_go_exactly_when_their_time_is_over() {
    let mut wire = Virtual::open(Broker::builder(), 0);
    let ttl = FieldTable::new().with("x-message-ttl", 1_000i32).unwrap();
    wire.declare(&ttl.with("x-expires", 5_000i32).unwrap());
    wire.publish();
    wire.at(400);
    wire.publish();
    for (due, left) in [(1_000, Some(1)), (1_400, Some(0)), (5_000, None)] {
        wire.just_before(due);
        assert_eq!(wire.depth(), left.map_or(Some(0), |left| Some(left + 1)));
        wire.at(due);
        assert_eq!(wire.depth(), left);
    }
}

/// A stream whose segments hold two messages of 100 octets, with this retention.
fn stream(name: &'static str, value: impl Into<Value> + std::fmt::Debug) -> Virtual {
    let mut wire = Virtual::open(Broker::builder(), 0);
    let arguments = FieldTable::new().with("x-queue-type", "stream").unwrap();
    let arguments = arguments.with("x-stream-max-segment-size-bytes", 250i32).unwrap();
    wire.declare(&arguments.with(name, value).unwrap());
    wire
}

impl Virtual {
    /// The numbers of the messages that the stream keeps.
    fn kept(&self) -> Vec<u8> {
        self.broker.messages("q").iter().map(|body| body[0]).collect()
    }

    fn append(&mut self, numbers: impl IntoIterator<Item = u8>) {
        numbers.into_iter().for_each(|number| self.publish_body(&[number; 100]));
    }
}

#[test]
fn a_stream_that_is_too_large_loses_its_oldest_segments_when_one_begins() {
    let mut wire = stream("x-max-length-bytes", 500i32);
    wire.append(1..=4);
    assert_eq!(wire.kept(), [1, 2, 3, 4], "it is too large, and no segment begins");
    wire.append([5]);
    assert_eq!(wire.kept(), [3, 4, 5]);
    wire.append([6]);
    assert_eq!(wire.kept(), [3, 4, 5, 6]);
    // One that holds all of the others' room is still kept.
    wire.publish_body(&[7; 10_000]);
    assert_eq!(wire.kept(), [7]);
    wire.append([8]);
    assert_eq!(wire.kept(), [8]);
}

#[test]
fn a_stream_loses_segments_whose_last_message_is_too_old_when_one_begins() {
    let mut wire = stream("x-max-age", "10s");
    wire.append([1]);
    wire.at(5_000);
    wire.append([2, 3, 4]);
    wire.at(15_000);
    assert_eq!(wire.broker.poll_timeout(), None, "time alone forgets nothing");
    wire.append([5]);
    assert_eq!(wire.kept(), [1, 2, 3, 4, 5], "none is older than it may be");
    wire.append([6]);
    wire.at(15_001);
    wire.append([7]);
    assert_eq!(wire.kept(), [5, 6, 7]);
    wire.at(3_600_000);
    wire.append([8]);
    assert_eq!(wire.kept(), [5, 6, 7, 8], "no segment begins");
    wire.append([9]);
    assert_eq!(wire.kept(), [7, 8, 9]);
}
