//! A job is completed once.

use hopmq::service::*;

fn wrong(job: Job<(), Processing>) -> Result<(), hopmq::Error> {
    job.complete()?;
    job.complete()?;
    Ok(())
}

fn main() {}
