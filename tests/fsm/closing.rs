//! How a link ends, and begins again.

use hopmq::fsm::On;
use hopmq::fsm::supervisor::{Action, End, Event, State};

use crate::link::{CAUSE, LOST_FOR_GOOD, Link, everywhere, policy};

#[test]
fn close_from_every_state() {
    for (state, mut link) in everywhere() {
        let (was_up, was_dialling) = (link.up, link.dialling);
        match state {
            State::Closing | State::Closed => link.ignores(Event::Close),
            _ => link.does(Event::Close),
        }
        if let Some(attempt) = was_dialling {
            assert_eq!(link.actions[0], Action::AbortDial { attempt }, "in {state}");
        }
        if was_up {
            link.is(State::Closing);
            link.does(Event::Drained);
            link.does(Event::Closed);
        }
        link.is(State::Closed);
        assert_eq!(link.link.end(), Some(End::ByUs { clean: true }), "from {state}");
        assert_eq!(link.link.poll_timeout(), None);
    }
}

#[test]
fn closing_without_a_link_goes_through_closing_all_the_same() {
    let mut link = Link::failing(policy(), 3);
    link.does(Event::Close);
    let path: Vec<_> = link.transitions.iter().map(|transition| transition.to).collect();
    assert_eq!(path, [State::Closing, State::Closed]);
}

#[test]
fn closing_waits_for_what_is_under_way_but_not_for_ever() {
    let mut link = Link::connected(policy());
    link.does(Event::Close);
    assert_eq!(link.actions, [Action::Drain]);
    link.next_deadline();
    assert_eq!(link.actions, [Action::Close], "not all is done, but the time is over");
    assert_eq!(link.link.machine().context().pending(), Some(On::Deadline));
    link.ignores(Event::Drained);
    link.next_deadline();
    link.is(State::Closed);
    let end = End::ByUs { clean: false };
    assert_eq!(link.actions, [Action::Drop, Action::GiveUp(end)]);
}

#[test]
fn a_link_that_is_lost_while_closing_is_closed() {
    for (drained, clean) in [(false, false), (true, true)] {
        let mut link = Link::connected(policy());
        link.does(Event::Close);
        if drained {
            link.does(Event::Drained);
        }
        link.does(LOST_FOR_GOOD);
        link.is(State::Closed);
        assert_eq!(link.link.end(), Some(End::ByUs { clean }));
    }
}

#[test]
fn dialled_again_after_the_end() {
    let mut link = Link::connected(policy());
    link.does(LOST_FOR_GOOD);
    link.refuses(Event::Connect);
    link.does(Event::Reset);
    link.is(State::Disconnected);
    assert_eq!(link.actions, []);
    assert_eq!(link.link.end(), Some(End::Fatal { cause: CAUSE }), "until it is dialled");
    link.does(Event::Connect);
    link.opened();
    link.is(State::Connected);
    assert_eq!(link.link.end(), None);
}
