//! AMQP from octets of chance: frames that get past the first check.

use arbitrary::Unstructured;
use hopmq::wire::{
    FRAME_END, FrameKind, METHODS, MethodId, frame,
    method::{FieldKind, FieldSpec, MethodSpec},
};

/// Names that meet each other: of exchanges, queues, consumers, keys.
const NAMES: &[&str] = &[
    "",
    "q",
    "r",
    "x",
    "y",
    "hopmq-1",
    "hopmq-2",
    "c",
    "a.b",
    "a.*",
    "#",
    "amq.direct",
    "amq.topic",
    "amq.fanout",
    "amq.headers",
    "amq.rabbitmq.reply-to",
    "direct",
    "fanout",
    "topic",
    "headers",
    "PLAIN",
    "en_US",
    "/",
    "guest",
    "5",
];

/// Names that mean something in a table.
const KEYS: &[&str] = &[
    "",
    "a",
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-queue-type",
    "x-single-active-consumer",
    "x-delivery-limit",
    "x-priority",
    "x-stream-offset",
    "x-max-age",
    "x-match",
    "alternate-exchange",
    "CC",
    "BCC",
    "x-death",
    "x-hopmq-sequence",
    "capabilities",
    "consumer_cancel_notify",
];

/// Texts that mean something in a table.
const TEXTS: &[&str] = &[
    "",
    "x",
    "y",
    "q",
    "r",
    "a.b",
    "classic",
    "quorum",
    "stream",
    "drop-head",
    "reject-publish",
    "reject-publish-dlx",
    "all",
    "any",
    "all-with-x",
    "first",
    "last",
    "next",
    "1D",
];

/// Reply codes that AMQP knows, and one that it does not.
const CODES: &[u16] =
    &[0, 200, 311, 312, 313, 320, 402, 403, 404, 405, 406, 501, 504, 530, 541, 999];

pub type Drawn<T> = arbitrary::Result<T>;

/// A number, small more often than not.
pub fn number(from: &mut Unstructured<'_>) -> Drawn<u64> {
    Ok(match from.arbitrary::<u8>()? {
        small @ 0..=199 => u64::from(small % 8),
        200..=231 => u64::from(from.arbitrary::<u8>()?),
        232..=247 => u64::from(from.arbitrary::<u32>()?),
        248..=251 => from.arbitrary()?,
        edge => u64::MAX >> (8 * (edge - 252)),
    })
}

/// One of several.
pub fn one_of<'t, T>(from: &mut Unstructured<'_>, of: &'t [T]) -> Drawn<&'t T> {
    Ok(&of[usize::from(from.arbitrary::<u8>()?) % of.len()])
}

/// A name: mostly one that was seen before.
pub fn name<'a>(from: &mut Unstructured<'a>) -> Drawn<&'a [u8]> {
    match from.arbitrary::<u8>()? {
        byte if byte < 240 => Ok(NAMES[usize::from(byte) % NAMES.len()].as_bytes()),
        byte => {
            let len = (usize::from(byte) - 240) * 17;
            from.bytes(len.min(from.len()))
        }
    }
}

/// A name that is text.
pub fn text<'a>(from: &mut Unstructured<'a>) -> Drawn<&'a str> {
    Ok(std::str::from_utf8(name(from)?).unwrap_or("q"))
}

/// Some bytes, few more often than not.
pub fn bytes<'a>(from: &mut Unstructured<'a>) -> Drawn<&'a [u8]> {
    let len = match from.arbitrary::<u8>()? {
        few @ 0..=199 => usize::from(few % 16),
        more => usize::from(more) * 4,
    };
    from.bytes(len.min(from.len()))
}

/// The content of a field table.
pub fn table(from: &mut Unstructured<'_>, depth: u8, out: &mut Vec<u8>) -> Drawn<()> {
    if from.ratio(1, 16)? {
        out.extend_from_slice(bytes(from)?);
        return Ok(());
    }
    for _ in 0..from.arbitrary::<u8>()? % 4 {
        short(one_of(from, KEYS)?.as_bytes(), out);
        value(from, depth, out)?;
    }
    Ok(())
}

fn value(from: &mut Unstructured<'_>, depth: u8, out: &mut Vec<u8>) -> Drawn<()> {
    let tag = *one_of(from, b"SIlItbBsuifdDVTxAFS")?;
    out.push(tag);
    match tag {
        b'S' => long(one_of(from, TEXTS)?.as_bytes(), out),
        b'x' => long(bytes(from)?, out),
        b't' | b'b' | b'B' => out.push(from.arbitrary()?),
        b's' | b'u' => out.extend((number(from)? as u16).to_be_bytes()),
        b'I' | b'i' | b'f' => out.extend((number(from)? as u32).to_be_bytes()),
        b'D' => {
            out.push(from.arbitrary()?);
            out.extend((number(from)? as u32).to_be_bytes());
        }
        b'l' | b'd' | b'T' => out.extend(number(from)?.to_be_bytes()),
        b'A' | b'F' => {
            let mut content = Vec::new();
            if tag == b'F' && depth > 0 {
                table(from, depth - 1, &mut content)?;
            }
            if tag == b'A' && depth > 0 {
                for _ in 0..from.arbitrary::<u8>()? % 4 {
                    value(from, depth - 1, &mut content)?;
                }
            }
            long(&content, out);
        }
        _ => {}
    }
    Ok(())
}

