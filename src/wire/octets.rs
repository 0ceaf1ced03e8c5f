//! Cursors over the wire's primitive types (AMQP 0-9-1, section 4.2.5): big-endian integers,
//! bits packed into octets, and strings with a length in front.
//!
//! Neither cursor can panic. A [`Reader`] that runs out says [`Short`]. A [`Writer`] works on a
//! slice whose length its caller computed with a [`Meter`] over the same fields.

use super::short::ShortStr;
use super::table::RawTable;

/// The bytes ended within a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Short;

/// Reads fields off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    /// What is left of the octet of packed bits being read, and how many of its bits.
    bits: u8,
    bits_left: u8,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest, bits: 0, bits_left: 0 }
    }

    #[inline(always)]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(Short)?;
        self.rest = rest;
        self.bits_left = 0;
        Ok(*head)
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(Short)?;
        self.rest = rest;
        self.bits_left = 0;
        Ok(head)
    }

    #[inline(always)]
    pub(crate) fn bit(&mut self) -> Result<bool, Short> {
        if self.bits_left == 0 {
            let [bits] = self.array()?;
            self.bits = bits;
            self.bits_left = 8;
        }
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        self.bits_left -= 1;
        Ok(bit)
    }

    #[inline(always)]
    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        self.array().map(u8::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline(always)]
    pub(crate) fn short_str(&mut self) -> Result<ShortStr<'a>, Short> {
        let len = self.u8()?;
        // At most 255 by the type of its length, so the check cannot fail.
        ShortStr::from_bytes(self.take(usize::from(len))?).map_err(|_| Short)
    }

    /// A long string or the content of a table or array: only what has arrived is borrowed,
    /// whatever the length in front of it claims.
    #[inline(always)]
    pub(crate) fn long_str(&mut self) -> Result<&'a [u8], Short> {
        let len = self.u32()?;
        self.take(usize::try_from(len).map_err(|_| Short)?)
    }
}

/// Counts what a [`Writer`] will write.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    len: usize,
    bits: u8,
}

impl Meter {
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    #[inline(always)]
    fn bytes(&mut self, len: usize) {
        self.len += len;
        self.bits = 0;
    }

    #[inline(always)]
    fn bit(&mut self) {
        if self.bits.is_multiple_of(8) {
            self.len += 1;
        }
        self.bits += 1;
    }
}

/// Writes fields to the front of a slice.
#[derive(Debug)]
pub struct Writer<'b> {
    rest: &'b mut [u8],
    /// Bits gathered for the current octet and their number; the octet goes out with the next
    /// field that is not a bit, or at the end.
    bits: u8,
    used: u8,
}

impl<'b> Writer<'b> {
    #[inline(always)]
    pub(crate) fn new(rest: &'b mut [u8]) -> Self {
        Self { rest, bits: 0, used: 0 }
    }

    #[inline(always)]
    pub(crate) fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.flush_bits();
        self.put(bytes);
    }

    #[inline(always)]
    pub(crate) fn slice(&mut self, bytes: &[u8]) {
        self.flush_bits();
        match std::mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) {
            Some((head, tail)) => {
                copy(head, bytes);
                self.rest = tail;
            }
            None => Self::too_long(),
        }
    }

    #[inline(always)]
    pub(crate) fn bit(&mut self, bit: bool) {
        if self.used == 8 {
            self.flush_bits();
        }
        self.bits |= u8::from(bit) << self.used;
        self.used += 1;
    }

    /// Writes out the bits gathered so far: every run of bits ends with it.
    #[inline(always)]
    pub(crate) fn flush_bits(&mut self) {
        if self.used > 0 {
            let bits = std::mem::take(&mut self.bits);
            self.used = 0;
            self.put([bits]);
        }
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        match std::mem::take(&mut self.rest).split_first_chunk_mut() {
            Some((head, tail)) => {
                *head = bytes;
                self.rest = tail;
            }
            None => Self::too_long(),
        }
    }

    /// The slice was measured with the same fields: a miss is a mistake in this module.
    #[inline(always)]
    fn too_long() {
        debug_assert!(false, "the meter and the writer disagree");
    }
}

/// Copies between slices of one length. Names, keys and small bodies have a few bytes, for which the
/// call of a general copy costs more than the copy: up to 16 are copied as two that may overlap.
#[inline(always)]
fn copy(to: &mut [u8], from: &[u8]) {
    if from.len() > 16 {
        to.copy_from_slice(from);
    } else if !ends::<8>(to, from) && !ends::<4>(to, from) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

/// Copies the first and the last `N` bytes, if there are so many.
#[inline(always)]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    let (first, last) = (*first, *last);
    if let Some(to) = to.first_chunk_mut::<N>() {
        *to = first;
    }
    if let Some(to) = to.last_chunk_mut::<N>() {
        *to = last;
    }
    true
}

