//! The guide's promise: a new event and a new state leave the others untouched.

const GUIDE: &str = include_str!("../../src/fsm/guide.md");

/// The lines of each program in the guide, the hidden ones included.
fn programs() -> Vec<Vec<&'static str>> {
    let visible =
        |line: &'static str| line.strip_prefix("# ").unwrap_or(if line == "#" { "" } else { line });
    let fences = GUIDE.split("```").skip(1).step_by(2);
    fences.map(|program| program.lines().map(visible).collect()).collect()
}

#[test]
fn a_new_event_and_a_new_state_leave_the_others_untouched() {
    let programs = programs();
    let [before, after] = programs.as_slice() else { panic!("two programs") };
    let mut rest = after.iter();
    for line in before {
        assert!(rest.any(|other| other == line), "not kept as it was: {line}");
    }
    let added = after.len() - before.len();
    assert!((10..30).contains(&added), "{added} lines are new");
}
