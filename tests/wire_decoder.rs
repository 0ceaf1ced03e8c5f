//! The frame decoder gives the same frames however the bytes arrive.

use bytes::BytesMut;
use hopmq::wire::method::{basic, channel, tx};
use hopmq::wire::{
    Decoder, FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, FrameError, FrameKind, ShortStr, encode,
    frame,
};
use proptest::prelude::*;

/// A frame, its pieces joined.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Whole {
    kind: FrameKind,
    channel: u16,
    payload: Vec<u8>,
}

/// Does what a driver does: presents what came, and again what was left with more behind it.
struct Reading {
    decoder: Decoder,
    block: Vec<u8>,
    open: Option<Whole>,
    frames: Vec<Whole>,
}

impl Reading {
    fn new() -> Self {
        let decoder = Decoder::new(FRAME_MIN_SIZE);
        Self { decoder, block: Vec::new(), open: None, frames: Vec::new() }
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        self.block.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(frame) = self.decoder.next(&self.block, &mut at)? {
            let piece = &self.block[frame.payload];
            assert!(frame.ends || frame.kind == FrameKind::Body, "only bodies come in pieces");
            assert!(frame.ends || !piece.is_empty(), "a piece that does not end is not empty");
            let (kind, channel) = (frame.kind, frame.channel);
            let begun = Whole { kind, channel, payload: Vec::new() };
            let mut open = self.open.take().unwrap_or(begun);
            assert_eq!((open.kind, open.channel), (kind, channel));
            open.payload.extend_from_slice(piece);
            match frame.ends {
                true => self.frames.push(open),
                false => self.open = Some(open),
            }
        }
        self.block.drain(..at);
        assert!(self.block.len() < FRAME_MIN_SIZE as usize, "less than a frame is left");
        Ok(())
    }
}

fn whole() -> impl Strategy<Value = Whole> {
    let kind = prop::sample::select(vec![FrameKind::Method, FrameKind::Header, FrameKind::Body]);
    let len = prop_oneof![4 => 0..40usize, 1 => 4000..=4088usize];
    let full = (kind, any::<u16>(), len, any::<u8>()).prop_map(|(kind, channel, len, fill)| {
        // End octets in the payload must not end anything.
        let payload = (0..len).map(|at| if at % 3 == 0 { FRAME_END } else { fill }).collect();
        Whole { kind, channel, payload }
    });
    let heartbeat = Whole { kind: FrameKind::Heartbeat, channel: 0, payload: Vec::new() };
    prop_oneof![8 => full, 1 => Just(heartbeat)]
}

