//! The pure client against the pure broker, over a virtual network, in virtual time, with faults.
//!
//! Everything follows from a seed. `HOPMQ_SIM_SEEDS=100000` runs so many, from
//! `HOPMQ_SIM_FROM` on; a seed that fails prints itself, and `HOPMQ_SIM_SEED=n` replays it and
//! shows every step.

mod account;
mod app;
mod client;
mod ending;
mod faults;
mod link;
mod offsets;
mod random;
mod requests;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Why a seed fails, if it does.
fn failure(seed: u64, verbose: bool) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| ending::run(seed, verbose).failure)) {
        Ok(failure) => failure,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            Some(format!("panicked: {}", text.unwrap_or_default()))
        }
    }
}

/// Runs the seeds; of those that fail it shows a few.
fn judge(seeds: impl IntoIterator<Item = u64>, verbose: bool) {
    let failures = seeds.into_iter().filter_map(|seed| Some((seed, failure(seed, verbose)?)));
    let failures: Vec<(u64, String)> = failures.take(10).collect();
    for (seed, why) in &failures {
        println!("seed {seed}: {why}");
    }
    if let Some((seed, _)) = failures.first() {
        panic!("replay: HOPMQ_SIM_SEED={seed} cargo test --test sim many_seeds -- --nocapture");
    }
}

#[test]
fn many_seeds() {
    match number("HOPMQ_SIM_SEED") {
        Some(seed) => judge([seed], true),
        None => {
            let from = number("HOPMQ_SIM_FROM").unwrap_or(0);
            judge(from..from + number("HOPMQ_SIM_SEEDS").unwrap_or(1_000), false);
        }
    }
}

/// Seeds that have failed, and what they found.
const FOUND: [(u64, &str); 3] = [
    (241, "a channel whose close was held back by a commit, and which the broker closed, was kept"),
    (454, "the same"),
    (583, "the same"),
];

#[test]
fn seeds_that_have_failed_hold() {
    judge(FOUND.map(|(seed, _)| seed), false);
}

#[test]
fn a_seed_replays_step_by_step() {
    for seed in 0..5 {
        let (one, two) = (ending::run(seed, false), ending::run(seed, false));
        assert_eq!((one.print, one.steps, one.now), (two.print, two.steps, two.now));
        assert_eq!(one.account.count(), two.account.count());
    }
}

/// A simulation in which nothing happens finds nothing.
#[test]
fn the_runs_are_eventful() {
    let mut sums = [0; 5];
    for seed in 0..30 {
        let world = ending::run(seed, false);
        let epochs: u32 = world.clients.iter().map(|client| client.epoch + client.life).sum();
        let [confirmed, settled, drained] = world.account.count();
        let counts = [world.account.written(), confirmed, settled, drained, epochs as usize];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    println!("written, confirmed, settled, left, reconnects: {sums:?}");
    assert!(sums.iter().all(|sum| *sum > 30), "{sums:?}");
}

mod long {
    #[test]
    #[ignore = "long: run tests/run --long"]
    fn many_more_seeds() {
        super::judge(1_000_000..1_020_000, false);
    }
}
