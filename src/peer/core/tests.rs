//! Two sides and a carrier that loses, repeats and reorders, driven step by step.

use proptest::{collection::vec, prelude::*};

use super::*;

type Side = Core<u32, u32>;

const WINDOW: Window = Window { messages: 5, bytes: 50 };

fn pair() -> (Side, Side) {
    let mut ours = Core::new(WINDOW);
    let mut theirs = Core::accepted(WINDOW, WINDOW);
    exchange(&mut ours, &mut theirs);
    (ours, theirs)
}

/// Carries faithfully until both have nothing to say.
fn exchange(ours: &mut Side, theirs: &mut Side) -> [Settled<u32>; 2] {
    let mut settled = [Settled::default(), Settled::default()];
    loop {
        let any = pass(ours, theirs, &mut settled[1]) | pass(theirs, ours, &mut settled[0]);
        if !any {
            return settled;
        }
    }
}

fn pass(from: &mut Side, to: &mut Side, settled: &mut Settled<u32>) -> bool {
    let Some((frame, position, message)) = from.transmit() else { return false };
    let message = message.copied().unwrap_or_default();
    add(settled, to.receive(frame, position, 1, || message));
    true
}

fn add(all: &mut Settled<u32>, more: Settled<u32>) {
    all.confirmed.extend(more.confirmed);
    all.handed_back.extend(more.handed_back);
}

fn take_all(side: &mut Side) -> Vec<u32> {
    std::iter::from_fn(|| side.take()).collect()
}

#[test]
fn a_message_is_confirmed_when_it_is_taken_and_not_before() {
    let (mut ours, mut theirs) = pair();
    assert_eq!(ours.send(7, 1), 1);
    let [settled, _] = exchange(&mut ours, &mut theirs);
    assert!(settled.confirmed.is_empty(), "it has only arrived");
    assert_eq!(theirs.take(), Some(7));
    let [settled, _] = exchange(&mut ours, &mut theirs);
    assert_eq!(settled.confirmed, [7]);
    assert_eq!(ours.unconfirmed(), 0);
}

#[test]
fn there_is_room_for_the_window_and_no_more() {
    let (mut ours, mut theirs) = pair();
    for number in 0..5 {
        ours.send(number, 1);
    }
    assert!(!ours.has_room(1), "as many messages as the window has");
    exchange(&mut ours, &mut theirs);
    assert!(!ours.has_room(1), "they have arrived, and nobody took them");
    theirs.take();
    theirs.take();
    exchange(&mut ours, &mut theirs);
    assert!(ours.has_room(1));

    let (mut ours, _) = pair();
    ours.send(1, 30);
    assert!(ours.has_room(20) && !ours.has_room(21), "octets count too");
}

#[test]
fn closing_waits_until_the_other_side_has_taken_everything() {
    let (mut ours, mut theirs) = pair();
    ours.send(1, 1);
    ours.send(2, 1);
    ours.close();
    exchange(&mut ours, &mut theirs);
    assert_eq!((ours.ended(), theirs.ended()), (None, None));
    assert!(!theirs.is_sending(), "nobody would take it");
    assert_eq!(take_all(&mut theirs), [1, 2]);
    assert_eq!(theirs.ended(), Some(Ending::ClosedByPeer));
    let [settled, _] = exchange(&mut ours, &mut theirs);
    assert_eq!(settled.confirmed, [1, 2]);
    assert_eq!(ours.ended(), Some(Ending::Closed));
}

#[test]
fn what_a_closed_side_did_not_take_comes_back_without_doubt() {
    let (mut ours, mut theirs) = pair();
    theirs.send(8, 1);
    theirs.send(9, 1);
    exchange(&mut ours, &mut theirs);
    assert_eq!(ours.take(), Some(8));
    ours.close();
    let [_, settled] = exchange(&mut ours, &mut theirs);
    assert_eq!(settled.confirmed, [8]);
    assert_eq!(settled.handed_back, [(9, Doubt::None)]);
    assert_eq!((ours.ended(), theirs.ended()), (Some(Ending::Closed), Some(Ending::ClosedByPeer)));
}

