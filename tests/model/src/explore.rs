//! Every state that can be reached, once each: depth first, by as many threads as there are cores.

use std::{
    collections::HashSet,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use crate::{
    Bounds,
    world::{Step, World},
};

/// What there is, when it was found to be right.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub states: u64,
    pub transitions: u64,
    /// The most steps from the start.
    pub depth: u64,
    pub took: Duration,
    /// What came to pass, as bits: see `world::seen`.
    pub seen: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { states, transitions, depth, took, .. } = self;
        write!(f, "{states} states, {transitions} transitions, at most {depth} steps, {took:.1?}")
    }
}

/// What is wrong, and the way there.
pub struct Wrong {
    pub what: String,
    pub way: Vec<Step>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, after {} steps:", self.what, self.way.len())?;
        self.way.iter().try_for_each(|step| writeln!(f, "    {step:?}"))
    }
}

/// A state on the way to which nothing was wrong.
struct Node {
    world: World,
    way: Option<Arc<Way>>,
    depth: u64,
}

/// How a state was reached, the last step first.
struct Way {
    step: Step,
    before: Option<Arc<Way>>,
}

fn steps(mut way: Option<&Arc<Way>>, last: Option<Step>) -> Vec<Step> {
    let mut steps: Vec<Step> = last.into_iter().collect();
    while let Some(here) = way {
        steps.push(here.step);
        way = here.before.as_ref();
    }
    steps.reverse();
    steps
}

/// Fingerprints are as good as any hash of them.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is one number");
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

type Prints = HashSet<u128, BuildHasherDefault<Itself>>;

struct Shared {
    bounds: Bounds,
    known: [Mutex<Prints>; 64],
    /// Work for whoever has none, and how many have none.
    spare: Mutex<(Vec<Node>, usize)>,
    changed: Condvar,
    threads: usize,
    transitions: AtomicU64,
    depth: AtomicU64,
    seen: AtomicU32,
    idle: AtomicU32,
    /// Something is wrong, and nobody goes on.
    over: AtomicBool,
    wrong: Mutex<Option<Wrong>>,
}

/// Explores all there is within the bounds, or as far as to what is wrong.
pub fn explore(bounds: &Bounds) -> Result<Report, Box<Wrong>> {
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let start = Node { world: World::new(bounds), way: None, depth: 0 };
    let shared = Shared {
        bounds: bounds.clone(),
        known: std::array::from_fn(|_| Mutex::default()),
        spare: Mutex::new((vec![start], 0)),
        changed: Condvar::new(),
        threads,
        transitions: AtomicU64::new(0),
        depth: AtomicU64::new(0),
        seen: AtomicU32::new(0),
        idle: AtomicU32::new(0),
        over: AtomicBool::new(false),
        wrong: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| shared.work());
        }
    });
    if let Some(wrong) = shared.wrong.lock().unwrap().take() {
        return Err(Box::new(wrong));
    }
    Ok(Report {
        states: 1 + shared
            .known
            .iter()
            .map(|known| known.lock().unwrap().len() as u64)
            .sum::<u64>(),
        transitions: shared.transitions.load(Relaxed),
        depth: shared.depth.load(Relaxed),
        took: began.elapsed(),
        seen: shared.seen.load(Relaxed),
    })
}

impl Shared {
    fn work(&self) {
        let mut nodes = Vec::new();
        loop {
            let Some(node) = nodes.pop().or_else(|| self.fetch()) else { return };
            self.expand(node, &mut nodes);
            if nodes.len() > 1 && self.idle.load(Relaxed) > 0 {
                // The oldest have the most behind them.
                let half = nodes.len() / 2;
                self.spare.lock().unwrap().0.extend(nodes.drain(..half));
                self.changed.notify_all();
            }
        }
    }

    /// Work of others, or nothing when all is done.
    fn fetch(&self) -> Option<Node> {
        let mut spare = self.spare.lock().unwrap();
        spare.1 += 1;
        self.idle.fetch_add(1, Relaxed);
        loop {
            if let Some(node) = spare.0.pop() {
                spare.1 -= 1;
                self.idle.fetch_sub(1, Relaxed);
                return Some(node);
            }
            if spare.1 == self.threads {
                self.changed.notify_all();
                return None;
            }
            spare = self.changed.wait(spare).unwrap();
        }
    }

    fn expand(&self, node: Node, nodes: &mut Vec<Node>) {
        if self.over.load(Relaxed) {
            return nodes.clear();
        }
        self.depth.fetch_max(node.depth, Relaxed);
        let moves = node.world.steps(&self.bounds);
        if moves.is_empty() {
            self.seen.fetch_or(node.world.seen_at_the_end(), Relaxed);
            if let Some(what) = node.world.unfinished(&self.bounds) {
                self.report(what.to_owned(), &node, None, nodes);
            }
        }
        for step in moves {
            let mut world = node.world.clone();
            let done = catch_unwind(AssertUnwindSafe(|| world.step(&self.bounds, step)));
            self.transitions.fetch_add(1, Relaxed);
            match done.unwrap_or_else(|_| Err("a panic".to_owned())) {
                Err(what) => return self.report(what, &node, Some(step), nodes),
                Ok(seen) => {
                    self.seen.fetch_or(seen, Relaxed);
                }
            }
            let print = world.print();
            let shard = (print >> 122) as usize;
            if self.known[shard].lock().unwrap().insert(print) {
                let way = Some(Arc::new(Way { step, before: node.way.clone() }));
                nodes.push(Node { world, way, depth: node.depth + 1 });
            }
        }
    }

    /// The first that is found is told; nobody goes on.
    fn report(&self, what: String, node: &Node, last: Option<Step>, nodes: &mut Vec<Node>) {
        let way = steps(node.way.as_ref(), last);
        self.wrong.lock().unwrap().get_or_insert(Wrong { what, way });
        self.over.store(true, Relaxed);
        nodes.clear();
    }
}
