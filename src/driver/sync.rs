//! What is shared between threads is shared through these. `tests/loom` builds the driver's own files
//! with loom's in their place, and so runs them through the orders that threads may come in.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize},
};
