//! What is durable outlives the broker, by whatever it ended.

mod kills;
mod restarts;
#[path = "../served/mod.rs"]
mod served;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use hopmq::{
    Chan, Confirming, Conn, Connected, Uri,
    broker::{Broker, Listening},
};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A file that goes when the test ends.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("durable-{}-{count}.redb", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        // From an earlier process of the same id, if there was one.
        let _ = std::fs::remove_file(&path);
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn broker(file: &File) -> Result<Broker<Listening>> {
    Ok(Broker::builder().durable(&file.0).bind("127.0.0.1:0").await?)
}

async fn connect(uri: &str) -> Result<(Conn<Connected>, Chan<Confirming>)> {
    let config = hopmq::Config::from(uri.parse::<Uri>()?).without_recovery();
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    Ok((conn, chan))
}
