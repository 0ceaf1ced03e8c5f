//! What was reviewed of the channel's machine: every event in every state, and the drawings.

use std::fmt::Write;

use hopmq::{
    fsm::{Label, Machine, Reaction, Time, diagram},
    proto::{ChannelBehaviour, ChannelEvent, ChannelState, Operation},
};

use super::check;

#[test]
fn the_channels_table() {
    check("tests/table/snapshots/channel.table.txt", &diagram::text::<ChannelBehaviour>());
    check("tests/table/snapshots/channel.mmd", &diagram::mermaid::<ChannelBehaviour>());
}

#[test]
fn every_event_in_every_state_of_the_channel() {
    let mut out = String::new();
    for (name, events) in everywhere() {
        let machine = after(&events);
        writeln!(out, "{} ({name})", machine.state().name()).unwrap();
        for event in EVENTS {
            let line = outcome(machine.clone(), *event);
            writeln!(out, "  {:<34}{line}", words(*event)).unwrap();
        }
        out.push('\n');
    }
    check("tests/table/snapshots/channel.events.txt", &out);
}

#[test]
fn the_snapshot_meets_every_state_and_every_kind_of_event() {
    let met: Vec<_> = everywhere().iter().map(|(_, events)| after(events).state()).collect();
    for state in ChannelState::ALL {
        assert!(met.contains(state), "{state:?}");
    }
    for kind in Operation::ALL {
        let found = EVENTS.iter().any(|event| hopmq::fsm::Signal::kind(event) == *kind);
        assert!(found, "{kind:?}");
    }
}

/// A machine to which all of this happened.
pub(crate) fn after(events: &[ChannelEvent]) -> Machine<ChannelBehaviour> {
    let mut machine = Machine::new(Time::ZERO, ChannelBehaviour::default());
    for event in events {
        let handled = machine.handle(Time::ZERO, *event);
        assert!(handled.is_ok(), "{event:?}: {handled:?}");
        while machine.poll_transition().is_some() {}
    }
    machine
}

const OPENED: ChannelEvent = ChannelEvent::Opened { next: None };

const fn answer(to: Operation) -> ChannelEvent {
    ChannelEvent::Answer { to, next: None }
}

/// The way into every state, and into what is awaited in each of the modes.
fn everywhere() -> Vec<(&'static str, Vec<ChannelEvent>)> {
    use ChannelEvent::{Close, ClosedByBroker, Interrupted, Open, Request};
    let open = vec![Open, OPENED];
    let mode = |select| vec![Open, OPENED, Request(select), answer(select)];
    let with = |mut events: Vec<ChannelEvent>, event| {
        events.push(event);
        events
    };
    let confirming = mode(Operation::SelectConfirm);
    let transactional = mode(Operation::SelectTx);
    vec![
        ("new", vec![]),
        ("by the broker", with(open.clone(), ClosedByBroker)),
        ("for the first time", vec![Open]),
        ("of a confirming channel", with(confirming.clone(), Interrupted)),
        ("plain", open.clone()),
        ("confirm.select-ok", confirming.clone()),
        ("tx.select-ok", transactional.clone()),
        ("confirm.select", with(open.clone(), Request(Operation::SelectConfirm))),
        ("tx.select", with(open.clone(), Request(Operation::SelectTx))),
        ("plain", with(open.clone(), Request(Operation::Declare))),
        ("confirming", with(confirming.clone(), Request(Operation::Declare))),
        ("plain", with(open.clone(), Request(Operation::Bind))),
        ("plain", with(open.clone(), Request(Operation::Remove))),
        ("plain", with(open.clone(), Request(Operation::Limit))),
        ("plain", with(open.clone(), Request(Operation::Consume))),
        ("transactional", with(transactional.clone(), Request(Operation::Consume))),
        ("plain", with(open.clone(), Request(Operation::Get))),
        ("transactional", with(transactional, Request(Operation::Commit))),
        ("confirming", with(confirming, Close)),
    ]
}

const EVENTS: &[ChannelEvent] = &[
    ChannelEvent::Open,
    OPENED,
    ChannelEvent::Opened { next: Some(Operation::SelectConfirm) },
    ChannelEvent::Request(Operation::SelectConfirm),
    ChannelEvent::Request(Operation::SelectTx),
    ChannelEvent::Request(Operation::Declare),
    ChannelEvent::Request(Operation::Bind),
    ChannelEvent::Request(Operation::Remove),
    ChannelEvent::Request(Operation::Limit),
    ChannelEvent::Request(Operation::Consume),
    ChannelEvent::Request(Operation::Get),
    ChannelEvent::Request(Operation::Commit),
    answer(Operation::SelectConfirm),
    answer(Operation::SelectTx),
    answer(Operation::Declare),
    ChannelEvent::Answer { to: Operation::Declare, next: Some(Operation::Get) },
    ChannelEvent::Answer { to: Operation::Consume, next: Some(Operation::Close) },
    ChannelEvent::Close,
    ChannelEvent::CloseOk,
    ChannelEvent::ClosedByBroker,
    ChannelEvent::Interrupted,
    ChannelEvent::Lost,
];

fn words(event: ChannelEvent) -> String {
    let next = |next: Option<Operation>| match next {
        Some(next) => format!(", next {}", next.name()),
        None => String::new(),
    };
    match event {
        ChannelEvent::Opened { next: after } => format!("opened{}", next(after)),
        ChannelEvent::Answer { to, next: after } => {
            format!("answer to {}{}", to.name(), next(after))
        }
        other => hopmq::fsm::Signal::kind(&other).name().to_owned(),
    }
}

/// What came of an event, in one line.
fn outcome(mut machine: Machine<ChannelBehaviour>, event: ChannelEvent) -> String {
    let state = machine.state().name();
    match machine.handle(Time::ZERO, event) {
        Err(error) => format!("refused: {error}"),
        Ok(Reaction::Ignored) => "ignored".to_owned(),
        Ok(Reaction::Changed) => {
            let mut path = Vec::new();
            while let Some(transition) = machine.poll_transition() {
                path.push(transition.to.name());
            }
            if path.is_empty() { format!("stays {state}") } else { path.join(", ") }
        }
    }
}
