//! What is logged in all tests. One log for all, from before the first link on: a subscriber that comes
//! when others log already may miss what it asks for (tracing caches who is interested).

use std::io;
use std::sync::{Mutex, Once};

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Begins to log, unless that was done before.
pub(crate) fn begin() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_writer(|| Writer).with_ansi(false).without_time().init();
    });
}

pub(crate) fn lines_with(part: &str) -> Vec<String> {
    let text = LOG.lock().unwrap().clone();
    let text = String::from_utf8(text).unwrap();
    text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
}

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
