//! Row 36: a headers binding that matches neither all nor any. RabbitMQ: 406 "Invalid x-match field value".

use hopmq::{Chan, Classic, Error, Exchange, Headers, Match, Open, Queue};

async fn wrong(
    chan: Chan<Open>,
    inbox: Queue<Classic>,
    reports: Exchange<Headers>,
) -> Result<(), Error> {
    chan.bind(&inbox, &reports, Match::some([("format", "pdf")])).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
