//! Every method and every set of properties is read as it was written, and written as it was read.

use arbitrary::Unstructured;
use bytes::{Bytes, BytesMut};
use hopmq::wire::{
    ContentHeader, Decoder, FrameKind, METHODS, Method, MethodError, Properties, encode,
    properties::RawProperties,
};

use crate::grammar::{self, Drawn, Wish};

pub fn run(input: &[u8]) {
    let _ = play(&mut Unstructured::new(input));
}

fn play(from: &mut Unstructured<'_>) -> Drawn<()> {
    match from.arbitrary::<u8>()? {
        0..=127 => {
            let tidy = from.ratio(3, 4)?;
            let spec = grammar::one_of(from, METHODS)?;
            let payload = grammar::method(from, spec, Wish { tidy, ..Wish::default() })?;
            let method = Method::decode(&payload)
                .unwrap_or_else(|error| panic!("{}: {error}: {payload:?}", spec.name));
            assert_eq!((method.id(), method.has_content()), (spec.id, spec.content));
            check_method(&method, tidy.then_some(&payload));
        }
        128..=159 => {
            let payload = from.bytes(from.len())?;
            match Method::decode(payload) {
                Ok(method) => check_method(&method, None),
                Err(error) => check_refusal(error, payload),
            }
        }
        160..=223 => {
            let encoded = grammar::properties(from)?;
            let properties = RawProperties::decode(&encoded).expect("a well-formed list");
            let mut again = BytesMut::new();
            properties.encode(&mut again);
            assert_eq!(again, encoded);
            check_properties(Bytes::from(encoded));
        }
        _ => check_properties(Bytes::copy_from_slice(from.bytes(from.len())?)),
    }
    Ok(())
}

/// A frame of the method, read again, gives the method; and its payload is the one it came from.
fn check_method(method: &Method<'_>, payload: Option<&Vec<u8>>) {
    let mut out = BytesMut::new();
    encode::any_method(&mut out, 7, method);
    let (mut decoder, mut at) = (Decoder::new(u32::MAX), 0);
    let frame = decoder.next(&out, &mut at).expect("a frame").expect("a whole one");
    assert_eq!((frame.kind, frame.channel, at), (FrameKind::Method, 7, out.len()));
    let written = &out[frame.payload];
    assert_eq!(written.len(), 4 + method.arguments_len());
    assert_eq!(Method::decode(written).as_ref(), Ok(method));
    if let Some(payload) = payload {
        assert_eq!(written, payload);
    }
}

/// What is not a method is shorter or longer than one, or of another number.
fn check_refusal(error: MethodError, payload: &[u8]) {
    match error {
        MethodError::NoId { len } => assert!(len == payload.len() && len < 4),
        MethodError::Unknown(id) => assert!(METHODS.iter().all(|spec| spec.id != id)),
        MethodError::Truncated { len, .. } => assert_eq!(len, payload.len()),
        MethodError::Trailing { extra, .. } => {
            let shorter = &payload[..payload.len() - extra];
            assert!(Method::decode(shorter).is_ok(), "without what is behind");
        }
        other => panic!("{other}"),
    }
}

fn check_properties(encoded: Bytes) {
    let decoded = Properties::decode(encoded.clone());
    assert_eq!(Properties::validate(&encoded).err(), decoded.as_ref().err().copied());
    let Ok(properties) = decoded else { return };
    let raw = RawProperties::decode(&encoded).expect("decoded before");
    assert_eq!(raw.encoded_len(), encoded.len());
    let mut out = BytesMut::new();
    properties.encode(&mut out);
    assert_eq!(Properties::decode(out.clone().freeze()).as_ref(), Ok(&properties));
    let mut frame = BytesMut::new();
    encode::content_header(&mut frame, 7, u64::MAX, &out);
    let header = ContentHeader::decode(&frame[7..frame.len() - 1]).expect("a content header");
    assert_eq!((header.class, header.body_size), (60, u64::MAX));
    assert_eq!(header.properties, &out[..]);
}