#[test]
fn sides_that_close_at_once_both_end_and_get_back_what_was_not_taken() {
    let (mut ours, mut theirs) = pair();
    ours.send(1, 1);
    theirs.send(2, 1);
    ours.close();
    theirs.close();
    let [our, their] = exchange(&mut ours, &mut theirs);
    assert_eq!(our.handed_back, [(1, Doubt::None)]);
    assert_eq!(their.handed_back, [(2, Doubt::None)]);
    assert_eq!((ours.ended(), theirs.ended()), (Some(Ending::Closed), Some(Ending::Closed)));
}

#[test]
fn force_leaves_doubt_on_this_side_and_none_on_the_other() {
    let (mut ours, mut theirs) = pair();
    ours.send(1, 1);
    theirs.send(2, 1);
    exchange(&mut ours, &mut theirs);
    ours.send(3, 1);
    let settled = ours.give_up(Ending::Aborted);
    assert_eq!(settled.handed_back, [(1, Doubt::Some), (3, Doubt::None)]);
    let [_, their] = exchange(&mut ours, &mut theirs);
    assert_eq!(their.handed_back, [(2, Doubt::None)]);
    assert_eq!(theirs.ended(), Some(Ending::AbortedByPeer));
    assert_eq!(theirs.take(), None, "its sender has it back");
}

#[test]
fn of_a_silent_side_what_had_arrived_is_still_received() {
    let (mut ours, mut theirs) = pair();
    ours.send(1, 1);
    exchange(&mut ours, &mut theirs);
    theirs.give_up(Ending::Silent);
    assert_eq!(take_all(&mut theirs), [1]);
}

#[test]
fn a_side_that_sends_more_than_its_window_breaks_the_rules() {
    let (_, mut theirs) = pair();
    for number in 1..=5 {
        theirs.receive(Frame::Data { number }, Position::default(), 1, || 0);
    }
    assert_eq!(theirs.ended(), None);
    theirs.receive(Frame::Data { number: 6 }, Position::default(), 1, || 0);
    assert_eq!(theirs.ended(), Some(Ending::Violated));
}

#[test]
fn a_side_that_took_what_was_never_sent_breaks_the_rules() {
    let (mut ours, _) = pair();
    ours.receive(Frame::Position, Position { taken: 1, received: 1 }, 0, || 0);
    assert_eq!(ours.ended(), Some(Ending::Violated));
}

#[test]
fn a_gap_is_asked_for_once() {
    let (_, mut theirs) = pair();
    for number in [2, 3, 4] {
        theirs.receive(Frame::Data { number }, Position::default(), 1, || 0);
    }
    let said = std::iter::from_fn(|| theirs.transmit().map(|(frame, ..)| frame));
    assert_eq!(said.collect::<Vec<_>>(), [Frame::Resend]);
}

/// What the carrier does next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Send(bool),
    Take(bool),
    /// A side says something: the frame goes into its direction.
    Say(bool),
    /// A frame of a direction arrives.
    Arrive(bool),
    Lose(bool),
    Repeat(bool),
    Reorder(bool),
    /// Everything under way is lost, and both sides know.
    Cut,
    Pulse(bool),
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    let side = any::<bool>();
    prop_oneof![
        4 => side.prop_map(Send),
        4 => side.prop_map(Take),
        8 => side.prop_map(Say),
        8 => side.prop_map(Arrive),
        1 => side.prop_map(Lose),
        1 => side.prop_map(Repeat),
        1 => side.prop_map(Reorder),
        1 => Just(Cut),
        1 => side.prop_map(Pulse),
    ]
}

type UnderWay = Vec<(Frame, Position, u32)>;

/// Two programs and what is between them. Each index is a side.
#[derive(Default)]
struct World {
    sides: Vec<Side>,
    under_way: [UnderWay; 2],
    sent: [u32; 2],
    taken: [Vec<u32>; 2],
    confirmed: [Vec<u32>; 2],
    handed_back: [Vec<(u32, Doubt)>; 2],
}

