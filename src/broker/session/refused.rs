//! What is said of frames and methods that cannot be taken, in RabbitMQ's words: it shows what
//! arrived, as Erlang prints it.

use super::{Hard, NO_METHOD};
use crate::{
    broker::event::Budget,
    wire::{Frame, FrameError, FrameKind, MethodError, MethodId, ReplyCode},
};

/// A frame has so many octets besides its payload.
const HEADER: usize = 7;
const OVERHEAD: u64 = 8;

/// More octets than these are not shown.
const SHOWN: usize = 16;

pub(super) fn unexpected(what: impl std::fmt::Display) -> Hard {
    Hard::new(ReplyCode::UNEXPECTED_FRAME, what, NO_METHOD)
}

/// A frame where there is no place for it.
pub(super) fn out_of_place(frame: &Frame, block: &[u8]) -> Hard {
    let payload = block.get(frame.payload.clone()).unwrap_or_default();
    let kind = frame.kind.octet();
    match payload {
        // A body comes in pieces, whose lengths say nothing: its first octet is always there.
        [first, ..] if frame.kind == FrameKind::Body && !(frame.ends && payload.len() == 1) => {
            unexpected(format_args!("type {kind}, first 1 octets = {}", term(&[*first])))
        }
        _ => unexpected(shown(kind, payload)),
    }
}

/// What is no frame; `rest` is what begins with it. Nothing while octets of it are to be shown that
/// have not come: what is said must not depend on how they arrive.
pub(super) fn bad_frame(error: &FrameError, rest: &[u8]) -> Option<Hard> {
    if let FrameError::UnknownKind { .. } | FrameError::BadHeartbeat { .. } = error
        && !shows_all_it_may(rest)
    {
        return None;
    }
    Some(refusal(error, rest))
}

fn refusal(error: &FrameError, rest: &[u8]) -> Hard {
    let kind = rest.first().copied().unwrap_or_default();
    let why = match error {
        FrameError::UnknownKind { .. } => "unknown_frame".to_owned(),
        FrameError::TooLarge { size, frame_max, .. } => {
            let size = size.saturating_sub(OVERHEAD);
            // The decoder tolerates the overhead itself above what was negotiated.
            let most = u64::from(*frame_max).saturating_sub(2 * OVERHEAD);
            let text = format!("{}: {{frame_too_large,{size},{most}}}", shown(kind, &[]));
            let hard = Hard::new(ReplyCode::FRAME_ERROR, text, NO_METHOD);
            return hard.for_budget(Budget::FrameSize);
        }
        // Its payload came before, in pieces.
        FrameError::BadEnd { kind: FrameKind::Body, found, .. } => {
            let text = format!("type 3: {{invalid_frame_end_marker,{found}}}");
            return Hard::new(ReplyCode::FRAME_ERROR, text, NO_METHOD);
        }
        FrameError::BadEnd { found, .. } => format!("{{invalid_frame_end_marker,{found}}}"),
        FrameError::BadHeartbeat { size: 0, .. } => return unexpected(shown(kind, &[])),
        FrameError::BadHeartbeat { .. } => "unknown_frame".to_owned(),
        error => return Hard::new(ReplyCode::FRAME_ERROR, error, NO_METHOD),
    };
    let text = format!("{}: {why}", shown(kind, first_payload(rest)));
    Hard::new(ReplyCode::FRAME_ERROR, text, NO_METHOD)
}

pub(super) fn bad_method(error: &MethodError, payload: &[u8]) -> Hard {
    match (error, id_of(payload), payload.get(4..)) {
        // RabbitMQ dies of it, and hangs up.
        (MethodError::Unknown(id), _, _) => {
            Hard::new(ReplyCode::COMMAND_INVALID, format_args!("unimplemented method {id}"), *id)
        }
        (_, Some(id), Some(arguments)) => {
            let octets = numbers(arguments);
            Hard::new(ReplyCode::FRAME_ERROR, format_args!("cannot decode {octets}"), id)
        }
        (error, ..) => {
            Hard::new(ReplyCode::FRAME_ERROR, format_args!("cannot decode: {error}"), NO_METHOD)
        }
    }
}

