//! What is completed does not fail: its message is settled.

use hopmq::service::*;

async fn wrong(job: Job<(), Processing>) -> Result<(), hopmq::Error> {
    let job = job.complete()?;
    job.fail(Failure::retry("too late")).await?;
    Ok(())
}

fn main() {}
