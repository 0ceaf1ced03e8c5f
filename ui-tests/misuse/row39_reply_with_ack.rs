//! Row 39: a direct reply is acknowledged. RabbitMQ: 406 "reply consumer cannot acknowledge".

use hopmq::{Classic, Exchange, Queue, RpcClient, RpcError};

async fn wrong(client: RpcClient, squares: Queue<Classic>) -> Result<(), RpcError> {
    let reply = client.call(&Exchange::default_exchange(), &squares, [7]).await?;
    reply.ack();
    Ok(())
}

fn main() {
    let _ = wrong;
}