fn id_of(payload: &[u8]) -> Option<MethodId> {
    let &[a, b, c, d] = payload.first_chunk()?;
    Some(MethodId { class: u16::from_be_bytes([a, b]), method: u16::from_be_bytes([c, d]) })
}

/// The payload of the frame that begins here, as far as it has come.
fn first_payload(rest: &[u8]) -> &[u8] {
    let Some((header, payload)) = rest.split_first_chunk::<HEADER>() else { return &[] };
    let &[_, _, _, a, b, c, d] = header;
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    payload.get(..size).unwrap_or(payload)
}

/// Whether as much of the payload of the frame that begins here has come as is shown of one.
fn shows_all_it_may(rest: &[u8]) -> bool {
    let Some((&[_, _, _, a, b, c, d], payload)) = rest.split_first_chunk::<HEADER>() else {
        return true;
    };
    let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    payload.len() >= size.min(SHOWN + 1)
}

/// `type 3, all octets = <<"x">>`
fn shown(kind: u8, payload: &[u8]) -> String {
    match payload.get(..SHOWN) {
        Some(first) if payload.len() > SHOWN => {
            format!("type {kind}, first {SHOWN} octets = {}", term(first))
        }
        _ => format!("type {kind}, all octets = {}", term(payload)),
    }
}

/// Octets as Erlang prints a binary: text where it is some.
fn term(octets: &[u8]) -> String {
    let is_text = octets.iter().all(|octet| matches!(octet, b' '..=b'~'));
    match std::str::from_utf8(octets) {
        Ok(text) if is_text && !text.is_empty() => {
            format!("<<\"{}\">>", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => numbers(octets),
    }
}

fn numbers(octets: &[u8]) -> String {
    let numbers: Vec<String> =
        octets.iter().take(SHOWN * 8).map(|octet| octet.to_string()).collect();
    format!("<<{}>>", numbers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of these octets, which the decoder refuses, when they have come so far.
    fn said(octets: &[u8]) -> Vec<Option<String>> {
        let each = (HEADER..=octets.len()).map(|len| {
            let octets = &octets[..len];
            let mut decoder = crate::wire::Decoder::new(4096);
            decoder.next(&crate::wire::encode::HEARTBEAT, &mut 0).unwrap();
            let error = decoder.next(octets, &mut 0).unwrap_err();
            bad_frame(&error, octets).map(|hard| hard.refusal.text().to_owned())
        });
        each.collect()
    }

    #[test]
    fn what_is_said_does_not_depend_on_how_octets_arrive() {
        for payload in [0, 1, 15, 16, 17, 40] {
            let mut frame = vec![9, 0, 1, 0, 0, 0, payload];
            frame.resize(HEADER + usize::from(payload), b'x');
            frame.push(0xCE);
            let said = said(&frame);
            let waits = said.iter().take_while(|said| said.is_none()).count();
            assert_eq!(waits, usize::from(payload).min(SHOWN + 1), "{said:?}");
            assert!(said[waits..].iter().all(|text| *text == said[waits]), "{said:?}");
        }
        let frame =
            |len: usize, ends| Frame { kind: FrameKind::Body, channel: 0, payload: 0..len, ends };
        let text = |len, ends| out_of_place(&frame(len, ends), b"abc").refusal.text().to_owned();
        assert_eq!(text(1, true), "UNEXPECTED_FRAME - type 3, all octets = <<\"a\">>");
        assert_eq!(text(3, true), text(1, false), "a piece, and the whole");
    }

    #[test]
    fn octets_are_shown_as_erlang_shows_them() {
        assert_eq!(shown(3, b"x"), "type 3, all octets = <<\"x\">>");
        assert_eq!(shown(1, &[0, 20, 0, 20]), "type 1, all octets = <<0,20,0,20>>");
        assert_eq!(shown(8, b""), "type 8, all octets = <<>>");
        assert_eq!(shown(3, &[b'a'; 20]), "type 3, first 16 octets = <<\"aaaaaaaaaaaaaaaa\">>");
        assert_eq!(term(b"a\"b"), "<<\"a\\\"b\">>");
    }
}