/// A Rust type that stands for one of AMQP's domains in the method table.
pub(crate) trait Field<'a>: Copy + Default {
    const KIND: FieldKind;
    fn measure(self, meter: &mut Meter);
    fn write(self, out: &mut Writer<'_>);
    fn read(from: &mut Reader<'a>) -> Result<Self, Short>;
}

/// The elementary domains in which the spec types the fields of methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldKind {
    /// One bit, packed with its neighbours into octets from the lowest bit on.
    Bit,
    /// An 8-bit integer.
    Octet,
    /// A 16-bit integer.
    Short,
    /// A 32-bit integer.
    Long,
    /// A 64-bit integer.
    LongLong,
    /// Up to 255 bytes behind a length octet.
    ShortStr,
    /// Bytes behind a 32-bit length.
    LongStr,
    /// A field table behind a 32-bit length.
    Table,
}

impl Field<'_> for bool {
    const KIND: FieldKind = FieldKind::Bit;

    #[inline(always)]
    fn measure(self, meter: &mut Meter) {
        meter.bit();
    }

    #[inline(always)]
    fn write(self, out: &mut Writer<'_>) {
        out.bit(self);
    }

    #[inline(always)]
    fn read(from: &mut Reader<'_>) -> Result<Self, Short> {
        from.bit()
    }
}

macro_rules! integers {
    ($($int:ident = $kind:ident),*) => {$(
        impl Field<'_> for $int {
            const KIND: FieldKind = FieldKind::$kind;

            #[inline(always)]
            fn measure(self, meter: &mut Meter) {
                meter.bytes(size_of::<$int>());
            }

            #[inline(always)]
            fn write(self, out: &mut Writer<'_>) {
                out.array(self.to_be_bytes());
            }

            #[inline(always)]
            fn read(from: &mut Reader<'_>) -> Result<Self, Short> {
                from.$int()
            }
        }
    )*};
}

integers!(u8 = Octet, u16 = Short, u32 = Long, u64 = LongLong);

impl<'a> Field<'a> for ShortStr<'a> {
    const KIND: FieldKind = FieldKind::ShortStr;

    #[inline(always)]
    fn measure(self, meter: &mut Meter) {
        meter.bytes(1 + self.len());
    }

    #[inline(always)]
    fn write(self, out: &mut Writer<'_>) {
        // At most 255 by construction: nothing is cut.
        out.array([self.len() as u8]);
        out.slice(self.as_bytes());
    }

    #[inline(always)]
    fn read(from: &mut Reader<'a>) -> Result<Self, Short> {
        from.short_str()
    }
}

impl<'a> Field<'a> for &'a [u8] {
    const KIND: FieldKind = FieldKind::LongStr;

    #[inline(always)]
    fn measure(self, meter: &mut Meter) {
        meter.bytes(4 + expressible(self).len());
    }

    #[inline(always)]
    fn write(self, out: &mut Writer<'_>) {
        let bytes = expressible(self);
        out.array((bytes.len() as u32).to_be_bytes());
        out.slice(bytes);
    }

    #[inline(always)]
    fn read(from: &mut Reader<'a>) -> Result<Self, Short> {
        from.long_str()
    }
}

impl<'a> Field<'a> for RawTable<'a> {
    const KIND: FieldKind = FieldKind::Table;

    #[inline(always)]
    fn measure(self, meter: &mut Meter) {
        self.as_bytes().measure(meter);
    }

    #[inline(always)]
    fn write(self, out: &mut Writer<'_>) {
        self.as_bytes().write(out);
    }

    #[inline(always)]
    fn read(from: &mut Reader<'a>) -> Result<Self, Short> {
        from.long_str().map(RawTable::new)
    }
}

/// What a 32-bit length can express. Frames are bounded far below (a frame's own length has
/// 32 bits), so nothing is ever cut in practice; without it a length could lie.
#[inline(always)]
pub(crate) fn expressible(bytes: &[u8]) -> &[u8] {
    match bytes.split_at_checked(u32::MAX as usize) {
        Some((head, _)) => head,
        None => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_every_length_are_written_whole() {
        let from: Vec<u8> = (1..=40).collect();
        for len in 0..=from.len() {
            let mut to = vec![0; len + 1];
            Writer::new(&mut to).slice(&from[..len]);
            assert_eq!(to, [&from[..len], &[0]].concat(), "{len}");
        }
    }
}
