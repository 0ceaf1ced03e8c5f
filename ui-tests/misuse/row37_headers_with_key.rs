//! Row 37: a headers exchange is bound with a routing key. RabbitMQ ignores the key in silence.

use hopmq::{Chan, Classic, Error, Exchange, Headers, Open, Queue};

async fn wrong(
    chan: Chan<Open>,
    inbox: Queue<Classic>,
    reports: Exchange<Headers>,
) -> Result<(), Error> {
    chan.bind(&inbox, &reports, "report.pdf").await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
