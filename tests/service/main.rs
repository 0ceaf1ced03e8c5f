//! Services: typed messages, workers, retries, publishers, on the embedded broker and on RabbitMQ alike.

#[allow(dead_code, unused_macros)] // Of the suite that it belongs to.
#[macro_use]
#[path = "../behaviour/place.rs"]
mod place;

mod calling;
mod failing;
mod jobs;
mod kit;
mod middleware;
mod publishing;
mod relaying;
mod working;
