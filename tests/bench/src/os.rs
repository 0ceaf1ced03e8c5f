//! What the operating system knows of this process: cores, CPU time, memory, allocations, system calls.

use std::{
    fs, io, mem, ptr,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// Binds this process, and every thread it starts from now on, to one core.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: a zeroed cpu_set_t is an empty set; CPU_SET checks its bounds.
    let result = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// CPU time of this process so far, user and system, all threads.
pub fn cpu_time() -> Duration {
    // SAFETY: getrusage fills the struct that it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let of = |time: libc::timeval| {
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000)
    };
    of(usage.ru_utime) + of(usage.ru_stime)
}

/// The largest resident memory of this process so far, in bytes.
pub fn peak_memory() -> u64 {
    status("VmHWM:")
}

/// The resident memory of this process, in bytes, with what the allocator holds in reserve given back.
pub fn memory() -> u64 {
    // SAFETY: it has no preconditions.
    unsafe { libc::malloc_trim(0) };
    status("VmRSS:")
}

fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or_default();
    kib * 1024
}

/// A connection wants a file descriptor: as many as the system lets this process have.
pub fn raise_file_limit() {
    // SAFETY: both calls work on the struct that they are given.
    unsafe {
        let mut limit: libc::rlimit = mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

// --- allocations ---

/// Whether allocations are counted: it costs a little, so it is on only in runs that are not timed.
pub static COUNT_ALLOCATIONS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Allocations so far, while they were counted.
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

fn count_allocation() {
    if COUNT_ALLOCATIONS.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// The C library's allocator, counted: not Rust's global allocator, so that a client in C counts alike.
#[cfg(target_env = "gnu")]
mod counted {
    use libc::{c_void, size_t};

    unsafe extern "C" {
        fn __libc_malloc(size: size_t) -> *mut c_void;
        fn __libc_calloc(count: size_t, size: size_t) -> *mut c_void;
        fn __libc_realloc(block: *mut c_void, size: size_t) -> *mut c_void;
    }

    // SAFETY (all three): the same contract as the C library's, to which they pass everything on;
    // its `free` takes what they give.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn malloc(size: size_t) -> *mut c_void {
        super::count_allocation();
        unsafe { __libc_malloc(size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn calloc(count: size_t, size: size_t) -> *mut c_void {
        super::count_allocation();
        unsafe { __libc_calloc(count, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(block: *mut c_void, size: size_t) -> *mut c_void {
        super::count_allocation();
        unsafe { __libc_realloc(block, size) }
    }
}

// --- system calls ---

/// Counts the system calls of this process and of the threads it starts from now on, by the kernel's
/// own tracepoint: unlike a tracer it slows nothing down that would change what is counted.
pub struct SystemCalls {
    counter: libc::c_int,
}

impl SystemCalls {
    /// None where the kernel does not let us: it takes root and a mounted tracefs.
    pub fn count() -> Option<Self> {
        const TRACEPOINT: u32 = 2;
        const INHERIT: u64 = 1 << 1;
        let id = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].iter().find_map(|root| {
            fs::read_to_string(format!("{root}/events/raw_syscalls/sys_enter/id")).ok()
        })?;
        // perf_event_attr, its first published size: type, size, config, then flags in the sixth word.
        let mut attributes = [0_u64; 8];
        attributes[0] = u64::from(TRACEPOINT) | (64 << 32);
        attributes[1] = id.trim().parse().ok()?;
        attributes[5] = INHERIT;
        // SAFETY: the kernel reads as many bytes as the size within says.
        let counter = unsafe {
            libc::syscall(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0_u64)
        };
        let counter = libc::c_int::try_from(counter).ok().filter(|counter| *counter >= 0)?;
        Some(SystemCalls { counter })
    }

    /// How many there were so far.
    pub fn so_far(&self) -> u64 {
        let mut value = 0_u64;
        // SAFETY: it writes at most the eight bytes of `value`.
        let read = unsafe { libc::read(self.counter, ptr::from_mut(&mut value).cast(), 8) };
        if read == 8 { value } else { 0 }
    }
}
