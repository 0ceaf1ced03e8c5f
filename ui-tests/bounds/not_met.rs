//! A function's bound is checked where it is called, with the same advice.

use hopmq::{capability::InConfirmMode, *};

fn run<S: ChanState>(_: &Chan<S>)
where
    Chan<S>: InConfirmMode,
{
}

async fn wrong(chan: Chan<Open>) {
    run(&chan);
}

fn main() {}
