//! The wire layer: bytes to frames, methods, properties and tables, and back.
//!
//! It knows what AMQP 0-9-1 looks like, as RabbitMQ speaks it, and nothing of what it means: no
//! state but the decoder's, no order of methods, no role. Client and broker use the same code.
//!
//! | Question | File |
//! |---|---|
//! | What does a method look like, which are there? | `method/table.rs`, turned into types by `method/macros.rs` |
//! | Where does a frame begin and end, which is refused? | `decoder.rs`; frames and their errors in `frame.rs` |
//! | How does something get into the outbound buffer? | [`encode`] |
//! | What is in a content header, which properties are there? | `content.rs`, `properties.rs` |
//! | How is a field table written and read? | `table/`: `field_table.rs` writes, `decode.rs` reads |
//! | How are integers, bits and strings packed? | `octets.rs`, `short.rs` |
//!
//! # A message through it
//!
//! ```
//! use bytes::BytesMut;
//! use hopmq::wire::method::basic;
//! use hopmq::wire::{ContentHeader, Decoder, FrameKind, Method, Properties, ShortStr, encode};
//!
//! let publish = basic::Publish { routing_key: ShortStr::new("inbox")?, ..Default::default() };
//! let mut properties = BytesMut::new();
//! Properties { delivery_mode: Some(2), ..Default::default() }.encode(&mut properties);
//! let mut block = BytesMut::new();
//! encode::message(&mut block, 1, &publish, &properties, b"hello", 131_072);
//!
//! let (mut decoder, mut at) = (Decoder::new(131_072), 0);
//! while let Some(frame) = decoder.next(&block, &mut at)? {
//!     let payload = &block[frame.payload];
//!     match frame.kind {
//!         FrameKind::Method => assert_eq!(Method::decode(payload)?, publish.into()),
//!         FrameKind::Header => assert_eq!(ContentHeader::decode(payload)?.body_size, 5),
//!         FrameKind::Body => assert_eq!(payload, b"hello"),
//!         FrameKind::Heartbeat => {}
//!     }
//! }
//! assert_eq!(at, block.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it promises
//!
//! - **Nothing that a peer sends panics, recurses or allocates on its word.** Frames, methods and
//!   content headers are borrowed from the block. A length is compared to what has arrived before
//!   anything is done with it. A frame over the limit is refused from its header. Only tables
//!   allocate, when asked for their entries, and within bounds of depth and number.
//! - **A bad table costs its reader, not the connection.** Methods and properties carry
//!   [`RawTable`]s; what is wrong inside shows in [`RawTable::decode`] alone.
//! - **What is written is what was read.** Reserved fields alone come back as zero.
//! - **It is strict where frames could get out of step** (end octets, methods with bytes missing
//!   or left over, heartbeats that carry something, unknown property flags) and lenient where
//!   nothing depends on it (strings that are not UTF-8, names twice in a table).
//!
//! # What it leaves to its callers
//!
//! - Whether a method or content header fits `frame_max`: compare [`encode::method_len`] and
//!   [`encode::content_header_len`] before encoding what a user gave.
//! - How large a body may become: [`ContentHeader::body_size`] is an announcement.
//! - Which methods may come when, and on which channel.
//!
//! # To carry it on
//!
//! A new method is a row in `method/table.rs` and a line in the transcription of the spec,
//! `tests/spec/amqp-0-9-1.txt`, which `tests/wire_spec.rs` holds against the table. A new type tag
//! is an arm in `element` and `scalar` (`table/decode.rs`) and one in `encode_value`
//! (`table/field_table.rs`).
//!
//! Fields are written into room that was measured and zeroed before (`octets::Meter` and
//! `octets::Writer`): measured against `BytesMut::put_*` for every field it takes a fifth of the
//! time, publish, header and 16 bytes of body together about 12 ns; decoding such a delivery about
//! 20 ns. Both depend on the `inline(always)` there, by which bit positions become constants.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod content;
mod decoder;
mod delivery;
pub mod encode;
pub mod frame;
pub mod method;
mod octets;
pub mod properties;
mod reply_code;
mod short;
mod table;

pub use content::{CONTENT_HEADER_MIN, ContentHeader, ContentHeaderError};
pub use decoder::Decoder;
pub(crate) use delivery::WholeDelivery;
pub use frame::{
    FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, Frame, FrameError, FrameKind, PROTOCOL_HEADER,
};
pub use method::{METHODS, Method, MethodError, MethodFrame, MethodId};
pub use properties::{Headers, Properties, PropertiesError};
pub use reply_code::ReplyCode;
pub use short::{NameTooLong, SHORT_STRING_MAX, ShortStr, ShortString};
pub use table::{
    FieldTable, RawEntries, RawTable, RawValue, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, TableError,
    TableLimits, Value,
};
