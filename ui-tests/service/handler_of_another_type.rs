//! A handler takes messages, not payloads.

use hopmq::Consumer;
use hopmq::service::*;

async fn wrong(consumer: Consumer) {
    let handler = async |order: String| Ok::<_, Failure>(drop(order));
    let _ = Worker::<String, Text>::new(consumer, Text).run(handler).await;
}

fn main() {}
