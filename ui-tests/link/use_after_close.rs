use hopmq::link::{Connected, Disconnected, Link, Service};

async fn wrong<T: Service>(link: Link<Connected, T>) {
    let closed: Link<Disconnected, T> = link.close().await;
    let _ = link.session();
    drop(closed);
}

fn main() {}