impl World {
    fn new() -> Self {
        let (ours, theirs) = pair();
        World { sides: vec![ours, theirs], ..World::default() }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Send(side) => {
                let at = usize::from(side);
                if self.sides[at].is_sending() && self.sides[at].has_room(1) {
                    self.sent[at] += 1;
                    let number = self.sides[at].send(self.sent[at], 1);
                    assert_eq!(number, u64::from(self.sent[at]));
                }
            }
            Step::Take(side) => {
                let at = usize::from(side);
                self.taken[at].extend(self.sides[at].take());
            }
            Step::Say(side) => {
                let at = usize::from(side);
                if let Some((frame, position, message)) = self.sides[at].transmit() {
                    let frame = (frame, position, message.copied().unwrap_or_default());
                    self.under_way[at].push(frame);
                }
            }
            Step::Arrive(side) => {
                let at = usize::from(side);
                if !self.under_way[at].is_empty() {
                    let (frame, position, message) = self.under_way[at].remove(0);
                    let settled = self.sides[1 - at].receive(frame, position, 1, || message);
                    self.settle(1 - at, settled);
                }
            }
            Step::Lose(side) => drop(self.under_way[usize::from(side)].pop()),
            Step::Repeat(side) => {
                let way = &mut self.under_way[usize::from(side)];
                way.extend(way.first().copied());
            }
            Step::Reorder(side) => self.under_way[usize::from(side)].reverse(),
            Step::Cut => {
                self.under_way = Default::default();
                self.sides.iter_mut().for_each(Core::rewind);
            }
            Step::Pulse(side) => self.sides[usize::from(side)].tell(),
        }
    }

    fn settle(&mut self, side: usize, settled: Settled<u32>) {
        self.confirmed[side].extend(settled.confirmed);
        self.handed_back[side].extend(settled.handed_back);
    }

    /// Nothing was reordered, repeated or confirmed that was not taken.
    fn check(&self) {
        for side in 0..2 {
            let other = 1 - side;
            let count = self.taken[side].len() as u32;
            assert!(self.taken[side].iter().copied().eq(1..=count), "{:?}", self.taken[side]);
            assert!(self.confirmed[other].len() <= self.taken[side].len());
            let confirmed = self.confirmed[other].len() as u32;
            assert!(self.confirmed[other].iter().copied().eq(1..=confirmed));
        }
    }

    /// From now on nothing is lost, and everybody takes.
    fn settle_down(&mut self) {
        for _ in 0..60 {
            for side in [false, true] {
                self.run(Step::Pulse(side));
                for _ in 0..20 {
                    self.run(Step::Say(side));
                    self.run(Step::Arrive(side));
                    self.run(Step::Take(!side));
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn messages_arrive_once_and_in_order_over_any_carrier(steps in vec(step(), 0..400)) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            world.check();
        }
        world.settle_down();
        world.check();
        for side in 0..2 {
            prop_assert_eq!(world.sides[side].ended(), None);
            prop_assert_eq!(world.taken[1 - side].len() as u32, world.sent[side]);
            prop_assert_eq!(world.confirmed[side].len() as u32, world.sent[side]);
        }
    }

    #[test]
    fn closing_over_any_carrier_accounts_for_every_message(
        steps in vec(step(), 0..200),
        who in any::<bool>(),
        both in any::<bool>(),
        more in vec(step(), 0..100),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.run(step));
        for side in if both { vec![0, 1] } else { vec![usize::from(who)] } {
            let settled = world.sides[side].close();
            world.settle(side, settled);
        }
        for step in more {
            world.run(step);
            world.check();
        }
        world.settle_down();
        world.check();
        for side in 0..2 {
            // The side that said goodbye is gone; the other may have missed it, and falls silent.
            let settled = world.sides[side].give_up(Ending::Silent);
            world.settle(side, settled);
        }
        for side in 0..2 {
            let (confirmed, back) = (&world.confirmed[side], &world.handed_back[side]);
            prop_assert_eq!((confirmed.len() + back.len()) as u32, world.sent[side]);
            let taken = world.taken[1 - side].len() as u32;
            for (message, doubt) in back {
                prop_assert!(*doubt == Doubt::Some || *message > taken, "{message} was taken");
            }
        }
    }
}
