//! What a message is called, and how urgent it is.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use crate::wire::{NameTooLong, ShortString};

/// The identifier of a message: by it a consumer tells a message that arrives twice.
///
/// [`MessageId::random`] makes a UUID of version 7 (RFC 9562, 5.7), which sorts by the time it was
/// made. Ids of other programs are kept as they came, UUID or not.
///
/// ```
/// use hopmq::service::MessageId;
///
/// let id = MessageId::random();
/// assert_eq!(id.as_str().len(), 36);
/// assert_ne!(id, MessageId::random());
/// assert_eq!(MessageId::new("order-7")?.as_str(), "order-7");
/// # Ok::<(), hopmq::wire::NameTooLong>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(ShortString);

impl MessageId {
    /// An identifier of the application's own.
    ///
    /// # Errors
    /// [`NameTooLong`] when it has more than 255 bytes.
    pub fn new(id: impl AsRef<str>) -> Result<Self, NameTooLong> {
        ShortString::new(id.as_ref()).map(MessageId)
    }

    /// A new UUID, of version 7. It is unique, and no secret: it says when it was made.
    pub fn random() -> Self {
        let (random_a, random_b) = (random(), random());
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        MessageId(ShortString::new(uuid_v7(millis, random_a, random_b)).unwrap_or_default())
    }

    /// The text of it.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl AsRef<str> for MessageId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// How urgent a message is, in a queue that has
/// [priorities](crate::QueueDeclaration::max_priority): `max_priority(3)` tells all four apart.
///
/// On the wire they are 0 to 3. A quorum queue of RabbitMQ 4 knows two classes, up to 4 and above:
/// there all four are one (<https://www.rabbitmq.com/docs/quorum-queues#priorities>).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Before what is normal.
    High,
    /// Before everything else.
    Critical,
}

impl Priority {
    /// As the wire has it.
    pub fn as_number(self) -> u8 {
        match self {
            Priority::Low => 0,
            Priority::Normal => 1,
            Priority::High => 2,
            Priority::Critical => 3,
        }
    }

    /// From the wire: what is above three is critical too.
    pub fn from_number(number: u8) -> Self {
        match number {
            0 => Priority::Low,
            1 => Priority::Normal,
            2 => Priority::High,
            _ => Priority::Critical,
        }
    }
}

/// Sixty-four bits that nobody foresees: the standard library's hasher, keyed at random, of a
/// number that is never the same.
pub(super) fn random() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static KEYED: OnceLock<RandomState> = OnceLock::new();
    KEYED.get_or_init(RandomState::new).hash_one(NEXT.fetch_add(1, Ordering::Relaxed))
}

fn uuid_v7(millis: u64, random_a: u64, random_b: u64) -> String {
    let time = millis & 0xffff_ffff_ffff;
    let (high, low) = (time >> 16, time & 0xffff);
    let version = 0x7000 | (random_a & 0x0fff);
    let variant = 0x8000 | ((random_a >> 12) & 0x3fff);
    let node = random_b & 0xffff_ffff_ffff;
    format!("{high:08x}-{low:04x}-{version:04x}-{variant:04x}-{node:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 9562, A.6.
    #[test]
    fn a_uuid_is_as_the_standard_has_it() {
        let millis = 0x017F_22E2_79B0;
        // rand_a is 0xCC3; rand_b 0x18C4DC0C0C07398F, of which 14 bits stand with the variant.
        let random_a = 0x0CC3 | (0x18C4 << 12);
        let random_b = 0xDC0C_0C07_398F;
        let expected = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f";
        assert_eq!(uuid_v7(millis, random_a, random_b), expected);
    }

    #[test]
    fn identifiers_differ_and_fit() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| MessageId::random()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(MessageId::new("x".repeat(256)).is_err());
    }

    #[test]
    fn priorities_keep_their_order_on_the_wire() {
        let all = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical];
        for (number, priority) in (0..).zip(all) {
            assert_eq!((priority.as_number(), Priority::from_number(number)), (number, priority));
        }
        assert_eq!(Priority::from_number(9), Priority::Critical);
        assert!(Priority::Low < Priority::Critical);
    }
}
