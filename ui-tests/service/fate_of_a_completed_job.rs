//! Only what failed has a fate.

use hopmq::service::*;

fn wrong(job: Job<(), Completed>) -> Fate {
    job.fate()
}

fn main() {}
