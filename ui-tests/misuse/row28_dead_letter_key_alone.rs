//! Row 28: a dead-letter routing key without its exchange. RabbitMQ: 406 "routing_key_but_no_dlx_defined".

use hopmq::{Chan, Error, Open, Queue};

async fn wrong(chan: Chan<Open>) -> Result<(), Error> {
    chan.declare(Queue::quorum("inbox").dead_letter_routing_key("expired")).await?;
    Ok(())
}

fn main() {
    let _ = wrong;
}
