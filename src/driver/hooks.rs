//! Runs a user's hooks where they can hold nothing up.

use std::{future::poll_fn, sync::Arc};

use super::shared::Shared;
use crate::fsm::supervisor::Hooks;

/// Runs the hooks on every transition from the first on, until none can follow.
pub(super) async fn run(shared: Arc<Shared>, mut hooks: Hooks) {
    let (mut cursor, mut held) = (0, None);
    loop {
        let expected = cursor + 1;
        let next = poll_fn(|cx| shared.poll_change(&mut cursor, &mut held, cx)).await;
        let Some(change) = next else { return };
        if cursor > expected {
            let (connection, count) = (shared.id(), cursor - expected);
            tracing::warn!(connection, count, "hooks are too slow: transitions were skipped");
        }
        // On a thread where they may block: one of the runtime's own might be the connection's.
        let run = tokio::task::spawn_blocking(move || {
            hooks.run(&change.transition);
            hooks
        });
        match run.await {
            Ok(back) => hooks = back,
            Err(error) => {
                let (connection, error) = (shared.id(), tracing::field::display(error));
                tracing::error!(connection, error, "a hook panicked: none is run any more");
                return;
            }
        }
    }
}