fn written(frames: &[Whole]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for whole in frames {
        bytes.extend(frame::header(whole.kind, whole.channel, whole.payload.len() as u32));
        bytes.extend(&whole.payload);
        bytes.push(FRAME_END);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn splits_do_not_show(
        frames in prop::collection::vec(whole(), 1..12),
        splits in prop::collection::vec(1..5000usize, 1..20),
    ) {
        let bytes = written(&frames);
        let mut reading = Reading::new();
        let (mut rest, mut lengths) = (&bytes[..], splits.iter().cycle());
        while !rest.is_empty() {
            let (block, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
            reading.read(block).unwrap();
            rest = later;
        }
        prop_assert_eq!(&reading.frames, &frames);
        prop_assert!(reading.open.is_none() && reading.block.is_empty());
    }

    /// Byte by byte is the most that the network can split.
    #[test]
    fn single_bytes_do_not_show(frames in prop::collection::vec(whole(), 1..4)) {
        let mut reading = Reading::new();
        for byte in written(&frames) {
            reading.read(&[byte]).unwrap();
        }
        prop_assert_eq!(&reading.frames, &frames);
    }

    /// What arrived in one piece is given out in one piece.
    #[test]
    fn whole_frames_are_not_split(frames in prop::collection::vec(whole(), 1..12)) {
        let bytes = written(&frames);
        let (mut decoder, mut at) = (Decoder::new(FRAME_MIN_SIZE), 0);
        for whole in &frames {
            let frame = decoder.next(&bytes, &mut at).unwrap().unwrap();
            prop_assert!(frame.ends);
            prop_assert_eq!(&bytes[frame.payload], &whole.payload[..]);
        }
        prop_assert_eq!(at, bytes.len());
    }

    /// Whatever a peer sends: frames, patience, or a typed error that stays, and never a loop.
    #[test]
    fn arbitrary_bytes_are_harmless(bytes in prop::collection::vec(likely_octet(), 0..200)) {
        let (mut decoder, mut at) = (Decoder::new(0), 0);
        for _ in 0..=bytes.len() {
            let before = at;
            match decoder.next(&bytes, &mut at) {
                Ok(Some(frame)) => {
                    prop_assert!(at > before && frame.payload.end <= at && at <= bytes.len());
                }
                Ok(None) => return Ok(()),
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert_eq!(decoder.next(&bytes, &mut at), Err(error));
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "every frame takes bytes");
    }

    /// A wrong octet at the end of any frame is found, split or not.
    #[test]
    fn a_wrong_end_is_found(whole in whole(), found: u8, split in 1..4000usize) {
        prop_assume!(found != FRAME_END);
        let mut bytes = written(std::slice::from_ref(&whole));
        *bytes.last_mut().unwrap() = found;
        let mut reading = Reading::new();
        let (first, rest) = bytes.split_at(split.min(bytes.len() - 1));
        reading.read(first).unwrap();
        let Whole { kind, channel, .. } = whole;
        prop_assert_eq!(reading.read(rest), Err(FrameError::BadEnd { kind, channel, found }));
    }
}

/// Octets of which frames are made, so that arbitrary bytes get past the first header.
fn likely_octet() -> impl Strategy<Value = u8> {
    prop_oneof![prop::sample::select(&[0, 0, 0, 0, 1, 2, 3, 8, FRAME_END][..]), any::<u8>()]
}

/// Scenario 5: refused from seven bytes, before a login and before any of the payload has come.
#[test]
fn a_frame_that_claims_4_gib_is_refused_at_once() {
    for kind in [FrameKind::Method, FrameKind::Header, FrameKind::Body, FrameKind::Heartbeat] {
        let claim = frame::header(kind, 0, u32::MAX);
        assert_eq!(Decoder::new(131_072).next(&claim[..6], &mut 0), Ok(None));
        let error = Decoder::new(131_072).next(&claim, &mut 0).unwrap_err();
        let size = u64::from(u32::MAX) + FRAME_OVERHEAD as u64;
        let expected = FrameError::TooLarge { kind, channel: 0, size, frame_max: 131_072 };
        assert_eq!(error, expected);
    }
}

/// What the encoder writes, the decoder reads, whatever the frame size.
#[test]
fn messages_come_back_in_frames() {
    let publish = basic::Publish { routing_key: ShortStr::new("q").unwrap(), ..Default::default() };
    let body: Vec<u8> = (0..20_000u32).map(|at| at as u8).collect();
    let mut out = BytesMut::new();
    encode::any_method(&mut out, 7, &channel::Open.into());
    encode::message(&mut out, 7, &publish, &[0, 0], &body, FRAME_MIN_SIZE);
    encode::heartbeat(&mut out);
    encode::method(&mut out, 7, &tx::Select);
    let mut reading = Reading::new();
    reading.read(&out).unwrap();
    let kinds: Vec<_> = reading.frames.iter().map(|frame| frame.kind).collect();
    let mut expected = vec![FrameKind::Method, FrameKind::Method, FrameKind::Header];
    expected.extend([FrameKind::Body; 5]);
    expected.extend([FrameKind::Heartbeat, FrameKind::Method]);
    assert_eq!(kinds, expected);
    let bodies = reading.frames.iter().filter(|frame| frame.kind == FrameKind::Body);
    assert_eq!(bodies.flat_map(|frame| frame.payload.clone()).collect::<Vec<_>>(), body);
}
