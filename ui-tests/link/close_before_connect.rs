use hopmq::link::{Disconnected, Link, Service};

async fn wrong<T: Service>(link: Link<Disconnected, T>) {
    link.close().await;
}

fn main() {}
