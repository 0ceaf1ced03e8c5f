//! What a `Chan<Closed>` can do.

use hopmq::*;

async fn reopen(chan: Chan<Closed>) -> Option<Chan<Open>> {
    chan.reopen().await.ok()
}
