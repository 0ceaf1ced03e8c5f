//! The driver's own files around the pure connection, with loom's mutex and atomics: every test runs
//! in every order that its threads may come in with three preemptions. A wake-up that is lost leaves
//! threads that wait for ever, which loom reports; so does a value that one thread may see too early.
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
