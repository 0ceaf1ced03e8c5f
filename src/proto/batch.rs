//! What is to be written: bytes in wire order, with large bodies spliced in uncopied.

use bytes::{Bytes, BytesMut};

/// Bodies from this size go out as they are; smaller ones are copied, which is cheaper than
/// one more segment in a vectored write.
pub const SPLICE_FROM: usize = 16 * 1024;

/// The outbound bytes of one connection, in wire order.
///
/// Senders append to [`Batch::bytes`]; a large body is not copied but remembered with the
/// offset at which it belongs. The driver swaps the whole batch out and writes it in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Everything that was encoded, without the spliced bodies.
    pub bytes: BytesMut,
    /// Bodies that go out uncopied, each before the byte at its offset in `bytes`.
    pub splices: Vec<(usize, Bytes)>,
    spliced: usize,
    /// A secret is in `bytes`.
    secret: bool,
}

impl Batch {
    /// The number of bytes to write, spliced bodies included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.spliced
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.splices.is_empty()
    }

    /// Appends a piece of a body, copied or spliced by its size.
    pub fn append(&mut self, piece: Bytes) {
        if piece.len() < SPLICE_FROM {
            self.bytes.extend_from_slice(&piece);
        } else {
            self.spliced += piece.len();
            self.splices.push((self.bytes.len(), piece));
        }
    }

    /// There is a secret among what it holds: nothing of it is left in memory when it is cleared.
    pub fn holds_secret(&mut self) {
        self.secret = true;
    }

    /// Empties the batch and keeps its memory for the next one. Of a secret nothing is left in it.
    pub fn clear(&mut self) {
        self.wipe_secret();
        self.bytes.clear();
        self.splices.clear();
        self.spliced = 0;
    }

    fn wipe_secret(&mut self) {
        if std::mem::take(&mut self.secret) {
            self.bytes.fill(0);
            // What nobody reads need not be written, as the compiler sees it.
            std::hint::black_box(&self.bytes);
        }
    }

    /// The batch as consecutive slices, in wire order, from byte `skip` on.
    pub fn slices(&self, mut skip: usize) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        let encoded = self.splices.iter().flat_map(move |(at, body)| {
            let before = self.bytes.get(from..*at).unwrap_or_default();
            from = *at;
            [before, body.as_ref()]
        });
        let last = self.splices.last().map_or(0, |(at, _)| *at);
        let tail = self.bytes.get(last..).unwrap_or_default();
        encoded.chain([tail]).filter_map(move |slice| {
            let skipped = skip.min(slice.len());
            skip -= skipped;
            slice.get(skipped..).filter(|rest| !rest.is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(batch: &Batch, skip: usize) -> Vec<u8> {
        batch.slices(skip).flatten().copied().collect()
    }

    #[test]
    fn large_pieces_are_spliced_in_wire_order() {
        let large = Bytes::from(vec![7; SPLICE_FROM]);
        let mut batch = Batch::default();
        batch.append(Bytes::from_static(b"head"));
        batch.append(large.clone());
        batch.append(Bytes::from_static(b"mid"));
        batch.append(large.clone());
        let expected = [b"head", &large[..], b"mid", &large[..]].concat();
        assert_eq!(batch.splices.len(), 2);
        assert_eq!(batch.len(), expected.len());
        for skip in [0, 1, 4, 5, SPLICE_FROM, expected.len() - 1, expected.len()] {
            assert_eq!(joined(&batch, skip), expected[skip..], "from {skip}");
        }
    }

    #[test]
    fn of_a_secret_nothing_is_left() {
        let mut batch = Batch::default();
        batch.bytes.extend_from_slice(b"hunter2");
        batch.holds_secret();
        batch.wipe_secret();
        assert_eq!(&batch.bytes[..], &[0; 7]);
        assert!(!batch.secret, "the next one holds none");
    }

    #[test]
    fn a_cleared_batch_is_empty() {
        let mut batch = Batch::default();
        batch.append(Bytes::from(vec![7; SPLICE_FROM]));
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.len(), 0);
    }
}
