use hopmq::link::{Connected, Link, Service};

async fn wrong<T: Service>(link: Link<Connected, T>) {
    let _ = link.connect().await;
}

fn main() {}
