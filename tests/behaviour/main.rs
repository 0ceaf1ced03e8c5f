//! What the library does, on the embedded broker and on RabbitMQ alike: each behaviour is written once and
//! runs as `embedded::name` and as `rabbitmq::name`.

#[macro_use]
mod place;

mod bodies;
mod channels;
mod connecting;
mod consuming;
mod counting;
mod draining;
mod dropping;
mod events;
mod exchanges;
mod faults;
mod isolation;
mod limits;
mod lossless;
#[path = "../node/mod.rs"]
mod node;
mod ordering;
mod outages;
mod proxy;
mod publishing;
mod publishing_all;
mod queues;
mod surviving;
mod tokens;
mod transactions;
