//! The channel's machine allows in each mode exactly the requests that the types allow, and leads
//! where they say.

use hopmq::{
    fsm::{Behaviour, Label, Machine, On, Time},
    proto::{ChannelBehaviour, ChannelEvent, ChannelState, Operation},
    table::{CHAN, Legality},
};

/// What each operation asks of the broker. Publishing is content, which asks nothing; what is made
/// of other operations asks what they do.
const REQUESTS: &[(&str, Option<Operation>)] = &[
    ("declare", Some(Operation::Declare)),
    ("bind", Some(Operation::Bind)),
    ("unbind", Some(Operation::Bind)),
    ("delete_exchange", Some(Operation::Remove)),
    ("delete_queue", Some(Operation::Remove)),
    // A passive declaration.
    ("counts", Some(Operation::Declare)),
    ("purge", Some(Operation::Remove)),
    ("consume", Some(Operation::Consume)),
    ("get", Some(Operation::Get)),
    ("confirm_select", Some(Operation::SelectConfirm)),
    ("tx_select", Some(Operation::SelectTx)),
    ("publish", None),
    ("publish_all", None),
    ("publish_unconfirmed", None),
    ("publish_all_unconfirmed", None),
    ("returns", None),
    ("publish_in_tx", None),
    ("publish_all_in_tx", None),
    ("commit", Some(Operation::Commit)),
    ("rollback", Some(Operation::Commit)),
    ("close", Some(Operation::Close)),
    ("publisher", None),
    ("rpc_client", None),
    ("reopen", Some(Operation::Open)),
];

/// What the machine is told of besides requests.
const TOLD: &[Operation] = &[
    Operation::Opened,
    Operation::Answer,
    Operation::CloseOk,
    Operation::ClosedByBroker,
    Operation::Interrupted,
    Operation::Lost,
];

/// The state of the machine that a state's type stands for.
fn state_of(name: &str) -> ChannelState {
    let states = ChannelState::ALL.iter().copied();
    states.into_iter().find(|state| state.name() == name).expect("a state of the machine")
}

fn request_of(operation: &str) -> Option<Operation> {
    let found = REQUESTS.iter().find(|(name, _)| *name == operation);
    found.unwrap_or_else(|| panic!("{operation} is in the table, but not in REQUESTS")).1
}

fn allows(state: ChannelState, request: Operation) -> bool {
    ChannelBehaviour::TABLE.rows(state, On::Event(request)).next().is_some()
}

#[test]
fn the_machine_allows_in_each_mode_what_the_types_allow() {
    for (state, operation, legality) in CHAN.pairs() {
        if let Some(request) = request_of(operation.name) {
            let legal = legality != Legality::Illegal;
            assert_eq!(allows(state_of(state), request), legal, "{} in {state}", operation.name);
        }
    }
}

#[test]
fn the_machine_allows_no_request_that_the_types_do_not() {
    for state in CHAN.states {
        for request in Operation::ALL.iter().copied().filter(|kind| !TOLD.contains(kind)) {
            // A prefetch goes out with the consumer that it is for.
            let asked = if request == Operation::Limit { Operation::Consume } else { request };
            let legal = CHAN.operations.iter().any(|operation| {
                request_of(operation.name) == Some(asked)
                    && operation.in_state(state) != Some(Legality::Illegal)
            });
            assert_eq!(allows(state_of(state), request), legal, "{request:?} in {state}");
        }
    }
}

#[test]
fn each_answer_leads_to_the_state_that_the_types_name() {
    for (state, operation, legality) in CHAN.pairs() {
        let (Legality::Legal { to }, Some(request)) = (legality, request_of(operation.name)) else {
            continue;
        };
        let mut machine = in_state(state_of(state));
        let (goes_out, answer) = match request {
            Operation::Close => (ChannelEvent::Close, ChannelEvent::CloseOk),
            Operation::Open => (ChannelEvent::Open, ChannelEvent::Opened { next: None }),
            request => {
                (ChannelEvent::Request(request), ChannelEvent::Answer { to: request, next: None })
            }
        };
        for event in [goes_out, answer] {
            let handled = machine.handle(Time::ZERO, event);
            assert!(handled.is_ok(), "{} in {state}: {event:?}: {handled:?}", operation.name);
        }
        assert_eq!(machine.state(), state_of(to), "{} in {state}", operation.name);
    }
}

/// A machine that was led into one of the states that are types.
fn in_state(state: ChannelState) -> Machine<ChannelBehaviour> {
    let select = |operation| {
        vec![
            ChannelEvent::Open,
            ChannelEvent::Opened { next: None },
            ChannelEvent::Request(operation),
            ChannelEvent::Answer { to: operation, next: None },
        ]
    };
    let events = match state {
        ChannelState::Closed => vec![],
        ChannelState::Open => vec![ChannelEvent::Open, ChannelEvent::Opened { next: None }],
        ChannelState::Confirming => select(Operation::SelectConfirm),
        ChannelState::Transactional => select(Operation::SelectTx),
        other => panic!("{other:?} is no type"),
    };
    let machine = super::channel::after(&events);
    assert_eq!(machine.state(), state);
    machine
}
