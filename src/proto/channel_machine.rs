//! The channel's machine: its mode, and by name what it awaits.
//!
//! ```text
//!               opened            confirm.select-ok
//! Closed -> Opening -> Open -> Selecting -> Confirming      close           close-ok
//!                        |         \------> Transactional  ------> Closing ------> Closed
//!                        |  request           answer
//!                        +---------> Binding -------> back to the mode, or on to what is
//!                                    Declaring        awaited next
//!                                    Consuming ...
//! ```
//!
//! A request that goes out while another is outstanding waits in line for its answer: the state
//! names the oldest. A channel exception or a lost connection ends each state.

use crate::fsm::{Behaviour, Machine, Node, Outcome, Row, Scope, Signal, Table, labels, on};

use super::{Request, core::Core};

labels! {
    /// The states of a channel.
    pub enum ChannelState {
        /// It does not exist on the wire.
        Closed = "Closed",
        /// channel.open-ok is awaited.
        Opening = "Opening",
        /// The connection is lost and will be back; then the channel is, in the same mode.
        Recovering = "Recovering",
        /// Open; its mode is not fixed.
        Open = "Open",
        /// Open; publishes are confirmed.
        Confirming = "Confirming",
        /// Open; publishes and settlements are transactional.
        Transactional = "Transactional",
        /// confirm.select-ok or tx.select-ok is awaited.
        Selecting = "Selecting",
        /// The answer to a declaration is awaited.
        Declaring = "Declaring",
        /// The answer to a binding or unbinding is awaited.
        Binding = "Binding",
        /// The answer to a deletion or purge is awaited.
        Removing = "Removing",
        /// basic.qos-ok is awaited.
        Limiting = "Limiting",
        /// The answer to a consume or cancel is awaited.
        Consuming = "Consuming",
        /// The answer to a get is awaited.
        Getting = "Getting",
        /// The answer to a commit or rollback is awaited.
        Committing = "Committing",
        /// channel.close-ok is awaited.
        Closing = "Closing",
    }
}

labels! {
    /// What a request is about; its answer is awaited in the state of that name.
    pub enum Operation {
        /// confirm.select
        SelectConfirm = "confirm.select",
        /// tx.select
        SelectTx = "tx.select",
        /// queue.declare, exchange.declare
        Declare = "declare",
        /// queue.bind, queue.unbind, exchange.bind, exchange.unbind
        Bind = "bind",
        /// queue.delete, exchange.delete, queue.purge
        Remove = "remove",
        /// basic.qos
        Limit = "qos",
        /// basic.consume, basic.cancel
        Consume = "consume",
        /// basic.get
        Get = "get",
        /// tx.commit, tx.rollback
        Commit = "commit",
        /// channel.close
        Close = "close",
        /// channel.open
        Open = "open",
        /// channel.open-ok
        Opened = "opened",
        /// The answer to the oldest outstanding request.
        Answer = "answer",
        /// channel.close-ok
        CloseOk = "close-ok",
        /// channel.close from the broker: a channel exception
        ClosedByBroker = "closed by broker",
        /// The connection is lost and will be back.
        Interrupted = "interrupted",
        /// The connection is gone for good.
        Lost = "lost",
    }
}

/// What happens to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelEvent {
    /// channel.open goes out.
    Open,
    /// channel.open-ok arrived.
    Opened {
        /// The oldest request, where some went out right behind channel.open.
        next: Option<Operation>,
    },
    /// A request goes out.
    Request(Operation),
    /// The oldest request was answered.
    Answer {
        /// Which it was.
        to: Operation,
        /// The next oldest.
        next: Option<Operation>,
    },
    /// channel.close goes out.
    Close,
    /// channel.close-ok arrived.
    CloseOk,
    /// channel.close arrived.
    ClosedByBroker,
    /// The connection is lost and will be back.
    Interrupted,
    /// The connection is gone for good.
    Lost,
}

impl Signal for ChannelEvent {
    type Kind = Operation;

    fn kind(&self) -> Operation {
        match self {
            ChannelEvent::Open => Operation::Open,
            ChannelEvent::Opened { .. } => Operation::Opened,
            ChannelEvent::Request(operation) => *operation,
            ChannelEvent::Answer { .. } => Operation::Answer,
            ChannelEvent::Close => Operation::Close,
            ChannelEvent::CloseOk => Operation::CloseOk,
            ChannelEvent::ClosedByBroker => Operation::ClosedByBroker,
            ChannelEvent::Interrupted => Operation::Interrupted,
            ChannelEvent::Lost => Operation::Lost,
        }
    }
}

