//! The driver's own files around the pure connection, with loom's mutex and atomics: every test runs
//! in every order that its threads may come in with three preemptions. A wake-up that is lost leaves
//! threads that wait for ever, which loom reports; so does a value that one thread may see too early.
//!
//! The outbound batch, the confirm ledger, the supervisor with its breaker, and whether it is shutting down
//! are fields of the one `State` under the mutex of `Shared`: what the models show of its lock and its
//! wakes (a publish, a confirm, a close, a cut) holds for each of them, and in what order a breaker opens
//! and probes is for one thread at a time (`tests/fsm`). Outside of the mutex are only the tag below which
//! everything is confirmed, which the model of confirms has, and the count of deliveries nobody has seen.
//! Not here: the stand-in for a blocked worker, whose tasks are tokio's.
#![cfg(test)]
// Not all of the driver is used here.
#![allow(dead_code, unreachable_pub, unused_imports)]

use hopmq::{fsm, proto, wire};

mod driver {
    #[path = "../../../../src/driver/history.rs"]
    pub(crate) mod history;
    #[path = "../../../../src/driver/names.rs"]
    mod names;
    #[path = "../../../../src/driver/shared.rs"]
    mod shared;
    #[path = "../../../../src/driver/trace.rs"]
    mod trace;
    #[path = "../../../../src/driver/untaken.rs"]
    mod untaken;
    #[path = "../../../../src/driver/waiters.rs"]
    mod waiters;

    /// loom's, instead of the standard library's.
    mod sync {
        pub(crate) use loom::sync::{
            Mutex, MutexGuard,
            atomic::{AtomicU64, AtomicUsize},
        };
    }

    /// Nobody blocks a worker here.
    mod stand_in {
        #[derive(Debug)]
        pub(crate) struct Looked;

        pub(super) fn look_after(_: Looked) {}
    }

    #[cfg(test)]
    mod model;
}
