//! A codec that does not know the payload.

use hopmq::service::*;

fn wrong(message: Message<u64>) {
    let _ = message.encode(&Text);
}

fn main() {}
