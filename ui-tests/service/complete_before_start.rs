//! A pending job is begun before it is completed.

use hopmq::service::*;

fn wrong(job: Job<Message<String>>) {
    let _ = job.complete();
}

fn main() {}
