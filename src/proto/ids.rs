//! Channel ids (AMQP 0-9-1, 4.2.3): allocated from 1 to channel_max and reused.

use std::collections::VecDeque;

/// Hands out channel ids, the least recently used first, so that a late frame for a closed
/// channel rarely meets a new one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelIds {
    max: u16,
    next: u16,
    free: VecDeque<u16>,
}

impl ChannelIds {
    /// Ids from 1 to `max`.
    pub fn new(max: u16) -> Self {
        ChannelIds { max, next: 1, free: VecDeque::new() }
    }

    /// The highest id.
    pub fn max(&self) -> u16 {
        self.max
    }

    /// Takes an id, or `None` when all are in use.
    pub fn take(&mut self) -> Option<u16> {
        if self.next != 0 && self.next <= self.max {
            let id = self.next;
            // 65,535 wraps to 0, which says that all were handed out once.
            self.next = self.next.wrapping_add(1);
            return Some(id);
        }
        self.free.pop_front()
    }

    /// Gives an id back.
    pub fn give_back(&mut self, id: u16) {
        debug_assert!(!self.free.contains(&id), "an id is given back once");
        self.free.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_start_at_one_and_end_at_the_maximum() {
        let mut ids = ChannelIds::new(3);
        assert_eq!(
            [ids.take(), ids.take(), ids.take(), ids.take()],
            [Some(1), Some(2), Some(3), None]
        );
    }

    #[test]
    fn the_least_recently_used_id_comes_back_first() {
        let mut ids = ChannelIds::new(2);
        ids.take();
        ids.take();
        ids.give_back(2);
        ids.give_back(1);
        assert_eq!([ids.take(), ids.take(), ids.take()], [Some(2), Some(1), None]);
    }

    #[test]
    fn the_full_range_is_handed_out_once() {
        let mut ids = ChannelIds::new(u16::MAX);
        assert_eq!((0..u32::from(u16::MAX)).filter_map(|_| ids.take()).count(), 65_535);
        assert_eq!(ids.take(), None);
    }
}