/// An encoded property list, flags in front. Always well-formed.
pub fn properties(from: &mut Unstructured<'_>) -> Drawn<Vec<u8>> {
    let flags = from.arbitrary::<u16>()? & from.arbitrary::<u16>()? & !3;
    let mut out = flags.to_be_bytes().to_vec();
    for bit in (2..16).rev().filter(|bit| flags & 1 << bit != 0) {
        match bit {
            13 => {
                let mut content = Vec::new();
                table(from, 2, &mut content)?;
                long(&content, &mut out);
            }
            12 | 11 => out.push(number(from)? as u8),
            6 => out.extend(number(from)?.to_be_bytes()),
            _ => short(name(from)?, &mut out),
        }
    }
    Ok(out)
}

/// What a method's arguments are to be, where they are not left to chance.
#[derive(Clone, Copy, Default)]
pub struct Wish<'a> {
    /// The value of the first short string.
    pub name: Option<&'a [u8]>,
    /// Reserved fields are zero.
    pub tidy: bool,
}

/// The payload of a method frame: class, number, arguments of the right types.
pub fn method(from: &mut Unstructured<'_>, spec: &MethodSpec, wish: Wish<'_>) -> Drawn<Vec<u8>> {
    let mut out = Vec::new();
    out.extend(spec.id.class.to_be_bytes());
    out.extend(spec.id.method.to_be_bytes());
    let mut wished = wish.name;
    let (mut bits, mut used) = (0_u8, 0);
    for FieldSpec { name: known, kind } in spec.fields {
        let reserved = known.is_none() && wish.tidy;
        if *kind == FieldKind::Bit {
            bits |= u8::from(!reserved && from.arbitrary()?) << used;
            used += 1;
            continue;
        }
        if used > 0 {
            out.push(std::mem::take(&mut bits));
            used = 0;
        }
        match kind {
            FieldKind::ShortStr if reserved => out.push(0),
            FieldKind::ShortStr => match wished.take().filter(|_| known.is_some()) {
                Some(wished) => short(wished, &mut out),
                None => short(name(from)?, &mut out),
            },
            FieldKind::LongStr if reserved => out.extend([0; 4]),
            FieldKind::LongStr => long(bytes(from)?, &mut out),
            FieldKind::Table => {
                let mut content = Vec::new();
                table(from, 3, &mut content)?;
                long(&content, &mut out);
            }
            FieldKind::Short if reserved => out.extend([0; 2]),
            FieldKind::Short if *known == Some("reply_code") => {
                out.extend(one_of(from, CODES)?.to_be_bytes());
            }
            FieldKind::Octet => out.push(number(from)? as u8),
            FieldKind::Short => out.extend((number(from)? as u16).to_be_bytes()),
            FieldKind::Long => out.extend((number(from)? as u32).to_be_bytes()),
            FieldKind::LongLong => out.extend(number(from)?.to_be_bytes()),
            other => unreachable!("{other:?} is no kind that the table has"),
        }
    }
    if used > 0 {
        out.push(bits);
    }
    Ok(out)
}

/// The row of a method.
pub fn row(id: MethodId) -> &'static MethodSpec {
    METHODS.iter().find(|spec| spec.id == id).expect("the method is in the table")
}

/// Appends a frame.
pub fn frame(kind: FrameKind, channel: u16, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(frame::header(kind, channel, payload.len() as u32));
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

/// Appends a content header and a body, which is mostly as long as the header says.
pub fn content(from: &mut Unstructured<'_>, channel: u16, out: &mut Vec<u8>) -> Drawn<()> {
    let body = bytes(from)?;
    let mut header = vec![0, 60, 0, 0];
    let lie = from.arbitrary::<u8>()?;
    let size = match lie {
        255 => number(from)?,
        _ => body.len() as u64,
    };
    header.extend(size.to_be_bytes());
    header.extend(properties(from)?);
    frame(FrameKind::Header, channel, &header, out);
    let pieces = 1 + usize::from(lie % 3);
    for piece in body.chunks(body.len().div_ceil(pieces).max(1)) {
        frame(FrameKind::Body, channel, piece, out);
    }
    Ok(())
}

/// Appends a frame that may be anything.
pub fn any_frame(from: &mut Unstructured<'_>, channel: u16, out: &mut Vec<u8>) -> Drawn<()> {
    match from.arbitrary::<u8>()? {
        0..=199 => {
            let spec = one_of(from, METHODS)?;
            let payload = method(from, spec, Wish::default())?;
            frame(FrameKind::Method, channel, &payload, out);
            if spec.content && from.ratio(7, 8)? {
                content(from, channel, out)?;
            }
        }
        200..=219 => content(from, channel, out)?,
        220..=229 => frame(FrameKind::Heartbeat, 0, &[], out),
        230..=239 => frame(FrameKind::Body, channel, bytes(from)?, out),
        240..=247 => {
            let kind =
                *one_of(from, &[FrameKind::Method, FrameKind::Header, FrameKind::Heartbeat])?;
            frame(kind, channel, bytes(from)?, out);
        }
        _ => out.extend_from_slice(bytes(from)?),
    }
    Ok(())
}

fn short(text: &[u8], out: &mut Vec<u8>) {
    let text = &text[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn long(text: &[u8], out: &mut Vec<u8>) {
    out.extend((text.len() as u32).to_be_bytes());
    out.extend_from_slice(text);
}
