//! Row 37: a fanout exchange is bound with a pattern. RabbitMQ ignores the pattern in silence.

use hopmq::{Chan, Classic, Error, Exchange, Fanout, Open, Queue};

async fn wrong(
    chan: Chan<Open>,
    inbox: Queue<Classic>,
    news: Exchange<Fanout>,
) -> Result<(), Error> {
    chan.bind(&inbox, &news, "sport.*").await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
