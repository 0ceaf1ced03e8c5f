//! What the types say. The programs that do not compile are under `ui-tests/link`.

use hopmq::link::{
    CanDial, Closed, Closing, Connected, Connecting, Disconnected, IsLinked, Lease, Link, Monitor,
    Ready, Transitions,
};

use crate::fake::Fake;

const fn free<T: Send + Sync + 'static>() {}
const fn unpin<T: Unpin>() {}
const fn can_connect<T: CanDial>() {}
const fn is_connected<T: IsLinked>() {}

#[test]
fn handles_and_futures_go_everywhere() {
    free::<Link<Disconnected, Fake>>();
    free::<Link<Connected, Fake>>();
    free::<(Connecting<Fake>, Closing<Fake>, Ready<Fake>, Closed<Fake>)>();
    free::<(Lease<Fake>, Monitor, Transitions)>();
    unpin::<(Connecting<Fake>, Closing<Fake>, Closed<Fake>)>();
    can_connect::<Link<Disconnected, Fake>>();
    is_connected::<Link<Connected, Fake>>();
    assert_eq!(size_of::<Link<Connected, Fake>>(), size_of::<usize>());
}
