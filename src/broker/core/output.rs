//! What the core has to say to a connection, in the order in which it must be said.

use std::sync::Arc;

use bytes::Bytes;

use super::{message::Message, name::Name, refusal::Refusal};
use crate::wire::MethodId;

/// One thing to be sent. Encoding it is the session's work, outside the core's lock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// An answer to a method on a channel.
    Reply(u16, Reply),
    /// basic.deliver
    Deliver {
        channel: u16,
        consumer: Name,
        tag: u64,
        redelivered: bool,
        message: Arc<Message>,
        /// Properties that differ from the message's own.
        properties: Option<Bytes>,
    },
    /// basic.get-ok
    GetOk {
        channel: u16,
        tag: u64,
        redelivered: bool,
        remaining: u32,
        message: Arc<Message>,
        properties: Option<Bytes>,
    },
    /// basic.return of a mandatory message that had nowhere to go
    Return { channel: u16, message: Arc<Message> },
    /// basic.ack or basic.nack to a publisher
    Confirm { channel: u16, tag: u64, multiple: bool, ack: bool },
    /// basic.cancel: the queue is gone
    Cancel { channel: u16, consumer: Name },
    /// channel.close
    CloseChannel { channel: u16, refusal: Refusal, method: MethodId },
    /// connection.close
    CloseConnection { refusal: Refusal, method: MethodId },
    /// connection.blocked
    Blocked(&'static str),
    /// connection.unblocked
    Unblocked,
}

/// The answers to synchronous methods.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    ChannelOpenOk,
    ChannelCloseOk,
    FlowOk(bool),
    ExchangeDeclareOk,
    ExchangeDeleteOk,
    ExchangeBindOk,
    ExchangeUnbindOk,
    QueueDeclareOk { name: Name, messages: u32, consumers: u32 },
    QueueBindOk,
    QueueUnbindOk,
    QueuePurgeOk(u32),
    QueueDeleteOk(u32),
    QosOk,
    ConsumeOk(Name),
    CancelOk(Name),
    GetEmpty,
    RecoverOk,
    TxSelectOk,
    TxCommitOk,
    TxRollbackOk,
    ConfirmSelectOk,
}

impl Output {
    /// Octets that it keeps from being freed, by which a slow reader is held back.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Output::Deliver { message, .. }
            | Output::GetOk { message, .. }
            | Output::Return { message, .. } => message.cost(),
            _ => 64,
        }
    }
}
