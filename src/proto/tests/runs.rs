//! Deliveries that are taken many at once come to the same as those taken frame by frame.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One delivery, and what is odd about it.
#[derive(Clone, Debug)]
struct Sent {
    consumer: u32,
    channel: u16,
    redelivered: bool,
    key: &'static str,
    properties: &'static [u8],
    body: usize,
    /// Added to the tag that is next.
    tag_off: u64,
    /// A heartbeat before it.
    heartbeat: bool,
}

/// Nearly all are usual.
fn rarely<T: Clone + std::fmt::Debug>(usual: T, odd: T) -> impl Strategy<Value = T> {
    prop_oneof![40 => Just(usual), 1 => Just(odd)]
}

fn sent() -> impl Strategy<Value = Sent> {
    let properties = prop_oneof![
        20 => Just(&[0x10, 0, 2][..]),
        5 => Just(&[0, 0][..]),
        5 => Just(&b"\x80\x00\x01a"[..]),
        1 => Just(&[0, 1][..]),
        1 => Just(&[0x80, 0, 9][..]),
    ];
    let body = prop_oneof![20 => 1..60_usize, 2 => Just(0), 2 => 4080..4100_usize, 1 => Just(9000)];
    let heartbeat = rarely(false, true);
    let consumer = prop_oneof![20 => Just(1), 10 => Just(2), 1 => Just(3)];
    let (channel, tag_off) = (rarely(1, 2), rarely(0, 1));
    (consumer, channel, any::<bool>(), rarely("key", ""), properties, body, tag_off, heartbeat)
        .prop_map(|(consumer, channel, redelivered, key, properties, body, tag_off, heartbeat)| {
            Sent { consumer, channel, redelivered, key, properties, body, tag_off, heartbeat }
        })
}

fn encoded(all: &[Sent]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for (one, tag) in all.iter().zip(1..) {
        if one.heartbeat {
            encode::heartbeat(&mut bytes);
        }
        let consumer = consumer_tag(one.consumer);
        let deliver = method::basic::Deliver {
            consumer_tag: consumer.as_short(),
            delivery_tag: tag + one.tag_off,
            redelivered: one.redelivered,
            exchange: ShortStr::empty(),
            routing_key: ShortStr::new(one.key).unwrap(),
        };
        let body = vec![tag as u8; one.body];
        encode::message(&mut bytes, one.channel, &deliver, one.properties, &body, 4096);
    }
    bytes.to_vec()
}

/// Two consumers on channel 1, the first of which acknowledges.
fn consuming() -> (Scripted, [ConsumerKey; 2]) {
    let limits = Limits { body_bytes: 8_000, ..Limits::default() };
    let mut scripted = Scripted::open_with(Settings { limits, frame_max: 4096, ..settings() });
    let channel = scripted.open_channel();
    let consumers = [1, 2].map(|number| {
        let spec = ConsumeSpec { automatic: number == 2, ..consume() };
        let call = scripted.request(channel, Request::Consume(spec));
        let consumer_tag = consumer_tag(number);
        scripted.receive(1, &method::basic::ConsumeOk { consumer_tag: consumer_tag.as_short() });
        let Poll::Ready(Ok(Reply::Consuming(key))) = scripted.answer(call) else { panic!() };
        key
    });
    (scripted, consumers)
}

/// What a client makes of these bytes, when they come in these pieces.
fn understood(bytes: &[u8], pieces: &[usize]) -> impl PartialEq + std::fmt::Debug + use<> {
    let (mut scripted, consumers) = consuming();
    let (mut rest, mut at) = (BytesMut::new(), 0);
    for piece in pieces.iter().copied().chain([bytes.len()]) {
        let until = (at + piece).min(bytes.len());
        rest.extend_from_slice(&bytes[at..until]);
        at = until;
        let block = rest.split().freeze();
        let used = scripted.connection.handle_input(scripted.now, &block);
        rest.extend_from_slice(&block[used..]);
    }
    let arrived = consumers.map(|key| {
        let mut taken = VecDeque::new();
        let polled = scripted.connection.poll_consumer(key, &mut taken, || waiter(3));
        let arrivals = taken.into_iter().map(|arrival| {
            let Arrival { tag, epoch, marks, content } = arrival;
            let method = format!("{:?}", content.method());
            let (properties, discarded) = (content.raw_properties().to_vec(), content.discarded());
            let body = content.into_body().into_bytes();
            ((tag, epoch, marks), method, properties, discarded, body)
        });
        (arrivals.collect::<Vec<_>>(), polled)
    });
    let traffic = scripted.connection.traffic();
    let counted = (traffic.delivered, traffic.delivered_bytes, traffic.redelivered);
    let stats = scripted.connection.channel_stats(consumers[0].channel);
    (arrived, counted, stats, scripted.ended(), scripted.sent_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_at_once_are_the_same_as_frame_by_frame(
        all in prop::collection::vec(sent(), 1..40),
        bent in prop::option::weighted(0.3, (any::<prop::sample::Index>(), 1_u8..)),
        pieces in prop::collection::vec(1..3000_usize, 0..20),
    ) {
        let mut bytes = encoded(&all);
        if let Some((at, by)) = bent {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        // In single bytes no delivery is ever whole.
        let single = understood(&bytes, &vec![1; bytes.len()]);
        prop_assert_eq!(&understood(&bytes, &[]), &single);
        prop_assert_eq!(&understood(&bytes, &pieces), &single);
    }
}
