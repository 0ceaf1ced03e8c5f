//! Row 35: the default exchange is bound. RabbitMQ: 403 "operation not permitted on the default exchange".

use hopmq::{Chan, Classic, Error, Exchange, Open, Queue};

async fn wrong(chan: Chan<Open>, inbox: Queue<Classic>) -> Result<(), Error> {
    chan.bind(&inbox, &Exchange::default_exchange(), "inbox").await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
