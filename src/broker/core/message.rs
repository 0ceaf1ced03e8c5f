//! A message as it rests in queues: encoded properties and the body, both shared.

use bytes::{Bytes, BytesMut};

use super::{name::Name, refusal::Refusal};
use crate::wire::{FieldTable, Properties, Value};

/// Content as it came from a publisher: properties still encoded, the body in the pieces in
/// which it arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    /// Property flags and list, as in the content header frame.
    pub(crate) properties: Bytes,
    /// The body.
    pub(crate) body: Body,
}

/// A body in one or several pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Body {
    first: Bytes,
    rest: Vec<Bytes>,
    size: usize,
}

impl Body {
    /// Appends a piece.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.size += piece.len();
        if self.first.is_empty() {
            self.first = piece;
        } else if !piece.is_empty() {
            self.rest.push(piece);
        }
    }

    /// All octets of it.
    pub(crate) fn len(&self) -> usize {
        self.size
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body { size: bytes.len(), first: bytes, rest: Vec::new() }
    }
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    /// The exchange it was published to.
    pub(crate) exchange: Name,
    /// The routing key it was published with.
    pub(crate) routing_key: Name,
    /// Property flags and list.
    pub(crate) properties: Bytes,
    /// The body.
    pub(crate) body: Body,
    /// What routing and queues need to know of the properties.
    pub(crate) facts: Facts,
    /// Where it has been dead-lettered from, the most recent first.
    pub(crate) deaths: Vec<Death>,
}

/// What routing and queues need to know of the properties.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// The priority property.
    pub(crate) priority: u8,
    /// Whether delivery_mode is 2.
    pub(crate) persistent: bool,
    /// The expiration property, in milliseconds.
    pub(crate) expiration: Option<u64>,
    /// Whether there are headers.
    pub(crate) headers: bool,
    /// Whether a consumer had it before it was dead-lettered.
    pub(crate) redelivered: bool,
    /// Further routing keys, from the headers CC and BCC.
    pub(crate) copies: Vec<Name>,
    /// How many of the copies come from CC, which stays visible in x-death.
    pub(crate) open_copies: usize,
}

/// One queue that a message was dead-lettered from, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Death {
    /// How many times.
    pub(crate) count: u64,
    /// `rejected`, `expired`, `maxlen` or `delivery_limit`.
    pub(crate) reason: &'static str,
    /// The queue.
    pub(crate) queue: Name,
    /// When it died there first, in seconds since 1970.
    pub(crate) time: u64,
    /// The exchange it had been published to.
    pub(crate) exchange: Name,
    /// The keys it had been published with.
    pub(crate) routing_keys: Vec<Name>,
    /// The expiration it had, which dead-lettering takes off.
    pub(crate) original_expiration: Option<u64>,
}

impl Message {
    /// Body octets, by which queues limit their length.
    pub(crate) fn size(&self) -> usize {
        self.body.len()
    }

    /// Octets that it costs to keep it.
    pub(crate) fn cost(&self) -> usize {
        self.body.len() + self.properties.len() + COST
    }

    /// All routing keys: its own, then CC and BCC.
    pub(crate) fn routing_keys(&self) -> impl Iterator<Item = &Name> {
        std::iter::once(&self.routing_key).chain(&self.facts.copies)
    }

    /// The headers; empty where there are none or where they cannot be decoded.
    pub(crate) fn headers(&self) -> FieldTable {
        if !self.facts.headers {
            return FieldTable::new();
        }
        headers_of(&decode(&self.properties).unwrap_or_default())
    }

