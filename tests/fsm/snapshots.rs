//! What was reviewed: every event in every state, and the drawings.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test fsm` writes them anew; the difference is then to be read.

use std::fmt::Write;
use std::path::Path;

use hopmq::fsm::supervisor::{Event, Keeper, Reasons, Retry};
use hopmq::fsm::{Reaction, diagram};

use crate::link::{LOST, LOST_FOR_GOOD, Link, failed, policy};

#[test]
fn the_supervisors_table() {
    check("tests/fsm/snapshots/supervisor.table.txt", &diagram::text::<Keeper>());
}

#[test]
fn the_supervisors_diagrams() {
    check("tests/fsm/snapshots/supervisor.mmd", &diagram::mermaid::<Keeper>());
    check("tests/fsm/snapshots/supervisor.dot", &diagram::dot::<Keeper>());
    check("src/fsm/supervisor/diagram.svg", &diagram::svg::<Keeper>());
}

#[test]
fn every_event_in_every_state_of_the_supervisor() {
    let mut out = String::new();
    for (name, link) in everywhere() {
        writeln!(out, "{name}").unwrap();
        for (name, event) in events(&link) {
            let mut link = link.clone();
            let line = outcome(&mut link, event);
            writeln!(out, "  {name:<21}{line}").unwrap();
        }
        out.push('\n');
    }
    check("tests/fsm/snapshots/supervisor.events.txt", &out);
}

/// A link in every state, and in every phase of it that behaves differently.
fn everywhere() -> Vec<(&'static str, Link)> {
    let after = |mut link: Link, events: &[Event]| {
        events.iter().for_each(|event| link.does(*event));
        link
    };
    let up = || Link::connected(policy());
    let probing = {
        let mut link = Link::failing(policy(), 3);
        link.passes_until_dialling();
        link
    };
    let recovering = {
        let mut link = after(up(), &[LOST]);
        link.opened();
        link
    };
    vec![
        ("Disconnected, new", Link::new(policy())),
        ("Connecting", after(Link::new(policy()), &[Event::Connect])),
        ("Connected", up()),
        ("Degraded, late", after(up(), &[Event::Degrade(Reasons::LATE)])),
        ("Reconnecting, dialling", after(up(), &[LOST])),
        ("Reconnecting, waiting", Link::failing(policy(), 1)),
        ("Reconnecting, probing", probing),
        ("Recovering", recovering),
        ("CircuitOpen", Link::failing(policy(), 3)),
        ("Closing, draining", after(up(), &[Event::Close])),
        ("Closing, parting", after(up(), &[Event::Close, Event::Drained])),
        ("Closed, by us", after(up(), &[Event::Close, Event::Drained, Event::Closed])),
        ("Closed, for good", after(up(), &[LOST_FOR_GOOD])),
    ]
}

fn events(link: &Link) -> Vec<(&'static str, Option<Event>)> {
    let attempt = link.attempt;
    vec![
        ("connect", Some(Event::Connect)),
        ("opened", Some(Event::Opened { attempt })),
        ("opened, late", Some(Event::Opened { attempt: attempt.saturating_sub(1) })),
        ("opened, unknown", Some(Event::Opened { attempt: attempt + 1 })),
        ("failed", Some(failed(attempt, Retry::Can))),
        ("failed for good", Some(failed(attempt, Retry::Never))),
        ("failed, late", Some(failed(attempt.saturating_sub(1), Retry::Can))),
        ("failed, unknown", Some(failed(attempt + 1, Retry::Can))),
        ("degrade, late", Some(Event::Degrade(Reasons::LATE))),
        ("degrade, missed", Some(Event::Degrade(Reasons::MISSED))),
        ("clear, late", Some(Event::Clear(Reasons::LATE))),
        ("lost", Some(LOST)),
        ("lost for good", Some(LOST_FOR_GOOD)),
        ("recovered", Some(Event::Recovered)),
        ("close", Some(Event::Close)),
        ("drained", Some(Event::Drained)),
        ("closed", Some(Event::Closed)),
        ("reset", Some(Event::Reset)),
        ("deadline", None),
    ]
}

/// What came of an event, in one line.
fn outcome(link: &mut Link, event: Option<Event>) -> String {
    let state = link.link.state();
    let reaction = match event {
        Some(event) => link.gives(event),
        None if link.link.poll_timeout().is_none() => return "none".to_owned(),
        None => {
            link.next_deadline();
            Ok(Reaction::Changed)
        }
    };
    let mut line = match reaction {
        Err(refusal) => return format!("refused: {refusal}"),
        Ok(Reaction::Ignored) => "ignored".to_owned(),
        Ok(Reaction::Changed) if link.transitions.is_empty() => format!("stays {state}"),
        Ok(Reaction::Changed) => {
            let path = link.transitions.iter().map(|transition| transition.to.to_string());
            path.collect::<Vec<_>>().join(", ")
        }
    };
    for action in &link.actions {
        write!(line, "; {action:?}").unwrap();
    }
    if let Some(due) = link.link.poll_timeout() {
        write!(line, "; in {:?}", due.saturating_since(link.now)).unwrap();
    }
    line
}

fn check(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(reviewed == text, "{path} has changed; with UPDATE_SNAPSHOTS=1 it is written anew");
}
