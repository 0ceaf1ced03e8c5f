//! A job is begun once.

use hopmq::service::*;

fn wrong(job: Job<()>) {
    let job = job.start();
    let _ = job.start();
}

fn main() {}