impl Operation {
    /// What a request is about.
    pub fn of(request: &Request) -> Operation {
        match request {
            Request::DeclareExchange(_) | Request::DeclareQueue(_) => Operation::Declare,
            Request::BindExchange(_)
            | Request::UnbindExchange(_)
            | Request::BindQueue(_)
            | Request::UnbindQueue(_) => Operation::Bind,
            Request::DeleteExchange { .. }
            | Request::DeleteQueue { .. }
            | Request::PurgeQueue { .. } => Operation::Remove,
            Request::Limit { .. } => Operation::Limit,
            Request::Consume(_) | Request::Cancel { .. } => Operation::Consume,
            Request::Get { .. } => Operation::Get,
            Request::ConfirmSelect => Operation::SelectConfirm,
            Request::TxSelect => Operation::SelectTx,
            Request::TxCommit | Request::TxRollback => Operation::Commit,
            Request::CloseChannel => Operation::Close,
        }
    }

    /// The state in which its answer is awaited.
    fn awaited_in(self) -> ChannelState {
        match self {
            Operation::SelectConfirm | Operation::SelectTx => ChannelState::Selecting,
            Operation::Declare => ChannelState::Declaring,
            Operation::Bind => ChannelState::Binding,
            Operation::Remove => ChannelState::Removing,
            Operation::Limit => ChannelState::Limiting,
            Operation::Consume => ChannelState::Consuming,
            Operation::Get => ChannelState::Getting,
            Operation::Commit => ChannelState::Committing,
            Operation::Close | Operation::CloseOk => ChannelState::Closing,
            Operation::Open | Operation::Opened => ChannelState::Opening,
            Operation::Answer => ChannelState::Open,
            Operation::Interrupted => ChannelState::Recovering,
            Operation::ClosedByBroker | Operation::Lost => ChannelState::Closed,
        }
    }
}

/// A transition of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelTransition {
    /// The channel's id on the wire.
    pub channel: u16,
    /// What changed.
    pub transition: crate::fsm::Transition<ChannelState, Operation>,
}

/// The behaviour behind [`ChannelMachine`]: what it keeps is the mode to come back to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelBehaviour {
    mode: ChannelState,
}

impl Default for ChannelBehaviour {
    /// A channel that does not exist on the wire yet.
    fn default() -> Self {
        ChannelBehaviour { mode: Open }
    }
}

use ChannelState::{
    Binding, Closed, Closing, Committing, Confirming, Consuming, Declaring, Getting, Limiting,
    Open, Opening, Recovering, Removing, Selecting, Transactional,
};

/// Wherever an answer may lead: back to the mode, or on to what is awaited next.
const ANSWERED: &[ChannelState] = &[
    Open,
    Confirming,
    Transactional,
    Selecting,
    Declaring,
    Binding,
    Removing,
    Limiting,
    Consuming,
    Getting,
    Committing,
    Closing,
];

type Rule = Row<ChannelBehaviour>;

/// What ends every state in which the channel exists on the wire.
const ENDED: Rule = on(Operation::ClosedByBroker).to(&[Closed]);
const LOST: Rule = on(Operation::Lost).to(&[Closed]);
const INTERRUPTED: Rule = on(Operation::Interrupted).to(&[Recovering]);

/// In a mode: each request has its state.
const fn request(operation: Operation, to: &'static [ChannelState]) -> Rule {
    on(operation).to(to)
}

/// While an answer is awaited: a further request waits in line.
const fn in_line(operation: Operation) -> Rule {
    on(operation).completes()
}

const PLAIN: &[Rule] = &[
    request(Operation::SelectConfirm, &[Selecting]),
    request(Operation::SelectTx, &[Selecting]),
    request(Operation::Declare, &[Declaring]),
    request(Operation::Bind, &[Binding]),
    request(Operation::Remove, &[Removing]),
    request(Operation::Limit, &[Limiting]),
    request(Operation::Consume, &[Consuming]),
    request(Operation::Get, &[Getting]),
    request(Operation::Close, &[Closing]),
    ENDED,
    LOST,
    INTERRUPTED,
];

const CONFIRM: &[Rule] = &[
    request(Operation::Declare, &[Declaring]),
    request(Operation::Bind, &[Binding]),
    request(Operation::Remove, &[Removing]),
    request(Operation::Limit, &[Limiting]),
    request(Operation::Consume, &[Consuming]),
    request(Operation::Get, &[Getting]),
    request(Operation::Close, &[Closing]),
    ENDED,
    LOST,
    INTERRUPTED,
];

const TX: &[Rule] = &[
    request(Operation::Declare, &[Declaring]),
    request(Operation::Bind, &[Binding]),
    request(Operation::Remove, &[Removing]),
    request(Operation::Limit, &[Limiting]),
    request(Operation::Consume, &[Consuming]),
    request(Operation::Get, &[Getting]),
    request(Operation::Commit, &[Committing]),
    request(Operation::Close, &[Closing]),
    ENDED,
    LOST,
    INTERRUPTED,
];

