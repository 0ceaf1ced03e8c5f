//! Row 36: a headers binding whose `x-match` is written by hand. RabbitMQ: 406 "Invalid x-match field value".

use hopmq::{Chan, Classic, Error, Exchange, Headers, Open, Queue};

async fn wrong(
    chan: Chan<Open>,
    inbox: Queue<Classic>,
    reports: Exchange<Headers>,
) -> Result<(), Error> {
    chan.bind(&inbox, &reports, [("x-match", "some"), ("format", "pdf")]).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