    /// The properties with these headers put over the ones they carry.
    pub(crate) fn properties_with(
        &self,
        added: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Bytes {
        let mut properties = decode(&self.properties).unwrap_or_default();
        add_headers(&mut properties, added);
        encode(&properties)
    }

    /// The properties as a stream gives them back: with the offset, and with a delivery mode in
    /// any case.
    pub(crate) fn stream_properties(&self, offset: Value) -> Bytes {
        let mut properties = decode(&self.properties).unwrap_or_default();
        properties.delivery_mode.get_or_insert(1);
        add_headers(&mut properties, [("x-stream-offset", offset)]);
        encode(&properties)
    }
}

/// Reads from the encoded properties what routing needs, and checks them on the way.
/// Where nothing of interest is set this costs one walk and no allocation.
pub(crate) fn facts(raw: &Bytes) -> Result<(Facts, Option<Properties>), Refusal> {
    let flags = match raw.as_ref() {
        [high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    };
    if flags & INTERESTING == 0 {
        return match Properties::validate(raw) {
            Ok(()) => Ok((Facts::default(), None)),
            Err(_) => Err(undecodable()),
        };
    }
    let properties = decode(raw)?;
    let mut facts = Facts {
        priority: properties.priority.unwrap_or(0),
        persistent: properties.delivery_mode == Some(2),
        headers: properties.headers.is_some(),
        ..Facts::default()
    };
    if let Some(expiration) = &properties.expiration {
        facts.expiration = Some(parse_expiration(expiration.as_str())?);
    }
    Ok((facts, Some(properties)))
}

/// Takes CC and BCC from the headers. BCC is removed from what consumers see.
pub(crate) fn copies(properties: &mut Properties, facts: &mut Facts) -> Result<bool, Refusal> {
    let Some(headers) = &properties.headers else {
        return Ok(false);
    };
    let cc = headers.get("CC").ok().flatten();
    let bcc = headers.get("BCC").ok().flatten();
    for (name, value) in [("CC", &cc), ("BCC", &bcc)] {
        match value {
            None => {}
            Some(Value::Array(keys)) => {
                facts.copies.extend(keys.iter().filter_map(|key| match key {
                    Value::LongString(key) if key.len() <= 255 => Some(Name::copy(key)),
                    _ => None,
                }));
            }
            Some(other) => {
                return Err(Refusal::precondition(format_args!(
                    "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
                    super::arguments::type_name(other)
                )));
            }
        }
        if name == "CC" {
            facts.open_copies = facts.copies.len();
        }
    }
    if bcc.is_none() {
        return Ok(false);
    }
    let mut kept = FieldTable::new();
    for (name, value) in headers_of(properties).iter() {
        if name.as_str() != "BCC" {
            put(&mut kept, name.as_str(), value.clone());
        }
    }
    properties.headers = Some(kept.into());
    Ok(true)
}

/// Decodes properties, or refuses the content for them.
pub(crate) fn decode(raw: &Bytes) -> Result<Properties, Refusal> {
    Properties::decode(raw.clone()).map_err(|_| undecodable())
}

/// Encodes properties as they stand in a content header.
pub(crate) fn encode(properties: &Properties) -> Bytes {
    let mut buffer = BytesMut::with_capacity(128);
    properties.encode(&mut buffer);
    buffer.freeze()
}

/// The headers as a table; empty where there are none or where they cannot be decoded.
pub(crate) fn headers_of(properties: &Properties) -> FieldTable {
    match &properties.headers {
        Some(headers) => headers.decode().unwrap_or_default(),
        None => FieldTable::new(),
    }
}

/// Puts fields over the headers. Headers that cannot be decoded, since they are nested too deep,
/// are somebody's all the same: they stay as they are.
pub(crate) fn add_headers(
    properties: &mut Properties,
    added: impl IntoIterator<Item = (&'static str, Value)>,
) {
    let mut headers = match &properties.headers {
        None => FieldTable::new(),
        Some(raw) => match raw.decode() {
            Ok(headers) => headers,
            Err(_) => return,
        },
    };
    for (name, value) in added {
        put(&mut headers, name, value);
    }
    properties.headers = Some(headers.into());
}

/// Sets a field whose name is known to be short enough.
pub(crate) fn put(table: &mut FieldTable, name: &str, value: Value) {
    // Only a name over 255 octets is refused; ours are literals or come from a decoded table.
    let _ = table.insert(name, value);
}

fn undecodable() -> Refusal {
    Refusal::new(crate::wire::ReplyCode::FRAME_ERROR, "cannot decode content properties")
}

/// RabbitMQ's reading of the expiration property: decimal digits alone, at most ten years.
fn parse_expiration(text: &str) -> Result<u64, Refusal> {
    let refused =
        |why: String| Refusal::precondition(format_args!("invalid expiration '{text}': {why}"));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Err(refused("no_integer".to_owned()));
    }
    let leftover = unsigned.get(digits..).unwrap_or_default();
    if !leftover.is_empty() {
        return Err(refused(format!("{{leftover_string,\"{leftover}\"}}")));
    }
    let number = unsigned.get(..digits).unwrap_or_default();
    let value = number.parse::<u64>().unwrap_or(u64::MAX);
    if text.starts_with('-') && value > 0 {
        return Err(refused(format!("{{value_negative,-{number}}}")));
    }
    if value > MAX_EXPIRY {
        return Err(refused(format!("{{value_too_large,{number}}}")));
    }
    Ok(value)
}

/// Ten years in milliseconds, RabbitMQ's limit on every time to live.
pub(crate) const MAX_EXPIRY: u64 = 315_360_000_000;

/// headers, delivery_mode, priority, reply_to, expiration and user_id: the flags for which the
/// properties have to be decoded (AMQP 0-9-1 section 4.2.6.1).
const INTERESTING: u16 = 1 << 13 | 1 << 12 | 1 << 11 | 1 << 9 | 1 << 8 | 1 << 4;

/// Roughly what the structures around a message take.
const COST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_read_as_rabbitmq_reads_them() {
        assert_eq!(parse_expiration("60000"), Ok(60_000));
        for (text, why) in [
            ("", "no_integer"),
            ("abc", "no_integer"),
            ("10s", "{leftover_string,\"s\"}"),
            ("-1", "{value_negative,-1}"),
            ("315360000001", "{value_too_large,315360000001}"),
        ] {
            let refusal = parse_expiration(text).unwrap_err();
            assert_eq!(refusal.detail, format!("invalid expiration '{text}': {why}"));
        }
    }

    #[test]
    fn a_body_keeps_its_pieces() {
        let mut body = Body::default();
        for piece in ["", "ab", "", "cde"] {
            body.push(Bytes::from(piece));
        }
        assert_eq!(body.len(), 5);
        assert_eq!(body.pieces().map(|p| p.to_vec()).collect::<Vec<_>>().concat(), b"abcde");
    }
}