/// What a channel that is reopened asks for goes out right behind channel.open.
const OPENING: &[Rule] = &[
    on(Operation::Opened).to(ANSWERED),
    in_line(Operation::SelectConfirm),
    in_line(Operation::SelectTx),
    in_line(Operation::Declare),
    in_line(Operation::Bind),
    in_line(Operation::Remove),
    in_line(Operation::Limit),
    in_line(Operation::Consume),
    in_line(Operation::Get),
    in_line(Operation::Commit),
    in_line(Operation::Close),
    ENDED,
    LOST,
    INTERRUPTED,
];

const AWAITING: &[Rule] = &[
    on(Operation::Answer).to(ANSWERED).completes(),
    // It overtakes what a queue has not answered yet, and never will.
    on(Operation::CloseOk).to(&[Closed]),
    in_line(Operation::SelectConfirm),
    in_line(Operation::SelectTx),
    in_line(Operation::Declare),
    in_line(Operation::Bind),
    in_line(Operation::Remove),
    in_line(Operation::Limit),
    in_line(Operation::Consume),
    in_line(Operation::Get),
    in_line(Operation::Commit),
    in_line(Operation::Close),
    ENDED,
    LOST,
    INTERRUPTED,
];

impl Behaviour for ChannelBehaviour {
    type State = ChannelState;
    type Kind = Operation;
    type Event = ChannelEvent;
    type Action = ();
    type Local = ();
    type Fault = std::convert::Infallible;

    const NAME: &'static str = "channel";
    const QUEUE: usize = 2;
    const ACTIONS: usize = 1;
    // They are fetched after each step; a step makes two at most.
    const TRANSITIONS: usize = 2;
    const TABLE: Table<Self> = Table::new(
        Closed,
        &[
            Node::new(
                Closed,
                &[on(Operation::Open).to(&[Opening]), on(Operation::Interrupted).to(&[Recovering])],
            ),
            Node::new(Opening, OPENING),
            Node::new(Recovering, &[on(Operation::Open).to(&[Opening]), LOST]),
            Node::new(Open, PLAIN),
            Node::new(Confirming, CONFIRM),
            Node::new(Transactional, TX),
            Node::new(Selecting, AWAITING),
            Node::new(Declaring, AWAITING),
            Node::new(Binding, AWAITING),
            Node::new(Removing, AWAITING),
            Node::new(Limiting, AWAITING),
            Node::new(Consuming, AWAITING),
            Node::new(Getting, AWAITING),
            Node::new(Committing, AWAITING),
            Node::new(Closing, &[on(Operation::CloseOk).to(&[Closed]), ENDED, LOST, INTERRUPTED]),
        ],
    );

    fn handle(
        &mut self,
        state: ChannelState,
        event: &ChannelEvent,
        _: &mut Scope<'_, Self>,
    ) -> Result<Outcome<ChannelState>, Self::Fault> {
        let awaiting = !matches!(state, Open | Confirming | Transactional);
        Ok(match event {
            ChannelEvent::Open => {
                self.mode = Open;
                Outcome::to(Opening)
            }
            ChannelEvent::Interrupted => Outcome::to(Recovering),
            ChannelEvent::Opened { next } => Outcome::to(next.map_or(Open, Operation::awaited_in)),
            ChannelEvent::Request(_) | ChannelEvent::Close if awaiting => Outcome::Complete,
            ChannelEvent::Request(operation) => Outcome::to(operation.awaited_in()),
            ChannelEvent::Close => Outcome::to(Closing),
            ChannelEvent::Answer { to, next } => {
                match to {
                    Operation::SelectConfirm => self.mode = Confirming,
                    Operation::SelectTx => self.mode = Transactional,
                    _ => {}
                }
                match next.map_or(self.mode, Operation::awaited_in) {
                    same if same == state => Outcome::Complete,
                    other => Outcome::to(other),
                }
            }
            ChannelEvent::CloseOk | ChannelEvent::ClosedByBroker | ChannelEvent::Lost => {
                Outcome::to(Closed)
            }
        })
    }
}

/// The machine of one channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChannelMachine(Machine<ChannelBehaviour>);

impl ChannelMachine {
    /// A channel that does not exist on the wire yet.
    pub(super) fn new(now: crate::fsm::Time) -> Self {
        ChannelMachine(Machine::new(now, ChannelBehaviour::default()))
    }

    /// The current state.
    pub fn state(&self) -> ChannelState {
        self.0.state()
    }

    /// Steps, and notes the transitions.
    pub(super) fn step(&mut self, channel: u16, event: ChannelEvent, core: &mut Core) {
        let handled = self.0.handle(core.now, event);
        debug_assert!(handled.is_ok(), "{event:?} in {:?}: {handled:?}", self.0.state());
        while let Some(transition) = self.0.poll_transition() {
            core.note(ChannelTransition { channel, transition });
        }
        self.0.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_whole() {
        ChannelBehaviour::TABLE.check().expect("a table without flaws");
    }
}
