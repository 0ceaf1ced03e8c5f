//! What every machine does, whatever its behaviour.

use std::time::Duration;

use hopmq::fsm::{
    Behaviour, CauseId, Error, Machine, Node, On, Outcome, Overdue, Reaction, Refusal, Row, Status,
    Table, TableFlaw, Time, on, on_deadline,
};

use crate::scripted::{Event, Kind, Place, Scripted, ToldToFail};

const NOW: Time = Time::from_secs(1);

fn machine() -> Machine<Scripted> {
    Machine::new(Time::ZERO, Scripted::default())
}

fn machine_in(place: Place) -> Machine<Scripted> {
    let mut machine = machine();
    machine.handle(Time::ZERO, go(place)).unwrap();
    machine.poll_transition().unwrap();
    machine
}

fn go(to: Place) -> Event {
    Event::Do(Outcome::to(to))
}

#[test]
fn a_reset_goes_where_the_table_allows() {
    let mut machine = machine();
    assert_eq!(machine.handle(NOW, go(Place::Work)), Ok(Reaction::Changed));
    assert_eq!(machine.state(), Place::Work);
    let transition = machine.poll_transition().unwrap();
    assert_eq!((transition.from, transition.to), (Place::Start, Place::Work));
    assert_eq!((transition.on, transition.at), (On::Event(Kind::Do), NOW));
    assert_eq!((transition.cause, transition.number()), (CauseId(5), 1));
    assert_eq!(transition.to_string(), "Start --do--> Work");
    assert_eq!(machine.poll_transition(), None);
}

#[test]
fn a_target_that_the_table_does_not_allow_is_refused() {
    let mut machine = machine();
    let outcome = Outcome::to(Place::Safe);
    let error = machine.handle(NOW, go(Place::Safe)).unwrap_err();
    let on = On::Event(Kind::Do);
    assert_eq!(error, Error::Forbidden { state: Place::Start, on, outcome });
    assert_eq!(machine.state(), Place::Start);
    assert_eq!(machine.status(), &Status::Running);
    assert_eq!(machine.handle(NOW, go(Place::Work)), Ok(Reaction::Changed));
}

#[test]
fn an_outcome_that_the_table_does_not_allow_is_refused() {
    for outcome in [Outcome::Pending { deadline: None }, Outcome::Finalize] {
        let mut machine = machine();
        let error = machine.handle(NOW, Event::Do(outcome)).unwrap_err();
        assert!(matches!(error, Error::Forbidden { .. }), "{error}");
        assert_eq!(machine.status(), &Status::Running);
    }
    let mut machine = machine_in(Place::Work);
    assert!(matches!(
        machine.handle(NOW, Event::Do(Outcome::Ignored)),
        Err(Error::Forbidden { .. })
    ));
}

#[test]
fn an_event_can_be_handled_again_by_the_next_state() {
    let mut machine = machine();
    // Start hands it to itself without end, and so it is ended.
    let error = machine.handle(NOW, Event::Do(Outcome::reprocess_in(Place::Start))).unwrap_err();
    let limit = 4;
    let event = Kind::Do;
    assert_eq!(error, Error::ReprocessedTooOften { state: Place::Start, event, limit });
    assert_eq!(machine.behaviour().seen.len(), 5, "once, and four times again");
    // Without the flag it goes once.
    let before = machine.behaviour().seen.len();
    machine.handle(NOW, go(Place::Start)).unwrap();
    assert_eq!(machine.behaviour().seen.len(), before + 1);
}

#[test]
fn what_the_next_state_does_not_know_is_refused_there() {
    let mut machine = machine();
    let error = machine.handle(NOW, Event::Pass).unwrap_err();
    assert_eq!(error.to_string(), "`pass` is not legal in state Work");
    assert_eq!(machine.state(), Place::Work);
}

#[test]
fn complete_leads_to_the_successor_or_stays() {
    let mut machine = machine_in(Place::Chain);
    machine.handle(NOW, Event::Do(Outcome::Complete)).unwrap();
    assert_eq!(machine.state(), Place::Work);
    let entered = machine.context().entered_at();
    machine.handle(NOW + Duration::from_secs(1), Event::Do(Outcome::Complete)).unwrap();
    assert_eq!((machine.state(), machine.context().entered_at()), (Place::Work, entered));
}

