//! What the process holds while a peer misbehaves, counted by its allocator to the byte.

use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// The allocator counts for the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The right to allocate what is not to be counted, then to count.
#[must_use]
pub(crate) struct Alone(MutexGuard<'static, ()>);

/// Waits until no other test counts. What a peer is to send is made after that and before counting begins.
pub(crate) fn alone() -> Alone {
    Alone(ALONE.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Alone {
    /// From here on twice the largest frame, and what the limits allow to wait for whoever does not take it.
    pub(crate) fn two_frames_and(self, waiting: usize) -> Bounded {
        ALLOCATOR.reset_peak_usage();
        let (baseline, most) = (ALLOCATOR.current_usage(), 2 * FRAME_MAX + waiting);
        Bounded { baseline, most, _alone: self.0 }
    }
}

/// What was agreed on with the peer.
pub(crate) const FRAME_MAX: usize = 131_072;

/// While it lives, the process holds at most so much more than when it was made: client, runtime and the peer's own
/// end together.
#[must_use]
pub(crate) struct Bounded {
    baseline: usize,
    most: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Bounded {
    /// By twice the largest frame.
    pub(crate) fn by_two_frames() -> Bounded {
        alone().two_frames_and(0)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let grown = ALLOCATOR.peak_usage().saturating_sub(self.baseline);
        println!("grown by {grown} bytes of {}", self.most);
        if !std::thread::panicking() {
            assert!(grown <= self.most, "grown by {grown} bytes, {} at most", self.most);
        }
    }
}
