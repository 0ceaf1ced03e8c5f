//! What is said of frames and methods that cannot be taken, in RabbitMQ's words: it shows what
//! arrived, as Erlang prints it.

use super::{Hard, NO_METHOD};
use crate::{
    broker::event::Budget,
    wire::{Frame, FrameError, MethodError, MethodId, ReplyCode},
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
    unexpected(shown(frame.kind.octet(), payload))
}

/// What is no frame; `rest` is what begins with it.
pub(super) fn bad_frame(error: &FrameError, rest: &[u8]) -> Hard {
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

    #[test]
    fn octets_are_shown_as_erlang_shows_them() {
        assert_eq!(shown(3, b"x"), "type 3, all octets = <<\"x\">>");
        assert_eq!(shown(1, &[0, 20, 0, 20]), "type 1, all octets = <<0,20,0,20>>");
        assert_eq!(shown(8, b""), "type 8, all octets = <<>>");
        assert_eq!(shown(3, &[b'a'; 20]), "type 3, first 16 octets = <<\"aaaaaaaaaaaaaaaa\">>");
        assert_eq!(term(b"a\"b"), "<<\"a\\\"b\">>");
    }
}
