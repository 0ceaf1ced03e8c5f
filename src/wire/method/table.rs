//! The method table: AMQP 0-9-1 with RabbitMQ's extensions. How to read a row: see `macros.rs`.

use bytes::BytesMut;

use super::{FieldSpec, MethodFrame, MethodId, MethodSpec, append_arguments, measured, sealed};
use crate::wire::octets::{Field, Reader, Short, Writer};
use crate::wire::{RawTable, ShortStr};

methods! {
    /// Class 10: the handshake, the end, and the alarms of a connection, on channel 0.
    connection = 10 {
        /// The broker's greeting: who it is and how one may log in.
        10 Start<'a> ConnectionStart "connection.start" -> [StartOk] plain [] {
            version_major: u8 = "The protocol's major version, 0.",
            version_minor: u8 = "The protocol's minor version, 9.",
            server_properties: RawTable<'a> = "What the broker says about itself, its capabilities among it.",
            mechanisms: &'a [u8] = "SASL mechanisms, separated by spaces.",
            locales: &'a [u8] = "Message locales, separated by spaces.",
        } []
        /// The client's choice of a mechanism, with its first response.
        11 StartOk<'a> ConnectionStartOk "connection.start-ok" -> [] plain [] {
            client_properties: RawTable<'a> = "What the client says about itself, its capabilities among it.",
            mechanism: ShortStr<'a> = "The SASL mechanism chosen.",
            response: &'a [u8] = "The mechanism's initial response.",
            locale: ShortStr<'a> = "The locale chosen.",
        } []
        /// A further SASL challenge.
        20 Secure<'a> ConnectionSecure "connection.secure" -> [SecureOk] plain [] {
            challenge: &'a [u8] = "The challenge.",
        } []
        /// The answer to a challenge.
        21 SecureOk<'a> ConnectionSecureOk "connection.secure-ok" -> [] plain [] {
            response: &'a [u8] = "The response.",
        } []
        /// The limits that the broker proposes; 0 means none.
        30 Tune ConnectionTune "connection.tune" -> [TuneOk] plain [] {
            channel_max: u16 = "The highest channel number.",
            frame_max: u32 = "The largest frame in bytes, its overhead included.",
            heartbeat: u16 = "The heartbeat timeout, in seconds.",
        } []
        /// The limits that hold, none above what was proposed.
        31 TuneOk ConnectionTuneOk "connection.tune-ok" -> [] plain [] {
            channel_max: u16 = "The highest channel number.",
            frame_max: u32 = "The largest frame in bytes, its overhead included.",
            heartbeat: u16 = "The heartbeat timeout, in seconds; 0 switches heartbeats off.",
        } []
        /// Enters a virtual host.
        40 Open<'a> ConnectionOpen "connection.open" -> [OpenOk] plain [] {
            virtual_host: ShortStr<'a> = "The virtual host.",
        } [ShortStr<'_>, bool]
        /// The connection is open.
        41 OpenOk ConnectionOpenOk "connection.open-ok" -> [] plain [] {} [ShortStr<'_>]
        /// Ends the connection, in order or with an error.
        50 Close<'a> ConnectionClose "connection.close" -> [CloseOk] plain [] {
            reply_code: u16 = "Why: a [`ReplyCode`](crate::wire::ReplyCode).",
            reply_text: ShortStr<'a> = "Why, in words.",
            class_id: u16 = "The class of the method that caused it, or 0.",
            method_id: u16 = "The method that caused it, or 0.",
        } []
        /// The close was taken note of: the socket may go.
        51 CloseOk ConnectionCloseOk "connection.close-ok" -> [] plain [] {} []
        /// RabbitMQ: the broker is short of memory or disk and stops reading publishers.
        60 Blocked<'a> ConnectionBlocked "connection.blocked" -> [] plain [] {
            reason: ShortStr<'a> = "What it is short of.",
        } []
        /// RabbitMQ: the alarm is over.
        61 Unblocked ConnectionUnblocked "connection.unblocked" -> [] plain [] {} []
        /// RabbitMQ: a new secret before the old one expires (OAuth 2 tokens).
        70 UpdateSecret<'a> ConnectionUpdateSecret "connection.update-secret" -> [UpdateSecretOk] plain [] {
            new_secret: &'a [u8] = "The new secret.",
            reason: ShortStr<'a> = "Why, for the broker's log.",
        } []
        /// RabbitMQ: the new secret was accepted.
        71 UpdateSecretOk ConnectionUpdateSecretOk "connection.update-secret-ok" -> [] plain [] {} []
    }

    /// Class 20: opening and closing channels.
    channel = 20 {
        /// Opens the channel whose number the frame carries.
        10 Open ChannelOpen "channel.open" -> [OpenOk] plain [] {} [ShortStr<'_>]
        /// The channel is open.
        11 OpenOk ChannelOpenOk "channel.open-ok" -> [] plain [] {} [&[u8]]
        /// Asks the peer to pause or resume the sending of content.
        20 Flow ChannelFlow "channel.flow" -> [FlowOk] plain [] {
            active: bool = "Whether content may flow.",
        } []
        /// The answer to `flow`.
        21 FlowOk ChannelFlowOk "channel.flow-ok" -> [] plain [] {
            active: bool = "Whether content flows.",
        } []
        /// Ends the channel, in order or with an error.
        40 Close<'a> ChannelClose "channel.close" -> [CloseOk] plain [] {
            reply_code: u16 = "Why: a [`ReplyCode`](crate::wire::ReplyCode).",
            reply_text: ShortStr<'a> = "Why, in words.",
            class_id: u16 = "The class of the method that caused it, or 0.",
            method_id: u16 = "The method that caused it, or 0.",
        } []
        /// The close was taken note of: the number is free again.
        41 CloseOk ChannelCloseOk "channel.close-ok" -> [] plain [] {} []
    }

    /// Class 40: exchanges.
    exchange = 40 {
        /// Creates an exchange, or checks that it exists and is alike.
        10 Declare<'a> ExchangeDeclare "exchange.declare" -> [DeclareOk] plain [u16] {
            exchange: ShortStr<'a> = "Its name.",
            kind: ShortStr<'a> = "Its type (`type` in the spec), as `topic`.",
            passive: bool = "Only check that it exists.",
            durable: bool = "It survives a restart of the broker.",
            auto_delete: bool = "RabbitMQ: it goes with its last binding.",
            internal: bool = "RabbitMQ: only bindings, not clients, publish to it.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "Arguments, as `alternate-exchange`.",
        } []
        /// The exchange exists.
        11 DeclareOk ExchangeDeclareOk "exchange.declare-ok" -> [] plain [] {} []
        /// Deletes an exchange.
        20 Delete<'a> ExchangeDelete "exchange.delete" -> [DeleteOk] plain [u16] {
            exchange: ShortStr<'a> = "Its name.",
            if_unused: bool = "Only when nothing is bound to it.",
            no_wait: bool = "The broker does not answer.",
        } []
        /// The exchange is gone.
        21 DeleteOk ExchangeDeleteOk "exchange.delete-ok" -> [] plain [] {} []
        /// RabbitMQ: binds an exchange to another.
        30 Bind<'a> ExchangeBind "exchange.bind" -> [BindOk] plain [u16] {
            destination: ShortStr<'a> = "The exchange to which messages go.",
            source: ShortStr<'a> = "The exchange from which they come.",
            routing_key: ShortStr<'a> = "The binding key.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "Arguments, as a headers exchange wants.",
        } []
        /// RabbitMQ: the binding exists.
        31 BindOk ExchangeBindOk "exchange.bind-ok" -> [] plain [] {} []
        /// RabbitMQ: removes a binding between exchanges.
        40 Unbind<'a> ExchangeUnbind "exchange.unbind" -> [UnbindOk] plain [u16] {
            destination: ShortStr<'a> = "The exchange to which messages went.",
            source: ShortStr<'a> = "The exchange from which they came.",
            routing_key: ShortStr<'a> = "The binding key.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "The arguments of the binding.",
        } []
        /// RabbitMQ: the binding is gone. (51, not 41.)
        51 UnbindOk ExchangeUnbindOk "exchange.unbind-ok" -> [] plain [] {} []
    }

    /// Class 50: queues.
    queue = 50 {
        /// Creates a queue, or checks that it exists and is alike.
        10 Declare<'a> QueueDeclare "queue.declare" -> [DeclareOk] plain [u16] {
            queue: ShortStr<'a> = "Its name; empty asks the broker for one.",
            passive: bool = "Only check that it exists.",
            durable: bool = "It survives a restart of the broker.",
            exclusive: bool = "Only this connection may use it, and it goes with it.",
            auto_delete: bool = "It goes with its last consumer.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "Arguments, as `x-queue-type`.",
        } []
        /// The queue exists.
        11 DeclareOk<'a> QueueDeclareOk "queue.declare-ok" -> [] plain [] {
            queue: ShortStr<'a> = "Its name, which the broker may have chosen.",
            message_count: u32 = "Messages ready in it.",
            consumer_count: u32 = "Its consumers.",
        } []
        /// Binds a queue to an exchange.
        20 Bind<'a> QueueBind "queue.bind" -> [BindOk] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            exchange: ShortStr<'a> = "The exchange.",
            routing_key: ShortStr<'a> = "The binding key.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "Arguments, as a headers exchange wants.",
        } []
        /// The binding exists.
        21 BindOk QueueBindOk "queue.bind-ok" -> [] plain [] {} []
        /// Removes a binding.
        50 Unbind<'a> QueueUnbind "queue.unbind" -> [UnbindOk] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            exchange: ShortStr<'a> = "The exchange.",
            routing_key: ShortStr<'a> = "The binding key.",
            arguments: RawTable<'a> = "The arguments of the binding.",
        } []
        /// The binding is gone.
        51 UnbindOk QueueUnbindOk "queue.unbind-ok" -> [] plain [] {} []
        /// Removes the messages that are ready.
        30 Purge<'a> QueuePurge "queue.purge" -> [PurgeOk] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            no_wait: bool = "The broker does not answer.",
        } []
        /// The messages are gone.
        31 PurgeOk QueuePurgeOk "queue.purge-ok" -> [] plain [] {
            message_count: u32 = "How many they were.",
        } []
        /// Deletes a queue.
        40 Delete<'a> QueueDelete "queue.delete" -> [DeleteOk] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            if_unused: bool = "Only when it has no consumers.",
            if_empty: bool = "Only when it has no messages.",
            no_wait: bool = "The broker does not answer.",
        } []
        /// The queue is gone.
        41 DeleteOk QueueDeleteOk "queue.delete-ok" -> [] plain [] {
            message_count: u32 = "How many messages went with it.",
        } []
    }

    /// Class 60: publishing, consuming, acknowledging.
    basic = 60 {
        /// How much the broker may send ahead of acknowledgements.
        10 Qos BasicQos "basic.qos" -> [QosOk] plain [] {
            prefetch_size: u32 = "In bytes; RabbitMQ supports only 0, no limit.",
            prefetch_count: u16 = "In messages; 0 is no limit.",
            global: bool = "RabbitMQ: per channel when set, else for each new consumer.",
        } []
        /// The limits hold.
        11 QosOk BasicQosOk "basic.qos-ok" -> [] plain [] {} []
        /// Starts a consumer.
        20 Consume<'a> BasicConsume "basic.consume" -> [ConsumeOk] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            consumer_tag: ShortStr<'a> = "The consumer's name; empty asks the broker for one.",
            no_local: bool = "Not what this connection published; RabbitMQ ignores it.",
            no_ack: bool = "Messages count as acknowledged once sent.",
            exclusive: bool = "Be the queue's only consumer.",
            no_wait: bool = "The broker does not answer.",
            arguments: RawTable<'a> = "Arguments, as `x-priority` or `x-stream-offset`.",
        } []
        /// The consumer runs.
        21 ConsumeOk<'a> BasicConsumeOk "basic.consume-ok" -> [] plain [] {
            consumer_tag: ShortStr<'a> = "Its name.",
        } []
        /// Ends a consumer. RabbitMQ sends it to the client too, when a queue goes away.
        30 Cancel<'a> BasicCancel "basic.cancel" -> [CancelOk] plain [] {
            consumer_tag: ShortStr<'a> = "Its name.",
            no_wait: bool = "The peer does not answer.",
        } []
        /// The consumer has ended: nothing is delivered to it any more.
        31 CancelOk<'a> BasicCancelOk "basic.cancel-ok" -> [] plain [] {
            consumer_tag: ShortStr<'a> = "Its name.",
        } []
        /// Publishes the message that follows.
        40 Publish<'a> BasicPublish "basic.publish" -> [] content [u16] {
            exchange: ShortStr<'a> = "The exchange; empty is the default one.",
            routing_key: ShortStr<'a> = "The routing key.",
            mandatory: bool = "Return it when no queue gets it.",
            immediate: bool = "Not supported by RabbitMQ: it closes the connection.",
        } []
        /// A message comes back.
        50 Return<'a> BasicReturn "basic.return" -> [] content [] {
            reply_code: u16 = "Why: a [`ReplyCode`](crate::wire::ReplyCode).",
            reply_text: ShortStr<'a> = "Why, in words.",
            exchange: ShortStr<'a> = "The exchange it was published to.",
            routing_key: ShortStr<'a> = "Its routing key.",
        } []
        /// Delivers the message that follows to a consumer.
        60 Deliver<'a> BasicDeliver "basic.deliver" -> [] content [] {
            consumer_tag: ShortStr<'a> = "The consumer.",
            delivery_tag: u64 = "The number by which the channel settles it.",
            redelivered: bool = "It was delivered before and not acknowledged.",
            exchange: ShortStr<'a> = "The exchange it was published to.",
            routing_key: ShortStr<'a> = "Its routing key.",
        } []
        /// Asks for one message.
        70 Get<'a> BasicGet "basic.get" -> [GetOk, GetEmpty] plain [u16] {
            queue: ShortStr<'a> = "The queue; empty is the last one declared on the channel.",
            no_ack: bool = "It counts as acknowledged once sent.",
        } []
        /// The message asked for follows.
        71 GetOk<'a> BasicGetOk "basic.get-ok" -> [] content [] {
            delivery_tag: u64 = "The number by which the channel settles it.",
            redelivered: bool = "It was delivered before and not acknowledged.",
            exchange: ShortStr<'a> = "The exchange it was published to.",
            routing_key: ShortStr<'a> = "Its routing key.",
            message_count: u32 = "Messages that are still ready in the queue.",
        } []
        /// No message is ready.
        72 GetEmpty BasicGetEmpty "basic.get-empty" -> [] plain [] {} [ShortStr<'_>]
        /// Acknowledges deliveries; with RabbitMQ's confirms the broker sends it for publishes.
        80 Ack BasicAck "basic.ack" -> [] plain [] {
            delivery_tag: u64 = "The number; 0 with `multiple` is all of them.",
            multiple: bool = "All up to it as well.",
        } []
        /// Rejects a delivery.
        90 Reject BasicReject "basic.reject" -> [] plain [] {
            delivery_tag: u64 = "The number.",
            requeue: bool = "Back to the queue, else dead-lettered or dropped.",
        } []
        /// Deprecated: redelivers what is not acknowledged, without an answer.
        100 RecoverAsync BasicRecoverAsync "basic.recover-async" -> [] plain [] {
            requeue: bool = "To any consumer, else to the same one.",
        } []
        /// Redelivers what is not acknowledged.
        110 Recover BasicRecover "basic.recover" -> [RecoverOk] plain [] {
            requeue: bool = "To any consumer, else to the same one.",
        } []
        /// The messages are on their way again.
        111 RecoverOk BasicRecoverOk "basic.recover-ok" -> [] plain [] {} []
        /// RabbitMQ: rejects deliveries; from the broker it says that publishes were not taken.
        120 Nack BasicNack "basic.nack" -> [] plain [] {
            delivery_tag: u64 = "The number; 0 with `multiple` is all of them.",
            multiple: bool = "All up to it as well.",
            requeue: bool = "Back to the queue, else dead-lettered or dropped.",
        } []
    }

    /// Class 85, RabbitMQ's: publisher confirms.
    confirm = 85 {
        /// Has the broker acknowledge publishes on this channel, counted from 1.
        10 Select ConfirmSelect "confirm.select" -> [SelectOk] plain [] {
            no_wait: bool = "The broker does not answer.",
        } []
        /// The channel confirms.
        11 SelectOk ConfirmSelectOk "confirm.select-ok" -> [] plain [] {} []
    }

    /// Class 90: transactions.
    tx = 90 {
        /// Makes the channel transactional.
        10 Select TxSelect "tx.select" -> [SelectOk] plain [] {} []
        /// The channel is transactional.
        11 SelectOk TxSelectOk "tx.select-ok" -> [] plain [] {} []
        /// Commits publishes and acknowledgements.
        20 Commit TxCommit "tx.commit" -> [CommitOk] plain [] {} []
        /// They are committed.
        21 CommitOk TxCommitOk "tx.commit-ok" -> [] plain [] {} []
        /// Drops publishes and acknowledgements.
        30 Rollback TxRollback "tx.rollback" -> [RollbackOk] plain [] {} []
        /// They are dropped.
        31 RollbackOk TxRollbackOk "tx.rollback-ok" -> [] plain [] {} []
    }
}
