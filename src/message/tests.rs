use std::time::{Duration, UNIX_EPOCH};

use super::*;

fn decoded(message: &Message, with_sequence: bool) -> Properties {
    let encoded = message.encoded(with_sequence).unwrap();
    Properties::decode(Bytes::copy_from_slice(encoded.parts().0)).unwrap()
}

/// A message with every property that can be set.
fn full() -> Message {
    Message::text("hello")
        .content_type("text/plain")
        .content_encoding("identity")
        .priority(9)
        .correlation_id("c")
        .reply_to(ReplyName::new("answers").unwrap())
        .expiration(Duration::from_micros(1500))
        .message_id("m")
        .timestamp(UNIX_EPOCH + Duration::from_secs(7))
        .kind("greeting")
        .app_id("app")
        .header("attempt", 1)
}

#[test]
fn every_property_arrives_as_it_was_set() {
    let read = MessageProperties::new(decoded(&full(), false), TableLimits::default());
    assert_eq!(read.content_type(), Some("text/plain"));
    assert_eq!(read.content_encoding(), Some("identity"));
    assert!(read.is_persistent());
    assert_eq!(read.priority(), Some(9));
    assert_eq!(read.correlation_id(), Some("c"));
    assert_eq!(read.reply_to(), Some("answers"));
    assert_eq!(read.expiration(), Some(Duration::from_millis(2)));
    assert_eq!(read.message_id(), Some("m"));
    assert_eq!(read.timestamp(), Some(UNIX_EPOCH + Duration::from_secs(7)));
    assert_eq!(read.kind(), Some("greeting"));
    assert_eq!(read.app_id(), Some("app"));
    assert_eq!(read.user_id(), None);
    assert_eq!(read.header("attempt"), Some(Value::I32(1)));
    assert_eq!(read, full().properties());
}

#[test]
fn a_message_is_persistent_unless_told_otherwise() {
    assert_eq!(Message::new(b"x").encoded(false).unwrap().parts().0, [0x10, 0, 2]);
    assert_eq!(Message::new(b"x").transient().encoded(false).unwrap().parts().0, [0x10, 0, 1]);
    assert!(Message::new(b"x").transient().persistent().properties().is_persistent());
}

/// The eight bytes at `sequence_at`, replaced, are the value of the header.
fn sequence_can_be_filled_in(message: &Message) {
    let encoded = message.encoded(true).unwrap();
    let at = encoded.parts().1.unwrap();
    let mut list = encoded.parts().0.to_vec();
    list[at..at + 8].copy_from_slice(&77u64.to_be_bytes());
    let properties = Properties::decode(list.into()).unwrap();
    let headers = properties.headers.as_ref().unwrap();
    assert_eq!(headers.get(SEQUENCE_HEADER), Ok(Some(Value::I64(77))));
    // Nobody sees it.
    assert_eq!(MessageProperties::new(properties, TableLimits::default()), message.properties());
}

#[test]
fn a_mandatory_message_carries_a_sequence_header_that_nobody_sees() {
    sequence_can_be_filled_in(&Message::new(b"x"));
    sequence_can_be_filled_in(&Message::new(b"x").transient());
    sequence_can_be_filled_in(&Message::new(b"x").content_type("t"));
    sequence_can_be_filled_in(&full());
    assert_eq!(full().encoded(false).unwrap().parts().1, None);
}

#[test]
fn a_frequent_message_has_a_constant_list() {
    for message in [Message::new(b"x"), Message::new(b"x").transient()] {
        for with_sequence in [false, true] {
            let list =
                |message: &Message| message.encoded(with_sequence).unwrap().parts().0.as_ptr();
            assert_eq!(list(&message), list(&message.clone()), "{message:?}: put together");
        }
    }
}

#[test]
fn what_amqp_cannot_carry_is_told_when_publishing() {
    let why = |message: Message| message.encoded(true).unwrap_err().to_string();
    let long = "x".repeat(256);
    let too_long = "the message-id has 256 bytes: AMQP carries at most 255";
    assert_eq!(why(Message::new(b"").message_id(&long).kind(&long)), too_long);
    assert!(why(Message::new(b"").header(&long, 1)).starts_with("the header name"));
    assert!(why(Message::new(b"").expiration(Duration::MAX)).starts_with("expiration"));
    let before = UNIX_EPOCH - Duration::from_secs(1);
    assert!(why(Message::new(b"").timestamp(before)).starts_with("timestamp"));
    assert!(why(Message::new(b"").header(SEQUENCE_HEADER, 1)).contains(SEQUENCE_HEADER));
    assert!(why(Message::new(b"").delay(Duration::from_secs(90 * 24 * 3600))).contains("24 days"));
}

