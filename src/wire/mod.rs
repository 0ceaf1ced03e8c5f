//! The wire layer: bytes to frames, methods, properties and tables, and back.
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

mod content;
mod decoder;
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
pub use frame::{
    FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, Frame, FrameError, FrameKind, PROTOCOL_HEADER,
};
pub use method::{METHODS, Method, MethodError, MethodFrame, MethodId};
pub use properties::{Headers, Properties, PropertiesError};
pub use reply_code::ReplyCode;
pub use short::{NameTooLong, SHORT_STRING_MAX, ShortStr, ShortString};
pub use table::{
    FieldTable, RawEntries, RawTable, RawValue, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, TableError,
    Value,
};
