//! Services: typed messages, workers, retries, publishers, on the embedded broker and on RabbitMQ alike.

#[allow(dead_code, unused_macros)] // Of the suite that it belongs to.
#[macro_use]
#[path = "../behaviour/place.rs"]
mod place;
#[path = "../node/mod.rs"]
mod node;

mod calling;
mod failing;
mod health;
mod jobs;
mod kit;
mod measuring;
mod middleware;
mod pool_faults;
mod pools;
mod publishing;
mod recovering;
mod relaying;
mod together;
mod traces;
mod working;
