//! A disk that loses what was not synced: at a crash any part of it is there and any part is not,
//! and the last write is torn. A failure prints its seed.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Database, StorageBackend};

use super::{Store, StoreError, file, prepare, restore, write};
use crate::{
    broker::core::{At, Body, ConnId, Content, Core, Introduction, Limits, Name, User, mixed},
    fsm::Time,
    wire::{
        RawTable, ShortStr,
        method::{basic, queue},
    },
};

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write(at, octets) => {
                to.resize(to.len().max(at + octets.len()), 0);
                to[*at..at + octets.len()].copy_from_slice(octets);
            }
            Change::Length(length) => to.resize(*length, 0),
        }
    }
}

#[derive(Debug)]
struct State {
    /// What the machine sees, and what is safe.
    seen: Vec<u8>,
    safe: Vec<u8>,
    unsynced: Vec<Change>,
    /// Changes until the crash.
    left: u64,
}

/// A disk, to be shared with the test.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn new(safe: Vec<u8>, left: u64) -> Self {
        let state = State { seen: safe.clone(), safe, unsynced: Vec::new(), left };
        Disk(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn change(&self, change: Option<Change>) -> io::Result<()> {
        let mut state = self.state();
        let State { seen, safe, unsynced, left } = &mut *state;
        if *left == 0 {
            return Err(io::Error::other("it has crashed"));
        }
        *left -= 1;
        match change {
            Some(change) => {
                change.apply(seen);
                unsynced.push(change);
            }
            None if *left > 0 => unsynced.drain(..).for_each(|change| change.apply(safe)),
            None => {}
        }
        if *left > 0 { Ok(()) } else { Err(io::Error::other("it crashes")) }
    }

    fn has_crashed(&self) -> bool {
        self.state().left == 0
    }

    /// What a crash leaves.
    fn crash(&self, random: &mut Random) -> Vec<u8> {
        let mut state = self.state();
        let mut safe = state.safe.clone();
        let mut unsynced = std::mem::take(&mut state.unsynced);
        let kept = random.below(5);
        unsynced.retain(|_| random.below(4) < kept);
        if let Some(Change::Write(at, octets)) = unsynced.last_mut() {
            // It is torn: the one part of it is there, or the other.
            let torn = random.below(octets.len() as u64 + 1) as usize;
            match random.below(2) {
                0 => octets.truncate(torn),
                _ => {
                    *at += torn;
                    octets.drain(..torn);
                }
            }
        }
        unsynced.iter().for_each(|change| change.apply(&mut safe));
        safe
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().seen.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let found =
            self.state().seen.get(offset as usize..offset as usize + len).map(<[u8]>::to_vec);
        found.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Some(Change::Length(len as usize)))
    }

    fn sync_data(&self, _: bool) -> io::Result<()> {
        self.change(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Some(Change::Write(offset as usize, data.to_vec())))
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = mixed(self.0);
        (self.0 >> 11) % sides
    }
}

const NOW: Time = Time::from_secs(1);
const AT: At = At { conn: ConnId(1), channel: 1 };

/// A broker on such a disk.
struct Play {
    core: Core,
    file: Database,
}

impl Play {
    fn open(disk: Disk) -> io::Result<Self> {
        let mut core = Core::new(Limits::default(), 1_000, 1);
        core.add_user(
            "u",
            User { password: Vec::new(), permissions: crate::broker::Permissions::all() },
        );
        let file = file::open_in(disk)?;
        restore(&file, &mut core)?;
        core.keep();
        let who = Introduction { user: Name::from("u"), cancel_notify: true, blocked_notify: true };
        core.open(AT.conn, &Name::from("/"), who).unwrap();
        core.open_channel(AT);
        Ok(Play { core, file })
    }

    /// The numbers of the messages that wait, in order.
    fn found(&mut self) -> Vec<u64> {
        let waiting = self.core.inspect_messages("/", "q", usize::MAX, NOW);
        let number = |body: &Bytes| {
            let number = u64::from_be_bytes(body[..8].try_into().unwrap());
            assert!(body[8..].iter().all(|octet| *octet == number as u8), "{number} is garbled");
            number
        };
        waiting.iter().map(|message| number(&message.body)).collect()
    }

    fn declare(&mut self) {
        let declare = queue::Declare {
            queue: ShortStr::new("q").unwrap(),
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::EMPTY,
        };
        self.core.queue_declare(AT, &declare, NOW).unwrap();
    }

