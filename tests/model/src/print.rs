//! The fingerprint of a state: 128 bits, by which it is known again.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

/// Two runs of multiplying and folding over the same words, with constants of their own.
#[derive(Clone, Copy)]
struct Printer {
    high: u64,
    low: u64,
}

impl Printer {
    fn word(&mut self, word: u64) {
        self.high = folded(self.high ^ word, 0x9e37_79b9_7f4a_7c15).wrapping_add(word);
        self.low = folded(self.low.rotate_left(23) ^ word, 0xd6e8_feb8_6659_fd93);
    }
}

fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    (product >> 64) as u64 ^ product as u64
}

impl Hasher for Printer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        self.word(bytes.len() as u64 | 1 << 63);
    }

    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.word(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    fn finish(&self) -> u64 {
        self.low
    }
}

pub fn print(of: &impl Hash) -> u128 {
    let mut printer = Printer { high: 0x243f_6a88_85a3_08d3, low: 0x1319_8a2e_0370_7344 };
    of.hash(&mut printer);
    printer.word(0);
    u128::from(printer.high) << 64 | u128::from(printer.low)
}

/// A large part of a state: copied and printed only after a change.
#[derive(Clone, Debug)]
pub struct Part<T> {
    value: Arc<T>,
    print: Option<u128>,
}

impl<T: Clone + Hash> Part<T> {
    pub fn new(value: T) -> Self {
        Part { value: Arc::new(value), print: None }
    }

    pub fn change(&mut self) -> &mut T {
        self.print = None;
        Arc::make_mut(&mut self.value)
    }

    pub fn print(&mut self) -> u128 {
        let value = &self.value;
        *self.print.get_or_insert_with(|| print(&**value))
    }
}

impl<T> std::ops::Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
