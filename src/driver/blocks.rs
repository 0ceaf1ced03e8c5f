//! What is read from a socket: blocks of which messages are slices.
//!
//! A block goes back to the allocator, and its pages to the kernel, when the last of its messages is
//! dropped; to get both back for the next block costs more than reading a small message. Blocks
//! that were read full are therefore remembered, and used again once nobody holds a slice of them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Reading goes in blocks of this size.
const BLOCK: usize = 64 * 1024;

/// And in these while bodies come that are too large for those, so that more of them are still one slice.
/// Two of them, of which one is held by half a message, are still less than two frames of the usual size.
const LARGE: usize = 96 * 1024;

/// A body of which so much is missing at the end of a block is large.
const LARGE_FROM: usize = 16 * 1024;

/// A block with less room than this is left to its messages.
const READ_AT_LEAST: usize = 8 * 1024;

/// Of blocks so many bytes are remembered, about as many as the messages that wait for a consumer fill.
const REMEMBERED: usize = 1024 * 1024;

/// The read buffer of one connection.
#[derive(Debug)]
pub(super) struct Blocks {
    current: BytesMut,
    /// The size of the current one: more than that of others for a frame that does not fit them.
    capacity: usize,
    /// The size of the next ones.
    size: usize,
    /// What was read full, oldest first: what comes first is dropped first, as a rule.
    full: VecDeque<BytesMut>,
    /// A block was read full since the last rest.
    busy: bool,
}

impl Blocks {
    pub(super) fn new() -> Self {
        let current = BytesMut::with_capacity(BLOCK);
        Blocks { current, capacity: BLOCK, size: BLOCK, full: VecDeque::new(), busy: false }
    }

    /// So much of a body is missing behind what was taken.
    pub(super) fn expect(&mut self, missing: usize) {
        if missing >= LARGE_FROM && self.size < LARGE {
            self.size = LARGE;
            self.full = VecDeque::new();
        }
    }

