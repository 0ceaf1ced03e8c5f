//! The books of a channel's transactions: what its user was promised against what went to the broker.

use std::collections::VecDeque;

use hopmq::proto::CallId;

/// Messages are bits.
#[derive(Clone, Default, Hash)]
pub struct Transactions {
    /// Those of the transaction that the user publishes into.
    open: u8,
    /// The ends that the user has asked for, each with what it is about; a commit or a rollback.
    asked: Vec<(CallId, u8, bool)>,
    /// What has gone out on this link since the last end, and the ends that the broker owes an answer: a
    /// commit with what it is about, or a rollback.
    written: u8,
    owed: VecDeque<Option<u8>>,
    /// What the broker has committed, and what must never be.
    committed: u8,
    doomed: u8,
}

impl Transactions {
    pub fn published(&mut self, message: usize) {
        self.open |= 1 << message;
    }

    /// The user asks for the end; without a call that was refused.
    pub fn ends(&mut self, commit: bool, call: Option<CallId>) {
        match call {
            Some(call) => self.asked.push((call, std::mem::take(&mut self.open), commit)),
            None => self.doomed |= self.open,
        }
        self.check();
    }

    /// The user has an answer, which says that it was done, or not.
    pub fn answered(&mut self, call: CallId, done: bool) {
        let Some(at) = self.asked.iter().position(|(asked, ..)| *asked == call) else { return };
        let (_, messages, commit) = self.asked.remove(at);
        if done && commit {
            assert_eq!(messages & !self.committed, 0, "committed in part, or not at all");
        } else if done {
            self.doomed |= messages;
        }
        self.check();
    }

    /// The user no longer waits for the answer.
    pub fn gave_up(&mut self, call: CallId) {
        self.asked.retain(|(asked, ..)| *asked != call);
    }

    /// The user let go of the channel.
    pub fn released(&mut self) {
        self.open = 0;
    }

    /// This went out.
    pub fn wrote(&mut self, unit: &[u8], message: Option<u8>) {
        self.written |= message.map_or(0, |message| 1 << message);
        match unit.get(7..11) {
            Some([0, 90, 0, 20]) => self.owed.push_back(Some(std::mem::take(&mut self.written))),
            Some([0, 90, 0, 30]) => {
                self.written = 0;
                self.owed.push_back(None);
            }
            _ => {}
        }
    }

    /// The broker says tx.commit-ok, or tx.rollback-ok; where it owes the other one it has no right to.
    pub fn granted(&mut self, commit: bool) {
        if self.owed.front().is_some_and(|owed| owed.is_some() == commit) {
            self.committed |= self.owed.pop_front().flatten().unwrap_or_default();
            self.check();
        }
    }

    /// Of what the broker has not committed it keeps nothing.
    pub fn cut(&mut self) {
        self.written = 0;
        self.owed.clear();
    }

    fn check(&self) {
        assert_eq!(self.committed & self.doomed, 0, "rolled back, and committed");
    }
}
