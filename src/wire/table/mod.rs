//! Field tables (AMQP 0-9-1, section 4.2.5.5, with RabbitMQ's type tags).
//!
//! A table from a peer stays raw ([`RawTable`]) until somebody asks for its entries: most are
//! never asked for, and one that cannot be decoded must not keep its message from arriving.
//! Decoding uses no recursion, and is bounded in depth and in entries, since an entry takes far
//! more memory decoded than encoded.

mod decode;
mod field_table;
mod value;

pub use decode::{
    RawEntries, RawTable, RawValue, TABLE_DEPTH_MAX, TABLE_ENTRIES_MAX, TableError, TableLimits,
};
pub use field_table::FieldTable;
pub use value::Value;

/// RabbitMQ's type tags, which differ from the spec's where that contradicts all clients.
mod tag {
    pub(super) const BOOL: u8 = b't';
    pub(super) const I8: u8 = b'b';
    pub(super) const U8: u8 = b'B';
    pub(super) const I16: u8 = b's';
    pub(super) const U16: u8 = b'u';
    pub(super) const I32: u8 = b'I';
    pub(super) const U32: u8 = b'i';
    pub(super) const I64: u8 = b'l';
    pub(super) const F32: u8 = b'f';
    pub(super) const F64: u8 = b'd';
    pub(super) const DECIMAL: u8 = b'D';
    pub(super) const LONG_STRING: u8 = b'S';
    pub(super) const ARRAY: u8 = b'A';
    pub(super) const TIMESTAMP: u8 = b'T';
    pub(super) const TABLE: u8 = b'F';
    pub(super) const VOID: u8 = b'V';
    pub(super) const BYTE_ARRAY: u8 = b'x';
}