    fn publish(&mut self, number: u64, size: usize) {
        let publish = basic::Publish {
            exchange: ShortStr::empty(),
            routing_key: ShortStr::new("q").unwrap(),
            mandatory: false,
            immediate: false,
        };
        // With delivery mode 2.
        let properties = Bytes::from_static(&[0x10, 0, 2]);
        let body = [&number.to_be_bytes()[..], &vec![number as u8; size]].concat();
        let content = Content { properties, body: Body::from(Bytes::from(body)) };
        self.core.publish(AT, &publish, content, NOW).unwrap();
    }

    fn take(&mut self) {
        let get = basic::Get { queue: ShortStr::new("q").unwrap(), no_ack: true };
        self.core.get(AT, &get, NOW).unwrap();
        self.core.take_outputs(AT.conn, &mut Vec::new());
    }

    /// Stores what has changed, as the thread that writes does.
    fn store(&mut self) -> io::Result<()> {
        let Some(batch) = self.core.take_batch() else { return Ok(()) };
        write(&self.file, &batch)?;
        self.core.batch_stored(batch.number, NOW);
        Ok(())
    }
}

/// Crashes at any change of the disk, while it opens what the last crash left, too. What was
/// stored when it was confirmed is all there; of the batch that was under way all or nothing.
fn crash_again_and_again(seed: u64) {
    let mut random = Random(seed);
    let mut image = Vec::new();
    let (mut stored, mut tried) = (Vec::new(), Vec::new());
    let mut next = 0;
    for life in 0..8 {
        let patience = [40, 150, 600][random.below(3) as usize];
        let left = match image.is_empty() {
            // It is made under another name, and what a crash leaves of that is thrown away.
            true => u64::MAX,
            false => 1 + random.below(patience),
        };
        let disk = Disk::new(std::mem::take(&mut image), left);
        let opened = Play::open(disk.clone());
        if let Ok(mut play) = opened {
            let found = play.found();
            assert!(
                found == stored || found == tried,
                "seed {seed}, life {life}: {found:?} is neither {stored:?} nor {tried:?}"
            );
            stored = found;
            play.declare();
            for _ in 0..random.below(20) {
                for _ in 0..random.below(4) {
                    let size = [10, 3_000, 3_000, 100_000][random.below(4) as usize];
                    play.publish(next, random.below(size) as usize);
                    next += 1;
                }
                for _ in 0..random.below(4) {
                    play.take();
                }
                tried = play.found();
                if play.store().is_err() {
                    break;
                }
                stored.clone_from(&tried);
            }
        } else {
            let error = opened.err();
            assert!(disk.has_crashed(), "seed {seed}, life {life}: refused: {error:?}");
        }
        image = disk.crash(&mut random);
    }
}

#[test]
fn whatever_a_crash_tears_what_was_confirmed_is_there_and_nothing_is_refused() {
    let (until, mut seed) = (Instant::now() + Duration::from_secs(2), 0);
    // A busy machine gets through fewer.
    while seed < 4 || (seed < 100 && Instant::now() < until) {
        crash_again_and_again(seed);
        seed += 1;
    }
}

/// A disk that writes in an order of its own: of two changes that opening it makes between syncs
/// the one is there and the other is not.
#[test]
fn a_crash_while_it_is_mended_leaves_it_to_be_mended_again() {
    let [(image, all), _] = stores();
    for left in 1.. {
        let disk = Disk::new(image.clone(), left);
        if Play::open(disk.clone()).is_ok() {
            assert!(left > 10, "it crashed {left} times while it was opened");
            return;
        }
        let state = disk.state();
        for missing in 0..state.unsynced.len() {
            let mut safe = state.safe.clone();
            let there = state.unsynced.iter().enumerate().filter(|(index, _)| *index != missing);
            there.for_each(|(_, change)| change.apply(&mut safe));
            let what = format!("crashed at change {left}, without {missing}");
            assert!(all_or_refused(safe, &all, &what), "{what}: refused");
        }
    }
}

mod long {
    use super::*;

    #[ignore = "long: run tests/run --long"]
    #[test]
    fn a_thousand_histories_of_crashes_lose_nothing_confirmed() {
        (0..1_000).for_each(crash_again_and_again);
    }
}

