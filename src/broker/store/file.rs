//! The store's file: made so that no half of it is ever seen, and mended where a crash tore it.

use std::{
    fs::{self, File, OpenOptions},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use redb::{Database, StorageBackend, backends::FileBackend};

use super::error::{StoreError, unusable};

/// redb keeps up to 1 GiB otherwise, beside the messages that the broker has in memory anyway.
const CACHE: usize = 64 * 1024 * 1024;

/// Opens the file, and makes it where there is none.
pub(super) fn open(path: &Path) -> io::Result<Database> {
    if !path.exists() {
        make(path)?;
    }
    // An empty file is one to be filled.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // Locks it: what follows has the file for itself.
    open_in(FileBackend::new(file).map_err(unusable)?)
}

/// Opens what is there, once its length is mended, and looks at everything that was committed.
///
/// A commit is written in two phases, each with its own sync: all of it beside what is there, then
/// the one octet that says which of two states counts. So what a crash tears is never what counts,
/// and what counts and does not read is damage from elsewhere: it is refused. (With one phase, as
/// is redb's default, a damaged last commit could not be told from a torn one and would be dropped
/// in silence; a message that is made to measure could even pass for a whole one.)
pub(super) fn open_in(storage: impl StorageBackend) -> io::Result<Database> {
    // redb takes a file that was damaged behind its back for a defect of its own.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        mend(&storage)?;
        let looked = Arc::new(AtomicBool::new(false));
        let looks = Arc::clone(&looked);
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE);
        // The older format says that it was mended in the same sync as what it mended: after a crash
        // in between it takes pages for free that are not.
        builder.create_with_file_format_v3(true);
        builder.set_repair_callback(move |_| looks.store(true, Ordering::Relaxed));
        let mut file = builder.create_with_backend(storage).map_err(unusable)?;
        // A repair has compared all checksums; a file that was closed is taken on trust.
        if !looked.load(Ordering::Relaxed) {
            file.check_integrity().map_err(unusable)?;
        }
        Ok(file)
    }));
    opened.unwrap_or_else(|_| Err(StoreError::UNREADABLE.into()))
}

/// Makes an empty store under another name, and gives it its own when it is safe.
fn make(path: &Path) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    name.push(format!(".{}-{count}.new", std::process::id()));
    let new = path.with_file_name(name);
    let made = fill(&new).and_then(|()| publish(&new, path));
    // It has its own name now, or another broker was faster.
    let _ = fs::remove_file(&new);
    made
}

fn fill(new: &Path) -> io::Result<()> {
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(new)?;
    drop(open_in(FileBackend::new(options.try_clone()?).map_err(unusable)?)?);
    options.sync_all()
}

fn publish(new: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(new, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Ok(()) => {}
        // Not every file system has links.
        Err(_) => fs::rename(new, path)?,
    }
    sync_directory(path)
}

/// The name is as safe as the file.
#[cfg(unix)]
fn sync_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// The start of redb's file: whose it is, a flag octet, and of how many pages it is made.
struct Header {
    open: bool,
    region_header: u32,
    region: u32,
    regions: u32,
    trailing: u32,
}

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const HEADER: usize = 320;
const PAGE: u64 = 4096;

/// More of them redb does not make (4 TiB).
const MOST_REGIONS: u32 = 1_000;

impl Header {
    fn read(octets: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let four = octets.get(at..at + 4)?;
            Some(u32::from_le_bytes(four.try_into().ok()?))
        };
        let header = Header {
            // While it is set the file is open, or was when the broker died.
            open: octets.get(MAGIC.len())? & 2 != 0,
            region_header: number(16)?,
            region: number(20)?,
            regions: number(24)?,
            trailing: number(28)?,
        };
        let plausible = u64::from(number(12)?) == PAGE
            && header.region_header <= 4096
            && header.region <= 1 << 20
            && header.trailing < header.region
            && header.regions <= MOST_REGIONS;
        plausible.then_some(header)
    }

    /// How long the file is meant to be.
    fn length(&self) -> u64 {
        let pages = |count: u32| (u64::from(self.region_header) + u64::from(count)) * PAGE;
        let trailing = if self.trailing > 0 { pages(self.trailing) } else { 0 };
        PAGE + u64::from(self.regions) * pages(self.region) + trailing
    }
}

/// A crash may have cut a file that was growing, or left it longer than it says: redb takes
/// neither. Nothing that was committed is in that difference.
fn mend(storage: &impl StorageBackend) -> io::Result<()> {
    let found = storage.len()?;
    if found == 0 {
        return Ok(());
    }
    let start = storage.read(0, usize::try_from(found).unwrap_or(HEADER).min(HEADER))?;
    if !start.starts_with(MAGIC) {
        return Err(StoreError::NotAStore.into());
    }
    let header = Header::read(&start).ok_or(StoreError::UNREADABLE)?;
    let whole = found - found % PAGE;
    let length = match header.open {
        true => whole.max(header.length()),
        false => header.length(),
    };
    if length != found { storage.set_len(length) } else { Ok(()) }
}