    /// Where to read to: behind what is there already.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        self.make_room(READ_AT_LEAST);
        &mut self.current
    }

    /// What has been read.
    pub(super) fn take(&mut self) -> Bytes {
        self.current.split().freeze()
    }

    /// What of a block was not used: the start of an incomplete frame, to be presented again with what
    /// follows. It is small (bodies are used up in pieces), and moves, so that its block can be freed
    /// with its messages.
    pub(super) fn put_back(&mut self, block: Bytes, used: usize) {
        let rest = block.get(used..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        let enough = rest.len() + READ_AT_LEAST;
        if rest.len() < READ_AT_LEAST && self.has_no_room(enough) {
            // The block may be the next one: nobody must hold it then.
            let rest = rest.to_vec();
            drop(block);
            self.make_room(enough);
            self.current.extend_from_slice(&rest);
        } else {
            // Beyond a block twice as much each time: a large frame is not copied once for every few
            // bytes of it.
            self.make_room(if enough > BLOCK { 2 * rest.len() } else { enough });
            self.current.extend_from_slice(rest);
        }
    }

    /// Forgets what was read and not taken.
    pub(super) fn clear(&mut self) {
        self.current.clear();
    }

    /// Time has passed: a connection that has little to read since the last time keeps no memory.
    pub(super) fn rest(&mut self) {
        if !self.busy {
            self.full = VecDeque::new();
            self.size = BLOCK;
            if self.current.is_empty() && self.capacity > BLOCK {
                self.current = BytesMut::with_capacity(BLOCK);
                self.capacity = BLOCK;
            }
        }
        self.busy = false;
    }

    fn has_no_room(&self, least: usize) -> bool {
        self.current.capacity() - self.current.len() < least
    }

    fn make_room(&mut self, least: usize) {
        if !self.has_no_room(least) {
            return;
        }
        if !self.current.is_empty() {
            // Only what an incomplete frame left: it moves along.
            self.current.reserve(BLOCK);
            return;
        }
        self.busy = true;
        let size = least.max(self.size);
        let is_usual = self.capacity == self.size;
        if is_usual && self.current.try_reclaim(size) {
            return;
        }
        let full = std::mem::take(&mut self.current);
        if is_usual && self.full.len() < self.remembered() {
            self.full.push_back(full);
        } else {
            drop(full);
        }
        self.current = self.next(size);
        self.capacity = size;
    }

    /// The oldest block that nobody uses any more, else a new one.
    fn next(&mut self, size: usize) -> BytesMut {
        // All are looked at: one message that is kept must not cost a new block whenever its own
        // comes up.
        for _ in 0..self.full.len() {
            let Some(mut oldest) = self.full.pop_front() else { break };
            if oldest.try_reclaim(size) {
                return oldest;
            }
            self.full.push_back(oldest);
        }
        while self.full.len() >= self.remembered() - 1 {
            self.full.pop_front();
        }
        BytesMut::with_capacity(size)
    }

    /// So many blocks are remembered at most.
    fn remembered(&self) -> usize {
        REMEMBERED / self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a block full, and takes it.
    fn read(blocks: &mut Blocks) -> Bytes {
        let room = blocks.room();
        room.resize(room.capacity(), 7);
        blocks.take()
    }

    #[test]
    fn a_block_is_used_again_when_its_messages_are_gone() {
        let mut blocks = Blocks::new();
        let first = read(&mut blocks);
        let place = first.as_ptr();
        let second = read(&mut blocks);
        assert_ne!(second.as_ptr(), place, "the first is still in use");
        drop(first);
        // The first is tried in its turn.
        let places: Vec<_> = (0..3).map(|_| read(&mut blocks).as_ptr()).collect();
        assert!(places.contains(&place), "{place:?} is not in {places:?}");
        assert!(second.iter().all(|byte| *byte == 7));
    }

    #[test]
    fn a_message_that_is_kept_costs_its_own_block_alone() {
        let mut blocks = Blocks::new();
        let kept = read(&mut blocks);
        for _ in 0..3 * blocks.remembered() {
            read(&mut blocks);
        }
        assert_eq!(blocks.full.len(), 1, "the one that is kept");
        drop(kept);
    }

    #[test]
    fn messages_that_are_kept_are_not_written_over() {
        let mut blocks = Blocks::new();
        let kept: Vec<_> = (0..3 * blocks.remembered())
            .map(|index| {
                let room = blocks.room();
                room.resize(room.capacity(), index as u8);
                blocks.take()
            })
            .collect();
        for (index, block) in kept.iter().enumerate() {
            assert!(block.iter().all(|byte| *byte == index as u8));
        }
        assert!(blocks.full.len() <= blocks.remembered());
    }

    #[test]
    fn an_incomplete_frame_stands_before_what_is_read_next() {
        let mut blocks = Blocks::new();
        let block = read(&mut blocks);
        let used = block.len() - 10;
        blocks.put_back(block, used);
        blocks.room().extend_from_slice(b"more");
        assert_eq!(&blocks.take()[..], [&[7; 10][..], b"more"].concat());
    }

    #[test]
    fn while_large_bodies_come_blocks_are_larger() {
        let mut blocks = Blocks::new();
        blocks.expect(LARGE_FROM - 1);
        assert!(read(&mut blocks).len() < LARGE && read(&mut blocks).len() < LARGE);
        blocks.expect(LARGE_FROM);
        assert!(read(&mut blocks).len() >= LARGE);
        blocks.rest();
        blocks.rest();
        assert!(blocks.room().capacity() < LARGE, "it has become quiet");
    }

    #[test]
    fn a_connection_that_has_become_quiet_keeps_one_block() {
        let mut blocks = Blocks::new();
        drop([read(&mut blocks), read(&mut blocks), read(&mut blocks)]);
        blocks.rest();
        assert!(!blocks.full.is_empty(), "it was busy until now");
        blocks.rest();
        assert!(blocks.full.is_empty());
    }
}
