//! The store of what outlives a broker: one redb file, and the thread that writes it.
//!
//! redb was chosen over fjall, sled and SQLite: it is one crate without further ones, is kept up
//! (2.6 builds with the oldest Rust promised here), and commits a transaction atomically by
//! copy-on-write with checksums: what a crash tears is the transaction that was under way, which
//! nobody was told of, and opening the file cuts it off (`file`).
//!
//! While one batch of changes is written the next one gathers in the core, so the two `fsync`s of
//! a commit stand for as many confirms as came meanwhile.

mod error;
mod file;
#[cfg(test)]
mod torn;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use redb::{Database, ReadableTable, TableDefinition};

use super::{
    core::{Batch, Core, QueueId},
    event::Event,
    shared::Shared,
};
pub use error::StoreError;
use error::unusable;

/// `topology`: all exchanges, queues and bindings; `version`: how they are written.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// Messages by queue and place.
const MESSAGES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("messages");

const VERSION: &[u8] = b"1";

/// After a failed write it is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

/// A file, open unless a write has failed.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: Option<Database>,
}

impl Store {
    /// Opens the file, or makes it, and brings back into the core what was stored.
    pub(super) fn open(path: &Path, core: &mut Core) -> io::Result<Self> {
        let file = file::open(path)?;
        restore(&file, core)?;
        Ok(Store { path: path.to_owned(), file: Some(file) })
    }

    /// Stores a batch, safely once this returns. What failed can be stored again: a batch says
    /// what is, not what changes.
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        // redb refuses everything after an error of the disk until it has looked at the file anew.
        let file = match self.file.take() {
            Some(file) => file,
            None => file::open(&self.path)?,
        };
        write(&file, batch)?;
        self.file = Some(file);
        Ok(())
    }
}

fn restore(file: &Database, core: &mut Core) -> io::Result<()> {
    prepare(file)?;
    let stored = file.begin_read().map_err(unusable)?;
    let facts = stored.open_table(FACTS).map_err(unusable)?;
    if facts.get("version").map_err(unusable)?.is_none_or(|found| found.value() != VERSION) {
        return Err(StoreError::OtherVersion.into());
    }
    if let Some(topology) = facts.get("topology").map_err(unusable)? {
        core.restore_topology(topology.value()).map_err(|_| StoreError::UNREADABLE)?;
    }
    let messages = stored.open_table(MESSAGES).map_err(unusable)?;
    for entry in messages.iter().map_err(unusable)? {
        let (key, message) = entry.map_err(unusable)?;
        let (queue, place) = key.value();
        core.restore_message(QueueId(queue), place, message.value())
            .map_err(|_| StoreError::UNREADABLE)?;
    }
    Ok(())
}

fn prepare(file: &Database) -> io::Result<()> {
    let mut change = file.begin_write().map_err(unusable)?;
    change.set_two_phase_commit(true);
    {
        change.open_table(MESSAGES).map_err(unusable)?;
        let mut facts = change.open_table(FACTS).map_err(unusable)?;
        if facts.get("version").map_err(unusable)?.is_none() {
            facts.insert("version", VERSION).map_err(unusable)?;
        }
    }
    change.commit().map_err(unusable)
}

fn write(file: &Database, batch: &Batch) -> io::Result<()> {
    let mut change = file.begin_write().map_err(unusable)?;
    change.set_two_phase_commit(true);
    {
        let mut messages = change.open_table(MESSAGES).map_err(unusable)?;
        for queue in &batch.queues {
            let all = (queue.0, 0)..=(queue.0, u64::MAX);
            messages.retain_in(all, |_, _| false).map_err(unusable)?;
        }
        for ((queue, place), kept) in &batch.messages {
            let key = (queue.0, *place);
            match kept {
                Some(kept) => messages.insert(key, kept.write().as_slice()),
                None => messages.remove(key),
            }
            .map_err(unusable)?;
        }
        if let Some(topology) = &batch.topology {
            let mut facts = change.open_table(FACTS).map_err(unusable)?;
            facts.insert("topology", topology.as_slice()).map_err(unusable)?;
        }
    }
    // With fsync: that is redb's default durability.
    change.commit().map_err(unusable)
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(mut store: Store, shared: &Arc<Shared>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, shared) = (Arc::clone(&stop), Arc::downgrade(shared));
        let thread = thread::Builder::new()
            .name("hopmq-store".to_owned())
            .spawn(move || write_on(&mut store, &shared, &stopped))?;
        Ok(Writer { stop, thread: Mutex::new(Some(thread)) })
    }

    /// There may be something to write.
    pub(super) fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.thread().unpark();
        }
    }

    /// Writes what is left, and closes the file. It takes as long as one write.
    pub(super) fn finish(&self) {
        self.stop.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            thread.thread().unpark();
            // It does not panic; and if it did, there would be nothing left to do.
            let _ = thread.join();
        }
    }
}

fn write_on(store: &mut Store, shared: &Weak<Shared>, stop: &AtomicBool) {
    loop {
        let last = stop.load(Ordering::Acquire);
        let Some(shared) = shared.upgrade() else { return };
        match shared.with(None, |core, _| core.take_batch()) {
            Some(batch) => {
                if !write_until_done(store, &shared, &batch, stop) {
                    return;
                }
                shared.with(None, |core, now| core.batch_stored(batch.number, now));
            }
            None if last => return,
            None => {
                drop(shared);
                thread::park();
            }
        }
    }
}

/// Tries until it is written, or the broker ends. Nobody is told of what is not.
fn write_until_done(store: &mut Store, shared: &Shared, batch: &Batch, stop: &AtomicBool) -> bool {
    while let Err(error) = store.write(batch) {
        shared.announce(Event::NotStored { reason: error.to_string() });
        if stop.load(Ordering::Acquire) {
            return false;
        }
        thread::park_timeout(RETRY);
    }
    true
}