#[test]
fn a_header_has_one_value() {
    let message = Message::new(b"").header("a", 1).header("b", 2).header("a", "new");
    let headers = message.properties().headers().unwrap();
    assert_eq!(headers.len(), 2);
    assert_eq!(headers.get("a"), Some(&"new".into()));
    let table = FieldTable::new().with("b", 3).unwrap();
    assert_eq!(message.headers(table).properties().header("b"), Some(Value::I32(3)));
}

/// A message as it comes in, with these properties.
fn received(properties: &Properties, body: &'static [u8]) -> Content {
    let mut header = bytes::BytesMut::from(&[0; 12][..]);
    properties.encode(&mut header);
    Content::apart(header.freeze(), 0, vec![Bytes::from_static(body)], None)
}

#[test]
fn a_received_message_can_be_published_again() {
    let table = FieldTable::new().with("a", 1).unwrap().with(SEQUENCE_HEADER, 5i64).unwrap();
    let mut properties = decoded(&full(), false);
    properties.user_id = Some(ShortString::new("guest").unwrap());
    properties.headers = Some(Headers::from(&table));
    let again = Message::from_content(received(&properties, b"hello"));
    assert_eq!(again.body(), full().body());
    let read = again.properties();
    assert_eq!(read.user_id(), None);
    assert_eq!(read.message_id(), Some("m"));
    assert_eq!(read.headers(), Ok(FieldTable::new().with("a", 1).unwrap()));
    let retried = again.header("a", 2).header("b", 3);
    let expected = FieldTable::new().with("a", 2).unwrap().with("b", 3).unwrap();
    assert_eq!(retried.properties().headers(), Ok(expected));
    sequence_can_be_filled_in(&retried);
}

#[test]
fn a_received_message_without_a_delivery_mode_stays_without() {
    let again = Message::from_content(received(&Properties::default(), b""));
    assert_eq!(again.encoded(false).unwrap().parts().0, [0, 0]);
}

#[test]
fn headers_that_cannot_be_decoded_are_passed_on() {
    let unknown = Headers::from_bytes(Bytes::from_static(b"\x01a?"));
    let properties = Properties { headers: Some(unknown.clone()), ..Default::default() };
    let again = Message::from_content(received(&properties, b""));
    assert!(again.properties().headers().is_err());
    assert_eq!(decoded(&again, false).headers, Some(unknown));
}

#[test]
fn a_message_is_made_of_bytes_of_any_kind() {
    let expected = Message::text("ab");
    assert_eq!(Message::new(b"ab"), expected);
    assert_eq!(Message::new(*b"ab"), expected);
    assert_eq!(Message::new(b"ab".to_vec()), expected);
    assert_eq!(Message::new(&b"ab"[..]), expected);
    assert_eq!(Message::new(Bytes::from_static(b"ab")), expected);
    let segments = Body::from_segments(vec!["a".into(), "b".into()]);
    assert_eq!(Message::new(segments), expected);
}

#[test]
fn a_received_message_says_how_it_came() {
    use crate::{
        proto::Marks,
        wire::{ShortStr, method::basic},
    };
    let deliver = basic::Deliver {
        consumer_tag: ShortStr::new("t").unwrap(),
        delivery_tag: 1,
        redelivered: true,
        exchange: ShortStr::new("orders").unwrap(),
        routing_key: ShortStr::from_bytes(b"order.\xff").unwrap(),
    };
    let mut method = bytes::BytesMut::new();
    crate::wire::Method::from(deliver).encode(&mut method);
    let headers = FieldTable::new().with("x-delivery-count", 2).unwrap();
    let table = headers.with("x-stream-offset", 9i64).unwrap();
    let properties = Properties { headers: Some(Headers::from(&table)), ..Default::default() };
    let mut header = bytes::BytesMut::from(&[0; 12][..]);
    properties.encode(&mut header);
    let head = Bytes::from([&method[..], &header].concat());
    let content = Content::apart(head, method.len(), vec!["body".into()], None);
    let received = Received::from_content(content, Marks::Redelivered, TableLimits::default());
    assert_eq!(received.exchange(), "orders");
    assert_eq!(received.routing_key(), "order.\u{fffd}");
    assert!(received.is_redelivered());
    assert_eq!(received.delivery_count(), Some(2));
    assert_eq!(received.stream_offset(), Some(9));
    assert_eq!(received.contiguous_body(), Some(&b"body"[..]));
    assert!(!format!("{received:?}").contains("body\""), "a body is not for logs");
    assert_eq!(received.into_body().into_bytes(), "body");
}
