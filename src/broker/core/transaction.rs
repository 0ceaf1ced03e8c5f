//! Transactions: publishes and settlements that take effect together (AMQP 0-9-1 section 1.10),
//! and the choice between them and confirms.

use super::{
    At, Core, Refusal, Reply,
    channel::{Confirms, Mode, Transaction},
};
use crate::{fsm::Time, wire::method::confirm};

impl Core {
    /// tx.select
    pub(crate) fn tx_select(&mut self, at: At) -> Result<(), Refusal> {
        let channel = self.channel(at)?;
        match channel.mode {
            Mode::Confirm(_) => {
                return Err(Refusal::precondition("cannot switch from confirm to tx mode"));
            }
            Mode::Plain => channel.mode = Mode::Tx(Transaction::default()),
            Mode::Tx(_) => {}
        }
        self.reply(at, Reply::TxSelectOk);
        Ok(())
    }

    /// tx.commit
    pub(crate) fn tx_commit(&mut self, at: At, now: Time) -> Result<(), Refusal> {
        let transaction = self.take_transaction(at)?;
        let mut accepted = true;
        for publish in transaction.publishes {
            accepted &=
                self.deliver_to(at, publish.message, &publish.queues, publish.mandatory, now);
        }
        for (settle, taken) in transaction.settled {
            self.settle_all(at, settle, taken, now);
        }
        self.settle_dead(now);
        if !accepted {
            return Err(Refusal::precondition("partial tx completion"));
        }
        self.answer_commit(at);
        Ok(())
    }

    /// tx.rollback. Deliveries that were settled in the transaction are unsettled again, and are
    /// not delivered again.
    pub(crate) fn tx_rollback(&mut self, at: At) -> Result<(), Refusal> {
        let transaction = self.take_transaction(at)?;
        let channel = self.channel(at)?;
        channel.unacked.extend(transaction.settled.into_iter().flat_map(|(_, taken)| taken));
        self.reply(at, Reply::TxRollbackOk);
        Ok(())
    }

    /// confirm.select
    pub(crate) fn confirm_select(
        &mut self,
        at: At,
        method: &confirm::Select,
    ) -> Result<(), Refusal> {
        let channel = self.channel(at)?;
        match channel.mode {
            Mode::Tx(_) => {
                return Err(Refusal::precondition("cannot switch from tx to confirm mode"));
            }
            Mode::Plain => channel.mode = Mode::Confirm(Confirms::default()),
            Mode::Confirm(_) => {}
        }
        self.answer(at, method.no_wait, Reply::ConfirmSelectOk);
        Ok(())
    }

    fn take_transaction(&mut self, at: At) -> Result<Transaction, Refusal> {
        match &mut self.channel(at)?.mode {
            Mode::Tx(transaction) => Ok(std::mem::take(transaction)),
            _ => Err(Refusal::precondition("channel is not transactional")),
        }
    }
}
