//! Deliveries from a pre-encoded block: only delivery tags are written into it.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::TcpStream,
};

use crate::{
    frames,
    job::{Job, Workload},
};

/// A block holds about this many bytes, at least one message.
const BLOCK: usize = 256 * 1024;

/// One consumer that is flooded with messages.
pub struct Flood {
    block: Vec<u8>,
    message: usize,
    /// Where the tag is in a message.
    tag_at: usize,
    sent: usize,
    filled: usize,
    remaining: u64,
    next_tag: u64,
    /// Unsettled at most; 0 is no limit, and no counting.
    prefetch: u16,
    settled: u64,
    /// Whether each delivery is unsettled, from the oldest unsettled one on.
    unsettled: VecDeque<bool>,
    oldest: u64,
}

impl Flood {
    /// The flood that a queue's name asks for, if it does.
    pub fn new(queue: &str, channel: u16, consumer: &str, prefetch: u16) -> Option<Self> {
        let (count, size) = queue.strip_prefix("flood.")?.split_once('.')?;
        let (remaining, size) = (count.parse().ok()?, size.parse().ok()?);
        let job = Job { port: 0, workload: Workload::Consume, size, count: 0 };
        let mut message = Vec::new();
        frames::method(&mut message, channel, (60, 60), |out| {
            frames::short(out, consumer);
            out.extend([0; 8]);
            out.push(0);
            frames::short(out, "");
            frames::short(out, "bench");
        });
        frames::content(&mut message, channel, &[0, 0], &job.body());
        let copies = (BLOCK / message.len()).max(1);
        Some(Flood {
            block: message.repeat(copies),
            message: message.len(),
            tag_at: 7 + 4 + 1 + consumer.len(),
            sent: 0,
            filled: 0,
            remaining,
            next_tag: 1,
            prefetch,
            settled: 0,
            unsettled: VecDeque::new(),
            oldest: 1,
        })
    }

    /// Whether part of a block is out, so that nothing else may be sent.
    pub fn is_mid_block(&self) -> bool {
        self.sent < self.filled
    }

    /// Makes a block ready, if there is something to deliver. False when there is not.
    pub fn fill(&mut self) -> bool {
        if self.is_mid_block() {
            return true;
        }
        let mut count = self.remaining.min((self.block.len() / self.message) as u64);
        if self.prefetch > 0 {
            let in_flight = self.next_tag - 1 - self.settled;
            count = count.min(u64::from(self.prefetch).saturating_sub(in_flight));
            self.unsettled.extend((0..count).map(|_| true));
        }
        for message in self.block.chunks_exact_mut(self.message).take(count as usize) {
            message[self.tag_at..self.tag_at + 8].copy_from_slice(&self.next_tag.to_be_bytes());
            self.next_tag += 1;
        }
        self.remaining -= count;
        self.sent = 0;
        self.filled = count as usize * self.message;
        count > 0
    }

    pub fn send(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        self.sent += stream.write(&self.block[self.sent..self.filled])?;
        Ok(())
    }

    /// A delivery was settled, or all up to it.
    pub fn settle(&mut self, tag: u64, multiple: bool) {
        let Some(index) = tag.checked_sub(self.oldest).map(|index| index as usize) else { return };
        let first = if multiple { 0 } else { index };
        for unsettled in self.unsettled.range_mut(first..=index) {
            self.settled += u64::from(std::mem::replace(unsettled, false));
        }
        while self.unsettled.front() == Some(&false) {
            self.unsettled.pop_front();
            self.oldest += 1;
        }
    }

    /// How many deliveries were settled.
    pub fn settled(&self) -> u64 {
        self.settled
    }
}
