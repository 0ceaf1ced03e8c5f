//! A machine that answers what its events tell it to: every outcome can be had.

use std::time::Duration;

use hopmq::fsm::{
    Behaviour, CauseId, Context, Node, Outcome, Overdue, Scope, Signal, Table, Time, labels, on,
    on_deadline,
};

labels! {
    pub(crate) enum Place { Start = "Start", Work = "Work", Chain = "Chain", Safe = "Safe", Bare = "Bare" }
}

labels! {
    pub(crate) enum Kind { Do = "do", Raise = "raise", Ask = "ask", Reply = "reply", Locked = "locked", Pass = "pass", Noise = "noise" }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Answer this.
    Do(Outcome<Place>),
    /// Fail.
    Fail,
    /// Say that the state is broken; to this fallback, if told.
    Break(Option<Place>),
    /// Put out this action, then complete.
    Act(u32),
    /// Put these at the head of the queue, in this order, and these at its tail.
    Raise(Vec<Event>, Vec<Event>),
    /// Wait for an answer.
    Ask(Option<Time>),
    /// The answer.
    Reply,
    /// Taken only where the data says so.
    Locked,
    /// Handed on to Work, which does not know it.
    Pass,
    /// Never of any effect.
    Noise,
}

impl Signal for Event {
    type Kind = Kind;

    fn kind(&self) -> Kind {
        match self {
            Self::Do(_) | Self::Fail | Self::Break(_) | Self::Act(_) => Kind::Do,
            Self::Raise(..) => Kind::Raise,
            Self::Ask(_) => Kind::Ask,
            Self::Reply => Kind::Reply,
            Self::Locked => Kind::Locked,
            Self::Pass => Kind::Pass,
            Self::Noise => Kind::Noise,
        }
    }

    fn cause(&self) -> CauseId {
        CauseId(5)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("told to fail")]
pub(crate) struct ToldToFail;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scripted {
    pub(crate) unlocked: bool,
    /// What to answer at a deadline; broken by default.
    pub(crate) at_deadline: Option<Outcome<Place>>,
    pub(crate) overdue: Vec<Overdue<Kind>>,
    pub(crate) entered: Vec<Place>,
    pub(crate) left: Vec<(Place, u32)>,
    pub(crate) seen: Vec<(Place, Kind)>,
}

impl Scripted {
    fn unlocked(&self, _: &Event, _: &Context<Place, Kind>) -> bool {
        self.unlocked
    }
}

const ANYWHERE: &[Place] = &[Place::Start, Place::Work, Place::Chain, Place::Bare];

impl Behaviour for Scripted {
    type State = Place;
    type Kind = Kind;
    type Event = Event;
    type Action = u32;
    /// How many events this stay has handled.
    type Local = u32;
    type Fault = ToldToFail;

    const NAME: &'static str = "scripted";
    const TABLE: Table<Self> = Table::new(
        Place::Start,
        &[
            Node::new(
                Place::Start,
                &[
                    on(Kind::Do).to(ANYWHERE).completes().ignores(),
                    on(Kind::Raise).completes(),
                    on(Kind::Locked).to(&[Place::Work]).when("it is unlocked", Self::unlocked),
                    on(Kind::Pass).to(&[Place::Work]),
                    on(Kind::Noise).ignores(),
                ],
            )
            .or_else(Place::Safe),
            Node::new(
                Place::Work,
                &[
                    on(Kind::Do).to(ANYWHERE).completes().finalizes(),
                    on(Kind::Ask).pends(),
                    on(Kind::Reply).settles(),
                    on_deadline().to(&[Place::Start]).completes().pends(),
                ],
            )
            .or_else(Place::Safe)
            .within(Duration::from_secs(10)),
            Node::new(Place::Chain, &[on(Kind::Do).to(ANYWHERE).completes()])
                .then(Place::Work)
                .or_else(Place::Safe),
            Node::new(Place::Safe, &[on(Kind::Do).to(ANYWHERE).completes()]),
            Node::new(Place::Bare, &[on(Kind::Do).to(ANYWHERE).completes()])
                .within(Duration::from_secs(1)),
        ],
    );

    fn handle(
        &mut self,
        state: Place,
        event: &Event,
        scope: &mut Scope<'_, Self>,
    ) -> Result<Outcome<Place>, ToldToFail> {
        *scope.local() += 1;
        self.seen.push((state, event.kind()));
        Ok(match event {
            Event::Do(outcome) => *outcome,
            Event::Fail => return Err(ToldToFail),
            Event::Break(to) => {
                match to {
                    Some(to) => scope.fall_back_to(*to),
                    None => scope.fall_back(),
                }
                Outcome::Complete
            }
            Event::Act(action) => {
                scope.act(*action);
                Outcome::Complete
            }
            Event::Raise(head, tail) => {
                for event in head.iter().rev() {
                    scope.push_front(event.clone()).expect("room at the head");
                }
                for event in tail {
                    scope.push_back(event.clone()).expect("room at the tail");
                }
                Outcome::Complete
            }
            Event::Ask(deadline) => Outcome::Pending { deadline: *deadline },
            Event::Reply => Outcome::Complete,
            Event::Locked => Outcome::to(Place::Work),
            Event::Pass => Outcome::reprocess_in(Place::Work),
            Event::Noise => unreachable!("the table ignores it"),
        })
    }

    fn overdue(
        &mut self,
        _: Place,
        what: Overdue<Kind>,
        scope: &mut Scope<'_, Self>,
    ) -> Result<Outcome<Place>, ToldToFail> {
        self.overdue.push(what);
        match self.at_deadline {
            Some(outcome) => Ok(outcome),
            None => {
                scope.fall_back();
                Ok(Outcome::Complete)
            }
        }
    }

    fn enter(&mut self, state: Place, _: &mut Scope<'_, Self>) {
        self.entered.push(state);
    }

    fn exit(&mut self, state: Place, scope: &mut Scope<'_, Self>) {
        self.left.push((state, *scope.local()));
    }
}