#[test]
fn finalize_ends_the_machine() {
    let mut machine = machine_in(Place::Work);
    machine.handle(NOW, Event::Do(Outcome::Finalize)).unwrap();
    assert_eq!(machine.status(), &Status::Finalized);
    assert_eq!(machine.state(), Place::Work);
    assert_eq!(machine.poll_timeout(), None);
    let error = machine.handle(NOW, go(Place::Start)).unwrap_err();
    assert_eq!(error, Error::Halted { state: Place::Work });
    assert_eq!(machine.handle_timeout(Time::MAX), Ok(Reaction::Ignored));
    assert!(!machine.accepts(Kind::Do));
}

#[test]
fn a_pending_answer_is_known_by_name_until_it_comes() {
    let mut machine = machine_in(Place::Work);
    let due = NOW + Duration::from_secs(2);
    machine.handle(NOW, Event::Ask(Some(due))).unwrap();
    assert_eq!(machine.context().pending(), Some(On::Event(Kind::Ask)));
    assert_eq!(machine.poll_timeout(), Some(due));
    machine.handle(NOW, Event::Do(Outcome::Complete)).unwrap();
    assert!(machine.context().pending().is_some(), "another event settles nothing");
    machine.handle(NOW, Event::Reply).unwrap();
    assert_eq!(machine.context().pending(), None);
    assert_eq!(machine.poll_timeout(), Some(Time::from_secs(10)), "the state's own remains");
}

#[test]
fn what_happens_at_a_deadline_is_the_states_choice() {
    let due = NOW + Duration::from_secs(2);
    let mut waiting = machine_in(Place::Work);
    waiting.handle(NOW, Event::Ask(Some(due))).unwrap();
    assert_eq!(waiting.handle_timeout(NOW), Ok(Reaction::Ignored), "not yet");
    let chooses = |outcome| {
        let scripted = Scripted { at_deadline: outcome, ..Scripted::default() };
        let mut machine = Machine::new(Time::ZERO, scripted);
        machine.handle(Time::ZERO, go(Place::Work)).unwrap();
        machine.handle(NOW, Event::Ask(Some(due))).unwrap();
        assert_eq!(machine.handle_timeout(due), Ok(Reaction::Changed));
        let asked = Overdue::Answer(On::Event(Kind::Ask));
        assert_eq!(machine.behaviour().overdue, [asked]);
        machine
    };
    assert_eq!(chooses(Some(Outcome::to(Place::Start))).state(), Place::Start);
    assert_eq!(chooses(None).state(), Place::Safe, "broken, so it falls back");
    let waits_on = chooses(Some(Outcome::Complete));
    assert_eq!(waits_on.state(), Place::Work);
    assert_eq!(waits_on.poll_timeout(), Some(Time::from_secs(10)), "it does not pass twice");
}

#[test]
fn a_state_lasts_no_longer_than_it_may() {
    let mut machine = machine_in(Place::Work);
    assert_eq!(machine.poll_timeout(), Some(Time::from_secs(10)));
    machine.handle_timeout(Time::from_secs(10)).unwrap();
    assert_eq!(machine.behaviour().overdue, [Overdue::State]);
    assert_eq!(machine.state(), Place::Safe);
    assert!(machine.poll_transition().unwrap().fell_back);
}

#[test]
fn an_overdue_state_without_a_fallback_stops_the_machine() {
    let mut machine = machine_in(Place::Bare);
    let error = machine.handle_timeout(NOW).unwrap_err();
    assert_eq!(error, Error::NoFallback { state: Place::Bare });
    assert_eq!(machine.status(), &Status::Broken);
}

#[test]
fn a_failing_state_goes_to_its_fallback() {
    let mut machine = machine();
    assert_eq!(machine.handle(NOW, Event::Fail), Ok(Reaction::Changed));
    assert_eq!(machine.state(), Place::Safe);
    let transition = machine.poll_transition().unwrap();
    assert_eq!(transition.to_string(), "Start --do--> Safe (fallback)");
    assert_eq!(machine.stats(NOW).faults, 1);
}

#[test]
fn a_failure_without_a_fallback_propagates_and_stops_the_machine() {
    let mut machine = machine_in(Place::Bare);
    let error = machine.handle(NOW, Event::Fail).unwrap_err();
    assert_eq!(error, Error::Fault { state: Place::Bare, fault: ToldToFail });
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.downcast_ref::<ToldToFail>(), Some(&ToldToFail));
    assert_eq!(machine.status(), &Status::Failed(ToldToFail));
    assert_eq!(machine.handle(NOW, go(Place::Start)), Err(Error::Halted { state: Place::Bare }));
}

