//! The supervisor's table: what is legal in which state, and where it may lead.

use super::keeper::Keeper;
use super::vocabulary::{Event, Kind, State};
use crate::fsm::{Context, Node, Row, Table, on, on_deadline};
use Kind::{Clear, Close, Connect, Degrade, Drained, Failed, Lost, Opened, Recovered, Reset};
use State::{
    CircuitOpen, Closed, Closing, Connected, Connecting, Degraded, Disconnected, Reconnecting,
    Recovering,
};

/// The table. See the diagram in the module's documentation.
pub(super) const TABLE: Table<Keeper> = Table::new(
    Disconnected,
    &[
        Node::new(
            Disconnected,
            &[on(Connect).to(&[Connecting]), on(Close).to(&[Closing]), late(Opened), late(Failed)],
        ),
        Node::new(
            Connecting,
            &[
                answer(Opened).to(&[Connected]),
                answer(Failed).to(&[Reconnecting, Disconnected]),
                on_deadline().to(&[Reconnecting, Disconnected]),
                on(Close).to(&[Closing]),
            ],
        ),
        Node::new(
            Connected,
            &[
                on(Degrade).to(&[Degraded]).ignores(),
                on(Clear).ignores(),
                on(Lost).to(&[Reconnecting, Closed]),
                on(Close).to(&[Closing]),
                late(Opened),
                late(Failed),
            ],
        ),
        Node::new(
            Degraded,
            &[
                on(Degrade).completes().ignores(),
                on(Clear).to(&[Connected]).completes().ignores(),
                on(Lost).to(&[Reconnecting, Closed]),
                on(Close).to(&[Closing]),
                late(Opened),
                late(Failed),
            ],
        ),
        Node::new(
            Reconnecting,
            &[
                answer(Opened).to(&[Recovering, Connected, Degraded]),
                answer(Failed).to(&[Reconnecting, CircuitOpen, Closed]),
                // The wait is over, or the attempt has taken too long.
                on_deadline().completes().to(&[Reconnecting, CircuitOpen, Closed]),
                on(Close).to(&[Closing]),
                on(Degrade).completes().ignores(),
                on(Clear).completes().ignores(),
                on(Lost).ignores(),
                on(Recovered).ignores(),
            ],
        ),
        Node::new(
            Recovering,
            &[
                on(Recovered).to(&[Connected, Degraded]),
                on(Lost).to(&[Reconnecting, CircuitOpen, Closed]),
                on_deadline().to(&[Reconnecting, CircuitOpen, Closed]),
                on(Close).to(&[Closing]),
                on(Degrade).completes().ignores(),
                on(Clear).completes().ignores(),
                late(Opened),
                late(Failed),
            ],
        ),
        Node::new(
            CircuitOpen,
            &[
                on_deadline().to(&[Reconnecting]),
                on(Close).to(&[Closing]),
                on(Degrade).completes().ignores(),
                on(Clear).completes().ignores(),
                on(Lost).ignores(),
                on(Recovered).ignores(),
                late(Opened),
                late(Failed),
            ],
        ),
        Node::new(
            Closing,
            &[
                on(Drained).pends().ignores(),
                on(Kind::Closed).to(&[Closed]),
                on(Lost).to(&[Closed]),
                // First the draining, then the closing handshake may take too long.
                on_deadline().pends().to(&[Closed]),
                on(Close).ignores(),
                on(Degrade).ignores(),
                on(Clear).ignores(),
                on(Recovered).ignores(),
                late(Opened),
                late(Failed),
            ],
        ),
        Node::new(
            Closed,
            &[
                on(Reset).to(&[Disconnected]),
                on(Close).ignores(),
                on(Degrade).ignores(),
                on(Clear).ignores(),
                on(Lost).ignores(),
                on(Recovered).ignores(),
                on(Drained).ignores(),
                on(Kind::Closed).ignores(),
                late(Opened),
                late(Failed),
            ],
        ),
    ],
);

/// The answer to an attempt, where one may be under way; late answers to others have no effect.
const fn answer(kind: Kind) -> Row<Keeper> {
    on(kind).ignores().when(MADE, was_made)
}

/// A late answer to an attempt, where none is under way.
const fn late(kind: Kind) -> Row<Keeper> {
    answer(kind)
}

const MADE: &str = "the attempt is known";

fn was_made(keeper: &Keeper, event: &Event, _: &Context<State, Kind>) -> bool {
    match event {
        Event::Opened { attempt } | Event::Failed { attempt, .. } => keeper.has_made(*attempt),
        _ => true,
    }
}
