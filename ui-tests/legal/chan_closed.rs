//! What a `Chan<Closed>` can do.

use hopmq::*;

pub async fn reopen(chan: Chan<Closed>) -> Option<Chan<Open>> {
    chan.reopen().await.ok()
}
