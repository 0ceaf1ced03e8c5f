//! What one side hears of the other: it must be AMQP, whatever was said to that side before.

use std::collections::BTreeMap;

use hopmq::wire::{ContentHeader, Decoder, FrameKind, METHODS, Method, MethodId, Properties};

/// Takes frames apart and holds them to the grammar of AMQP 0-9-1, 4.2.6: a content header and
/// as much body as it announces follow each method that carries content.
#[derive(Clone)]
pub struct Ear {
    decoder: Decoder,
    held: Vec<u8>,
    contents: BTreeMap<u16, Content>,
    /// Content headers and bodies, where they are kept to be compared.
    pub kept: Option<Vec<u8>>,
}

/// What is still to come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Header,
    Body(u64),
}

impl Ear {
    pub fn new(frame_max: u32) -> Self {
        Ear {
            decoder: Decoder::new(frame_max),
            held: Vec::new(),
            contents: BTreeMap::new(),
            kept: None,
        }
    }

    pub fn set_frame_max(&mut self, frame_max: u32) {
        self.decoder.set_frame_max(frame_max);
    }

    /// Hears octets, and hands on the methods in them with their channels.
    pub fn hear(&mut self, octets: &[u8], mut method: impl FnMut(&mut Self, u16, &[u8])) {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(octets);
        let mut at = 0;
        while let Some(frame) = self.decoder.next(&held, &mut at).expect("frames") {
            let payload = &held[frame.payload];
            if let (Some(kept), FrameKind::Header | FrameKind::Body) = (&mut self.kept, frame.kind)
            {
                kept.extend_from_slice(payload);
            }
            match frame.kind {
                FrameKind::Heartbeat => {}
                FrameKind::Method => {
                    assert_eq!(self.contents.get(&frame.channel), None, "a method within content");
                    let known = Method::decode(payload).expect("a method");
                    if known.has_content() {
                        self.contents.insert(frame.channel, Content::Header);
                    }
                    method(self, frame.channel, payload);
                }
                FrameKind::Header => {
                    let awaited = self.contents.remove(&frame.channel);
                    assert_eq!(awaited, Some(Content::Header), "a content header");
                    let header = ContentHeader::decode(payload).expect("a content header");
                    Properties::validate(header.properties).expect("properties");
                    if header.body_size > 0 {
                        self.contents.insert(frame.channel, Content::Body(header.body_size));
                    }
                }
                FrameKind::Body => {
                    let awaited = self.contents.remove(&frame.channel);
                    let Some(Content::Body(missing)) = awaited else {
                        panic!("a body on channel {} instead of {awaited:?}", frame.channel)
                    };
                    let rest = missing.checked_sub(payload.len() as u64).expect("too long a body");
                    if rest > 0 || !frame.ends {
                        self.contents.insert(frame.channel, Content::Body(rest));
                    }
                }
            }
        }
        held.drain(..at);
        self.held = held;
    }
}

/// The row of a method payload.
pub fn id(payload: &[u8]) -> MethodId {
    Method::decode(payload).expect("decoded before").id()
}

/// What the methods are called that may answer a method.
pub fn responses(id: MethodId) -> &'static [MethodId] {
    METHODS.iter().find(|spec| spec.id == id).map_or(&[], |spec| spec.responses)
}
