//! AMQP frames written by hand: what the broker that costs nothing and the `raw` peer send. It shares
//! nothing with the code that is measured.

pub const METHOD: u8 = 1;
pub const HEADER: u8 = 2;
pub const BODY: u8 = 3;

/// What both sides agree on, RabbitMQ's default.
pub const FRAME_MAX: usize = 131_072;

/// Octets around a payload: type, channel, length, end.
pub const OVERHEAD: usize = 8;

/// Appends a frame with what `payload` writes.
pub fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: impl FnOnce(&mut Vec<u8>)) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    let length_at = out.len();
    out.extend([0; 4]);
    payload(out);
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    out.push(0xCE);
}

/// Appends a method frame; `arguments` writes what follows class and method.
pub fn method(
    out: &mut Vec<u8>,
    channel: u16,
    (class, method): (u16, u16),
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    frame(out, METHOD, channel, |out| {
        out.extend(class.to_be_bytes());
        out.extend(method.to_be_bytes());
        arguments(out);
    });
}

/// Appends a short string.
pub fn short(out: &mut Vec<u8>, text: &str) {
    out.push(text.len() as u8);
    out.extend(text.as_bytes());
}

/// Appends a long string, or the content of a table.
pub fn long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

/// Appends content header and body frames; `properties` are flags and list.
pub fn content(out: &mut Vec<u8>, channel: u16, properties: &[u8], body: &[u8]) {
    frame(out, HEADER, channel, |out| {
        out.extend(60_u16.to_be_bytes());
        out.extend(0_u16.to_be_bytes());
        out.extend((body.len() as u64).to_be_bytes());
        out.extend(properties);
    });
    for chunk in body.chunks(FRAME_MAX - OVERHEAD) {
        frame(out, BODY, channel, |out| out.extend(chunk));
    }
}

/// Appends a message to the default exchange, without properties.
pub fn publish(out: &mut Vec<u8>, channel: u16, key: &str, body: &[u8]) {
    publish_with(out, channel, key, &[0, 0], body);
}

/// Appends a message to the default exchange.
pub fn publish_with(out: &mut Vec<u8>, channel: u16, key: &str, properties: &[u8], body: &[u8]) {
    method(out, channel, (60, 40), |out| {
        out.extend([0, 0]);
        short(out, "");
        short(out, key);
        out.push(0);
    });
    content(out, channel, properties, body);
}

/// Appends `basic.ack`.
pub fn ack(out: &mut Vec<u8>, channel: u16, tag: u64, multiple: bool) {
    method(out, channel, (60, 80), |out| {
        out.extend(tag.to_be_bytes());
        out.push(u8::from(multiple));
    });
}

/// The head of a frame at the start of the bytes: type, channel, length of the payload.
pub fn head(bytes: &[u8]) -> Option<(u8, u16, usize)> {
    let head: &[u8; 7] = bytes.first_chunk()?;
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    Some((head[0], u16::from_be_bytes([head[1], head[2]]), length as usize))
}

/// Reads fields of a method's arguments; past the end everything is zero or empty.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(count).unwrap_or((&[], &[]));
        self.0 = rest;
        taken
    }

    pub fn number(&mut self, octets: usize) -> u64 {
        self.bytes(octets).iter().fold(0, |number, octet| (number << 8) | u64::from(*octet))
    }

    pub fn short(&mut self) -> &'a str {
        let length = self.number(1) as usize;
        str::from_utf8(self.bytes(length)).unwrap_or_default()
    }
}
