use hopmq::link::{Disconnected, Link, Service};

fn wrong<T: Service>(link: &Link<Disconnected, T>) {
    let _ = link.session();
}

fn main() {}
