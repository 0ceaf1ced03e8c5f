//! Runs a link's hooks where they can hold nothing up.

use std::sync::Arc;

use super::core::Core;
use super::monitor::Transitions;
use crate::fsm::supervisor::Hooks;

/// Runs the hooks on every transition from the first on, until none can follow.
pub(super) async fn run(core: Arc<Core>, mut hooks: Hooks) {
    let id = core.id().clone();
    let mut transitions = Transitions::after(core, 0);
    let mut missed = 0;
    while let Some(first) = transitions.next().await {
        let rest: Vec<_> = std::iter::from_fn(|| transitions.try_next()).collect();
        if transitions.missed() > missed {
            let count = transitions.missed() - missed;
            tracing::warn!(target: "hopmq::link", id = &*id, count, "hooks are too slow: transitions were skipped");
            missed = transitions.missed();
        }
        // On a thread where they may block: one of the runtime's own might be the machine's.
        let run = tokio::task::spawn_blocking(move || {
            std::iter::once(first).chain(rest).for_each(|transition| hooks.run(&transition));
            hooks
        });
        match run.await {
            Ok(back) => hooks = back,
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::error!(target: "hopmq::link", id = &*id, error, "a hook panicked: none is run any more");
                return;
            }
        }
    }
}