#[test]
fn a_flag_leads_to_the_fallback_too() {
    let mut by_flag = machine();
    by_flag.handle(NOW, Event::Break(None)).unwrap();
    assert_eq!(by_flag.state(), Place::Safe);
    let mut named = machine();
    named.handle(NOW, Event::Break(Some(Place::Safe))).unwrap();
    assert_eq!(named.state(), Place::Safe);
    let mut unknown = machine();
    let error = unknown.handle(NOW, Event::Break(Some(Place::Bare))).unwrap_err();
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    assert_eq!(unknown.state(), Place::Start);
}

#[test]
fn a_guard_decides_by_data_and_is_named_in_the_refusal() {
    let mut locked = machine();
    let error = locked.handle(NOW, Event::Locked).unwrap_err();
    let guard = Some("it is unlocked");
    let refusal = Refusal { state: Place::Start, event: Kind::Locked, guard };
    assert_eq!(error, Error::Refused(refusal));
    assert_eq!(error.to_string(), "`locked` is not legal in state Start unless it is unlocked");
    let mut unlocked = Machine::new(Time::ZERO, Scripted { unlocked: true, ..Scripted::default() });
    unlocked.handle(NOW, Event::Locked).unwrap();
    assert_eq!(unlocked.state(), Place::Work);
}

#[test]
fn refused_and_ignored_are_told_apart_and_change_nothing() {
    let mut machine = machine();
    let before = machine.clone();
    assert_eq!(machine.handle(NOW, Event::Noise), Ok(Reaction::Ignored));
    assert_eq!(machine, before);
    let refusal = Refusal { state: Place::Start, event: Kind::Reply, guard: None };
    assert_eq!(machine.handle(NOW, Event::Reply), Err(Error::Refused(refusal)));
    assert_eq!(machine, before);
    assert_eq!(machine.handle(NOW, Event::Do(Outcome::Ignored)), Ok(Reaction::Ignored));
    let stats = machine.stats(NOW);
    assert_eq!((stats.events, stats.ignored, stats.refused), (3, 2, 1));
}

