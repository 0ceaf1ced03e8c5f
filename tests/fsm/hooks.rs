//! Hooks: who is called when, and that they cannot get in the way.

use std::sync::{Arc, Mutex};

use hopmq::fsm::{Hooks, Machine, Outcome, Time};

use crate::scripted::{Event, Kind, Place, Scripted};

type Log = Arc<Mutex<Vec<String>>>;

fn go(to: Place) -> Event {
    Event::Do(Outcome::to(to))
}

fn hooks(log: &Log) -> Hooks<Place, Kind> {
    let mut hooks = Hooks::new();
    let say = |what: &'static str| {
        let log = Arc::clone(log);
        move |transition: &hopmq::fsm::Transition<Place, Kind>| {
            log.lock().unwrap().push(format!("{what}: {transition}"));
        }
    };
    hooks.after_any(say("after any"));
    hooks.after_entering(Place::Work, say("entered Work"));
    hooks.before_leaving(Place::Start, say("leaving Start"));
    hooks.before_any(say("before any"));
    hooks.before_any(say("before any, second"));
    hooks
}

const ORDER: [&str; 5] = [
    "before any: Start --do--> Work",
    "before any, second: Start --do--> Work",
    "leaving Start: Start --do--> Work",
    "entered Work: Start --do--> Work",
    "after any: Start --do--> Work",
];

#[test]
fn the_order_of_hooks_within_a_call() {
    let log = Log::default();
    let mut machine = Machine::new(Time::ZERO, Scripted::default());
    machine.handle_with(Time::ZERO, go(Place::Work), &mut hooks(&log)).unwrap();
    assert_eq!(*log.lock().unwrap(), ORDER);
}

#[test]
fn the_order_of_hooks_on_fetched_transitions() {
    let log = Log::default();
    let mut machine = Machine::new(Time::ZERO, Scripted::default());
    machine.handle(Time::ZERO, go(Place::Work)).unwrap();
    let mut hooks = hooks(&log);
    while let Some(transition) = machine.poll_transition() {
        hooks.run(&transition);
    }
    assert_eq!(*log.lock().unwrap(), ORDER);
}

#[test]
fn hooks_run_on_transitions_only() {
    let log = Log::default();
    let mut machine = Machine::new(Time::ZERO, Scripted::default());
    let mut hooks = hooks(&log);
    machine.handle_with(Time::ZERO, Event::Noise, &mut hooks).unwrap();
    machine.handle_with(Time::ZERO, Event::Reply, &mut hooks).unwrap_err();
    machine.handle_with(Time::ZERO, Event::Do(Outcome::Complete), &mut hooks).unwrap();
    assert!(log.lock().unwrap().is_empty());
}

#[test]
fn a_watched_machine_behaves_like_an_unwatched_one() {
    let (mut watched, mut alone) = (
        Machine::new(Time::ZERO, Scripted::default()),
        Machine::new(Time::ZERO, Scripted::default()),
    );
    let log = Log::default();
    let mut hooks = hooks(&log);
    for event in [go(Place::Work), Event::Fail, go(Place::Chain), Event::Do(Outcome::Complete)] {
        let result = watched.handle_with(Time::ZERO, event.clone(), &mut hooks);
        assert_eq!(result, alone.handle(Time::ZERO, event));
    }
    assert_eq!(watched, alone);
}
