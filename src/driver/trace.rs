//! The connection's machine as spans and events: a span for each stay in a state, an event for each
//! transition, under the names that state and event have everywhere else.

use tracing::Span;

use crate::{
    fsm::{Label, supervisor::State},
    proto::{Change, EntityReport, NotRecovered},
};

/// The span of a stay in a state.
macro_rules! span_of {
    ($state:expr, $id:expr, [$($variant:ident),+]) => {
        match $state {
            $(State::$variant => {
                tracing::info_span!(parent: None, stringify!($variant), connection = $id)
            })+
        }
    };
}

/// An event with the name of what led to a transition.
macro_rules! event_of {
    ($change:expr, $id:expr, [$($name:literal),+]) => {
        match $change.transition.event() {
            $($name => event_of!(@emit $name, $change, $id),)+
            _ => event_of!(@emit "transition", $change, $id),
        }
    };
    (@emit $name:literal, $change:expr, $id:expr) => {
        tracing::info!(
            name: $name,
            connection = $id,
            from = $change.transition.from.name(),
            to = $change.transition.to.name(),
            event = $change.transition.event(),
            cause = $change.cause.as_deref().map(tracing::field::display),
            "connection state"
        )
    };
}

pub(super) fn span(state: State, id: u64) -> Span {
    span_of!(
        state,
        id,
        [
            Disconnected,
            Connecting,
            Connected,
            Degraded,
            Reconnecting,
            Recovering,
            CircuitOpen,
            Closing,
            Closed
        ]
    )
}

/// Tells of a transition within the span of the state that it leaves, and gives the next span.
pub(super) fn transition(span: &Span, change: &Change, id: u64) -> Span {
    span.in_scope(|| {
        event_of!(
            change,
            id,
            [
                "connect",
                "opened",
                "failed",
                "degrade",
                "clear",
                "lost",
                "recovered",
                "close",
                "drained",
                "closed",
                "reset",
                "deadline"
            ]
        );
    });
    self::span(change.transition.to, id)
}

/// Tells what became of an entity that could not be declared at once.
pub(super) fn entity(span: &Span, report: EntityReport, id: u64) {
    span.in_scope(|| match report {
        EntityReport::NotRecovered(NotRecovered { entity, reason }) => tracing::warn!(
            connection = id,
            entity = &*entity,
            reason = tracing::field::display(reason),
            "not recovered"
        ),
        EntityReport::Mended(entity) => {
            tracing::info!(connection = id, entity = &*entity, "recovered after all");
        }
    });
}