#[test]
fn raised_events_go_to_the_head_or_the_tail() {
    let mut machine = machine();
    let act = Event::Act;
    let raise = Event::Raise(vec![act(1), act(2)], vec![act(5)]);
    machine.push(raise).unwrap();
    machine.push(act(3)).unwrap();
    machine.handle(NOW, act(4)).unwrap();
    let order: Vec<_> = std::iter::from_fn(|| machine.poll_action()).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

#[test]
fn one_step_handles_one_event() {
    let mut machine = machine();
    assert_eq!(machine.step(NOW), None);
    machine.push(go(Place::Work)).unwrap();
    machine.push(go(Place::Chain)).unwrap();
    assert_eq!(machine.step(NOW), Some(Ok(Reaction::Changed)));
    assert_eq!(machine.state(), Place::Work);
}

#[test]
fn the_queue_is_bounded() {
    let mut machine = machine();
    for _ in 0..16 {
        machine.push(Event::Noise).unwrap();
    }
    let full = Error::QueueFull { event: Kind::Noise, limit: 16 };
    assert_eq!(machine.push(Event::Noise), Err(full.clone()));
    assert_eq!(machine.handle(NOW, Event::Noise), Err(full));
}

#[test]
fn raising_without_end_is_ended() {
    let mut machine = machine();
    let mut event = Event::Noise;
    for _ in 0..100 {
        event = Event::Raise(vec![], vec![event]);
    }
    assert_eq!(machine.handle(NOW, event), Err(Error::Runaway { limit: 64 }));
}

#[test]
fn actions_are_bounded() {
    let mut machine = machine();
    for action in 0..64 {
        machine.handle(NOW, Event::Act(action)).unwrap();
    }
    let before = machine.clone();
    let undrained = Error::Undrained { state: Place::Start, count: 64 };
    assert_eq!(machine.handle(NOW, Event::Act(64)), Err(undrained));
    assert_eq!(machine, before);
    assert_eq!(machine.poll_action(), Some(0));
    assert_eq!(machine.handle(NOW, Event::Act(64)), Ok(Reaction::Changed));
}

#[test]
fn unfetched_transitions_are_bounded_and_counted() {
    let mut machine = machine();
    for _ in 0..70 {
        machine.handle(NOW, go(Place::Start)).unwrap();
    }
    assert_eq!(machine.stats(NOW).unobserved, 6);
    assert_eq!(machine.poll_transition().unwrap().number(), 7);
}

#[test]
fn a_context_lives_exactly_as_long_as_its_state() {
    let mut machine = machine_in(Place::Work);
    assert_eq!(machine.context().previous(), Some(Place::Start));
    assert_eq!(
        machine.context().last(),
        None,
        "the event that led here belongs to the state before"
    );
    machine.handle(NOW, Event::Do(Outcome::Complete)).unwrap();
    assert_eq!(machine.context().last(), Some(On::Event(Kind::Do)));
    assert_eq!(*machine.local(), 1);
    machine.handle(NOW, go(Place::Work)).unwrap();
    let context = machine.context();
    assert_eq!((context.entered_at(), context.last()), (NOW, None), "a reset begins anew");
    assert_eq!(context.entered_by().unwrap().on, On::Event(Kind::Do));
    assert_eq!(*machine.local(), 0);
    assert_eq!(machine.behaviour().left, [(Place::Start, 1), (Place::Work, 2)]);
    assert_eq!(machine.behaviour().entered, [Place::Start, Place::Work, Place::Work]);
}

#[test]
fn the_time_in_each_state_is_counted() {
    let mut machine = machine();
    machine.handle(Time::from_secs(3), go(Place::Work)).unwrap();
    machine.handle(Time::from_secs(4), go(Place::Start)).unwrap();
    let stats = machine.stats(Time::from_secs(9));
    let start = stats.in_state(Place::Start);
    assert_eq!((start.entered, start.time), (2, Duration::from_secs(8)));
    assert_eq!(stats.in_state(Place::Work).time, Duration::from_secs(1));
    assert_eq!(stats.transitions, 2);
}

#[test]
fn a_clock_that_goes_back_does_no_harm() {
    let mut machine = Machine::new(Time::from_secs(100), Scripted::default());
    machine.handle(Time::ZERO, go(Place::Work)).unwrap();
    assert_eq!(machine.stats(Time::ZERO).in_state(Place::Start).time, Duration::ZERO);
}

#[test]
fn machines_that_behave_alike_are_equal_whatever_they_have_counted() {
    let mut noisy = machine();
    noisy.handle(NOW, Event::Noise).unwrap();
    noisy.handle(NOW, Event::Reply).unwrap_err();
    assert_eq!(noisy, machine());
}

#[test]
fn a_table_is_checked() {
    const TABLE: Table<Scripted> = <Scripted as Behaviour>::TABLE;
    const SHADOWED: &[Row<Scripted>] = &[on(Kind::Do).ignores(), on(Kind::Do).completes()];
    const GUARDED: &[Row<Scripted>] = &[on_deadline().completes().when("never", |_, _, _| false)];
    const DEAD_ENDS: &[Node<Scripted>] = &[
        Node::new(Place::Start, &[]),
        Node::new(Place::Work, &[]),
        Node::new(Place::Chain, &[]),
        Node::new(Place::Safe, &[]),
        Node::new(Place::Bare, &[]),
    ];
    const FLAWED: [(&[Node<Scripted>], TableFlaw); 5] = [
        (&[Node::new(Place::Start, &[])], TableFlaw::NotAllStates),
        (DEAD_ENDS, TableFlaw::Unreachable("Work")),
        (
            &[
                Node::new(Place::Start, SHADOWED),
                Node::new(Place::Work, &[]),
                Node::new(Place::Chain, &[]),
                Node::new(Place::Safe, &[]),
                Node::new(Place::Bare, &[]),
            ],
            TableFlaw::Shadowed("Start", "do"),
        ),
        (
            &[
                Node::new(Place::Start, GUARDED),
                Node::new(Place::Work, &[]),
                Node::new(Place::Chain, &[]),
                Node::new(Place::Safe, &[]),
                Node::new(Place::Bare, &[]),
            ],
            TableFlaw::GuardedDeadline("Start"),
        ),
        (
            &[
                Node::new(Place::Work, &[]),
                Node::new(Place::Start, &[]),
                Node::new(Place::Chain, &[]),
                Node::new(Place::Safe, &[]),
                Node::new(Place::Bare, &[]),
            ],
            TableFlaw::OutOfOrder("Work"),
        ),
    ];
    assert_eq!(TABLE.check(), Ok(()));
    for (nodes, flaw) in FLAWED {
        assert_eq!(Table { nodes, ..TABLE }.check(), Err(flaw));
    }
}
