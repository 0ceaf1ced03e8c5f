//! Peers that are found by name in this process, without a port: the frames of their queues go from
//! one side to the other as they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use super::{accept::Acceptor, carry::either, shared::Shared};

/// Who listens in this process, by name.
static LISTENING: Mutex<BTreeMap<String, Weak<Acceptor>>> = Mutex::new(BTreeMap::new());

/// Lets it be found by its name. Whether the name was free.
pub(super) fn listen(acceptor: &Arc<Acceptor>) -> bool {
    let mut listening = listening();
    match listening.get(acceptor.name()) {
        Some(taken) if taken.strong_count() > 0 => false,
        _ => {
            listening.insert(acceptor.name().to_owned(), Arc::downgrade(acceptor));
            true
        }
    }
}

/// Who listens under that name.
pub(super) fn find(name: &str) -> Option<Arc<Acceptor>> {
    let mut listening = listening();
    let found = listening.get(name)?.upgrade();
    if found.is_none() {
        listening.remove(name);
    }
    found
}

fn listening() -> MutexGuard<'static, BTreeMap<String, Weak<Acceptor>>> {
    LISTENING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the side that accepts say how much it holds, before anything is sent.
pub(super) fn welcome(accepting: &Shared, connecting: &Shared) {
    pass(accepting, connecting);
}

/// Carries a queue between two sides until both have ended.
pub(super) async fn carry(one: Arc<Shared>, other: Arc<Shared>) {
    let _ends = Ends(&one, &other);
    loop {
        while pass(&one, &other) | pass(&other, &one) {
            // Others want to run too.
            tokio::task::yield_now().await;
        }
        if one.end().is_some() && other.end().is_some() {
            return;
        }
        either(one.work.notified(), other.work.notified()).await;
    }
}

/// When the task that carries a queue ends, for whatever reason, both sides end.
struct Ends<'a>(&'a Shared, &'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.left();
        self.1.left();
    }
}

/// Passes on some of what one side says. Whether it said anything.
fn pass(from: &Shared, to: &Shared) -> bool {
    const AT_ONCE: usize = 64;
    let frames = std::iter::from_fn(|| from.transmit()).take(AT_ONCE);
    let mut any = false;
    for (frame, position, message) in frames {
        any = true;
        to.arrive(frame, position, message.unwrap_or_default());
    }
    any
}
