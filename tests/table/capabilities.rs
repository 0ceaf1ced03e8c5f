//! Each state has exactly the capabilities that the table gives it, and nothing else has any.

use std::sync::Arc;

use hopmq::{
    Chan, Closed, Confirming, Conn, Connected, Disconnected, Open, Transactional,
    broker::{
        Broker, CanListen, Draining, HoldsState, IsDraining, IsListening, IsServing, IsStopped,
        Listening, Stopped, Unbound,
    },
    capability::{
        CanConnect, CanReopen, CanSelectMode, HasReturns, InConfirmMode, InPlainMode,
        InTransactionMode, IsConnected, IsOpen,
    },
    peer::{IsClosedQueue, IsOpenQueue, MessageQueue},
    table::Legality,
};

use super::TABLES;

/// Whether a type has a capability. An associated constant of the type itself, which is there only
/// under the bound, goes before the trait's constant of the same name.
macro_rules! has {
    ($type:ty: $capability:path) => {{
        struct Probe<T>(std::marker::PhantomData<T>);
        #[allow(dead_code)]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T> Otherwise for Probe<T> {}
        #[allow(dead_code)]
        impl<T: $capability> Probe<T> {
            const HAS: bool = true;
        }
        <Probe<$type>>::HAS
    }};
}

/// What the compiler finds of one handle in one state.
pub(crate) struct Fact {
    pub(crate) handle: &'static str,
    pub(crate) state: &'static str,
    pub(crate) capability: &'static str,
    pub(crate) holds: bool,
}

macro_rules! facts {
    ($facts:ident: $handle:ident in [$($state:ident),+] has $capabilities:tt) => {
        $(facts!($facts: $handle $state $capabilities);)+
    };
    ($facts:ident: $handle:ident $state:ident [$($capability:ident),+ $(,)?]) => {
        $($facts.push(Fact {
            handle: stringify!($handle),
            state: stringify!($state),
            capability: stringify!($capability),
            holds: has!($handle<$state>: $capability),
        });)+
    };
}

pub(crate) fn facts() -> Vec<Fact> {
    let mut facts = Vec::new();
    facts!(facts: Conn in [Disconnected, Connected] has [
        CanConnect, IsConnected, IsOpen, CanSelectMode, InConfirmMode, InTransactionMode,
        InPlainMode, HasReturns, CanReopen,
    ]);
    facts!(facts: Chan in [Open, Confirming, Transactional, Closed] has [
        CanConnect, IsConnected, IsOpen, CanSelectMode, InConfirmMode, InTransactionMode,
        InPlainMode, HasReturns, CanReopen,
    ]);
    facts!(facts: Broker in [Unbound, Listening, Draining, Stopped] has [
        CanListen, IsListening, IsServing, IsDraining, HoldsState, IsStopped,
    ]);
    facts!(facts: MessageQueue in [Open, Closed] has [IsOpenQueue, IsClosedQueue]);
    facts
}

#[test]
fn every_state_has_the_capability_of_an_operation_exactly_where_it_is_legal() {
    let facts = facts();
    let mut wrong = Vec::new();
    for table in TABLES {
        for (state, operation, legality) in table.pairs() {
            let fact = facts.iter().find(|fact| {
                (fact.handle, fact.state, fact.capability)
                    == (table.handle, state, operation.capability)
            });
            let fact = fact.unwrap_or_else(|| {
                panic!("{}<{state}>: {} is not probed", table.handle, operation.capability)
            });
            if fact.holds != (legality != Legality::Illegal) {
                wrong.push(format!(
                    "{}<{state}>::{}: {legality:?} in the table, {} {}",
                    table.handle,
                    operation.name,
                    operation.capability,
                    if fact.holds { "implemented" } else { "not implemented" },
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The other way round: a capability that no operation of the table asks for is one too many.
#[test]
fn no_state_has_a_capability_that_leads_nowhere() {
    for fact in facts().iter().filter(|fact| fact.holds) {
        let asked = TABLES.iter().filter(|table| table.handle == fact.handle).any(|table| {
            table.operations.iter().any(|operation| operation.capability == fact.capability)
        });
        assert!(asked, "{}<{}>: {}", fact.handle, fact.state, fact.capability);
    }
}

/// Neither what holds a handle has a capability, nor what has nothing to do with one.
#[test]
fn only_handles_have_capabilities() {
    assert!(!has!(&Chan<Open>: IsOpen) && !has!(Arc<Chan<Open>>: IsOpen));
    assert!(!has!(&Conn<Connected>: IsConnected) && !has!(Open: IsOpen) && !has!((): IsOpen));
}

#[test]
fn the_probe_tells_both() {
    assert!(has!(Arc<()>: Clone) && has!(u8: Copy));
    assert!(!has!(Arc<()>: Copy) && !has!(Chan<Open>: Clone) && !has!(Conn<Connected>: Clone));
}
