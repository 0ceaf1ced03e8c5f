//! However bytes are split, the same frames and the same error come out.

use arbitrary::Unstructured;
use hopmq::wire::{Decoder, FRAME_MIN_SIZE, FrameError, FrameKind};

use crate::grammar::{self, Drawn};

/// A frame, its pieces joined.
#[derive(Debug, PartialEq, Eq)]
struct Whole {
    kind: FrameKind,
    channel: u16,
    payload: Vec<u8>,
}

/// What came of the bytes: whole frames, and how it ended.
#[derive(Debug)]
struct Events {
    frames: Vec<Whole>,
    error: Option<FrameError>,
}

impl PartialEq for Events {
    fn eq(&self, other: &Self) -> bool {
        let alike = match (&self.error, &other.error) {
            // A stranger is refused from its first octet; what the error shows is what came with it.
            (Some(FrameError::NotAmqp { .. }), Some(FrameError::NotAmqp { .. })) => true,
            (one, other) => one == other,
        };
        alike && self.frames == other.frames
    }
}

pub fn run(input: &[u8]) {
    let _ = play(&mut Unstructured::new(input));
}

fn play(from: &mut Unstructured<'_>) -> Drawn<()> {
    let splits: [u16; 4] = from.arbitrary()?;
    let mut bytes = Vec::new();
    if from.arbitrary::<u8>()? < 128 {
        while !from.is_empty() {
            let channel = grammar::number(from)? as u16;
            grammar::any_frame(from, channel, &mut bytes)?;
        }
    } else {
        bytes.extend_from_slice(from.bytes(from.len())?);
    }
    let whole = read(&bytes, &[bytes.len().max(1)]);
    assert_eq!(whole, read(&bytes, &[1]), "octet by octet");
    let splits = splits.map(|split| 1 + usize::from(split) % (bytes.len() + 1));
    assert_eq!(whole, read(&bytes, &splits), "split {splits:?}");
    Ok(())
}

/// Does what a driver does: presents what came, and again what was left with more behind it.
fn read(bytes: &[u8], splits: &[usize]) -> Events {
    let mut decoder = Decoder::new(FRAME_MIN_SIZE);
    let mut events = Events { frames: Vec::new(), error: None };
    let mut open: Option<Whole> = None;
    let mut held = Vec::new();
    let (mut rest, mut splits) = (bytes, splits.iter().cycle());
    while !rest.is_empty() {
        let split = splits.next().copied().unwrap_or(1);
        let (block, later) = rest.split_at(split.min(rest.len()));
        rest = later;
        held.extend_from_slice(block);
        let mut at = 0;
        loop {
            let before = at;
            match decoder.next(&held, &mut at) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    assert!(at > before && at <= held.len(), "a frame takes bytes");
                    let piece = &held[frame.payload];
                    assert!(frame.ends || frame.kind == FrameKind::Body, "only bodies in pieces");
                    assert!(frame.ends || !piece.is_empty(), "an empty piece");
                    let (kind, channel) = (frame.kind, frame.channel);
                    let begun = Whole { kind, channel, payload: Vec::new() };
                    let mut whole = open.take().unwrap_or(begun);
                    assert_eq!((whole.kind, whole.channel), (kind, channel));
                    whole.payload.extend_from_slice(piece);
                    match frame.ends {
                        true => events.frames.push(whole),
                        false => open = Some(whole),
                    }
                }
                Err(error) => {
                    assert_eq!(decoder.next(&held, &mut at), Err(error.clone()), "it stays");
                    events.error = Some(error);
                    return events;
                }
            }
        }
        held.drain(..at);
        assert!(held.len() < FRAME_MIN_SIZE as usize, "{} octets are held back", held.len());
    }
    events
}
