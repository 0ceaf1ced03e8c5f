//! The channels of a connection: found by handle, and by id on the wire.

use super::{ChannelKey, channel::Channel};

/// Channels in slots that are reused under another generation; ids on the wire point into them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Records {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The slot of each channel id; ids start at 1.
    routes: Vec<Option<u32>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Slot {
    generation: u32,
    channel: Option<Box<Channel>>,
}

impl Records {
    /// The key that the next inserted channel gets.
    pub(super) fn next_key(&self) -> ChannelKey {
        let index = self.free.last().copied().unwrap_or(self.slots.len() as u32);
        let generation = self.slots.get(index as usize).map_or(0, |slot| slot.generation);
        ChannelKey { index, generation }
    }

    /// Adds a channel that was made with [`Records::next_key`].
    pub(super) fn insert(&mut self, channel: Channel) {
        let index = channel.key.index;
        self.free.pop();
        if index as usize >= self.slots.len() {
            self.slots.resize_with(index as usize + 1, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(index as usize) {
            slot.channel = Some(Box::new(channel));
        }
    }

    /// The connection is lost: no id leads to any channel.
    pub(super) fn forget_routes(&mut self) {
        self.routes.clear();
    }

    /// Forgets the channels that have ended and have no handle.
    pub(super) fn remove_released(&mut self) {
        let over: Vec<ChannelKey> = self
            .iter()
            .filter(|channel| channel.released && channel.ended.is_some())
            .map(|channel| channel.key)
            .collect();
        for key in over {
            self.remove(key);
        }
    }

    /// Points a channel id to a slot, or to nothing.
    pub(super) fn route(&mut self, id: u16, index: Option<u32>) {
        if self.routes.len() <= id as usize {
            self.routes.resize(id as usize + 1, None);
        }
        if let Some(route) = self.routes.get_mut(id as usize) {
            *route = index;
        }
    }

    pub(super) fn get(&self, key: ChannelKey) -> Option<&Channel> {
        let slot = self.slots.get(key.index as usize)?;
        slot.channel.as_deref().filter(|_| slot.generation == key.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: ChannelKey) -> Option<&mut Channel> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.channel.as_deref_mut().filter(|_| slot.generation == key.generation)
    }

    pub(super) fn by_id(&mut self, id: u16) -> Option<&mut Channel> {
        let index = (*self.routes.get(id as usize)?)?;
        self.slots.get_mut(index as usize)?.channel.as_deref_mut()
    }

    pub(super) fn by_index(&mut self, index: u32) -> Option<&mut Channel> {
        self.slots.get_mut(index as usize)?.channel.as_deref_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Channel> {
        self.slots.iter_mut().filter_map(|slot| slot.channel.as_deref_mut())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Channel> {
        self.slots.iter().filter_map(|slot| slot.channel.as_deref())
    }

    /// Forgets a channel; keys to it find nothing from now on.
    pub(super) fn remove(&mut self, key: ChannelKey) {
        if let Some(slot) = self.slots.get_mut(key.index as usize)
            && slot.generation == key.generation
            && slot.channel.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.index);
        }
    }
}
