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

/// An event with the name of what led to a transition: each name is a place in the code of its own.
macro_rules! events {
    ($($name:literal),+ $(,)?) => {
        fn event(change: &Change, id: u64) {
            match change.transition.event() {
                $($name => events!(@emit $name, change, id),)+
                _ => events!(@emit "transition", change, id),
            }
        }

        #[cfg(test)]
        const EVENTS: &[&str] = &[$($name),+];
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

events!(
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
    "deadline",
);

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
    span.in_scope(|| event(change, id));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsm::supervisor::Kind;

    #[test]
    fn spans_have_the_names_of_states() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            for state in State::ALL {
                let span = span(*state, 1);
                assert_eq!(span.metadata().map(|it| it.name()), Some(state.name()));
            }
        });
    }

    #[test]
    fn events_have_the_names_of_what_led_to_a_transition() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        names.push("deadline");
        names.sort_unstable();
        let mut ours = EVENTS.to_vec();
        ours.sort_unstable();
        assert_eq!(ours, names);
    }
}