/// A store with messages, as it is after a crash and after it was closed.
fn stores() -> [(Vec<u8>, Vec<u64>); 2] {
    let disk = Disk::new(Vec::new(), u64::MAX);
    let mut play = Play::open(disk.clone()).unwrap();
    play.declare();
    for number in 0..30 {
        play.publish(number, 3_000);
        play.store().unwrap();
    }
    (0..10).for_each(|_| play.take());
    play.store().unwrap();
    let found = play.found();
    let crashed = disk.state().safe.clone();
    drop(play);
    let closed = disk.state().safe.clone();
    [(crashed, found.clone()), (closed, found)]
}

/// What was damaged serves all that was confirmed, or is refused as damaged.
fn all_or_refused(image: Vec<u8>, all: &[u64], what: &str) -> bool {
    let disk = Disk::new(image, u64::MAX);
    match Play::open(disk.clone()) {
        Ok(mut play) => {
            assert_eq!(play.found(), all, "{what}");
            // It goes on, and writes over nothing that counts.
            play.publish(1_000, 100);
            play.store().unwrap();
            drop(play);
            let mut play = Play::open(disk).unwrap();
            assert_eq!(play.found(), [all, &[1_000]].concat(), "{what}, one message later");
            true
        }
        Err(error) => {
            let why = error.get_ref().and_then(|inner| inner.downcast_ref());
            assert!(matches!(why, Some(StoreError::Damaged { .. })), "{what}: {error:?}");
            false
        }
    }
}

/// Where a file of that length may be cut, or go wrong: near its end, and near its start.
fn places(length: usize) -> impl Iterator<Item = usize> {
    let ends = [1, 4095, 4096, 5000, 100_000].map(|octets| length - octets);
    ends.into_iter().chain([2, 4, 8, 16, 32, 64].map(|part| length / part)).chain([4096, 400])
}

#[test]
fn a_tail_that_is_cut_costs_nothing_that_was_confirmed_or_the_file_is_refused() {
    for (image, all) in stores() {
        let served = |length: &usize| {
            let cut = image[..*length].to_vec();
            all_or_refused(cut, &all, &format!("cut to {length}"))
        };
        let (served, refused): (Vec<_>, Vec<_>) = places(image.len()).partition(served);
        assert!(!served.is_empty() && !refused.is_empty(), "{served:?}, {refused:?}");
    }
}

#[test]
fn a_tail_of_garbage_costs_nothing_that_was_confirmed_or_the_file_is_refused() {
    for (image, all) in stores() {
        for more in [1, 4096, 1_000_003] {
            let longer = [&image[..], &vec![0xa5; more]].concat();
            assert!(all_or_refused(longer, &all, "longer"), "{more} octets behind the end");
        }
        let served = |start: &usize| {
            let mut garbled = image.clone();
            garbled[*start..].fill(0xa5);
            all_or_refused(garbled, &all, &format!("garbage from {start}"))
        };
        let (served, refused): (Vec<_>, Vec<_>) = places(image.len()).partition(served);
        assert!(!served.is_empty() && !refused.is_empty(), "{served:?}, {refused:?}");
    }
}

#[test]
fn one_wrong_octet_anywhere_is_found() {
    let mut random = Random(7);
    for (image, all) in stores() {
        for _ in 0..8 {
            let at = 4096 + random.below(200_000) as usize;
            let mut wrong = image.clone();
            wrong[at] ^= 0x10;
            all_or_refused(wrong, &all, &format!("octet {at}"));
        }
    }
}

#[test]
fn a_batch_that_could_not_be_written_is_written_to_the_file_that_is_opened_anew() {
    let path = std::env::temp_dir().join(format!("hopmq-torn-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut play = Play::open(Disk::new(Vec::new(), u64::MAX)).unwrap();
    play.declare();
    play.publish(1, 10);
    let batch = play.core.take_batch().unwrap();

    let disk = Disk::new(Vec::new(), u64::MAX);
    let file = file::open_in(disk.clone()).unwrap();
    prepare(&file).unwrap();
    disk.state().left = 3;
    let mut store = Store { path: path.clone(), file: Some(file) };
    assert!(store.write(&batch).is_err());
    store.write(&batch).unwrap();
    drop(store);

    let mut core = Core::new(Limits::default(), 1_000, 1);
    let store = Store::open(&path, &mut core).unwrap();
    assert_eq!(core.inspect_messages("/", "q", 10, NOW).len(), 1);
    drop(store);
    std::fs::remove_file(path).unwrap();
}
