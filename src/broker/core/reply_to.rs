//! Direct reply-to: an address that stands for one consumer of one channel, without a queue.

use std::sync::Arc;

use super::{At, Core, Message, Name, Output, Refusal, Reply, channel::ReplyConsumer};
use crate::wire::{Properties, method::basic};

/// The name that clients consume from and put into reply_to.
pub(crate) const ANY_ADDRESS: Name = Name::literal("amq.rabbitmq.reply-to");

/// Whether a name is that one or an address made from it.
pub(crate) fn is_address(name: &Name) -> bool {
    name.as_bytes()
        .strip_prefix(ANY_ADDRESS.as_bytes())
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
}

impl Core {
    /// basic.consume on `amq.rabbitmq.reply-to`
    pub(super) fn consume_replies(
        &mut self,
        at: At,
        method: &basic::Consume<'_>,
        tag: Name,
    ) -> Result<(), Refusal> {
        if !method.no_ack {
            return Err(Refusal::precondition("reply consumer cannot acknowledge"));
        }
        if self.channel(at)?.reply_consumer.is_some() {
            return Err(Refusal::precondition("reply consumer already set"));
        }
        let address = self.generate_name("amq.rabbitmq.reply-to.");
        self.reply_addresses.insert(address.clone(), at);
        self.channel(at)?.reply_consumer = Some(ReplyConsumer { tag: tag.clone(), address });
        self.answer(at, method.no_wait, Reply::ConsumeOk(tag));
        Ok(())
    }

    /// Ends the reply consumer if the tag is its own.
    pub(super) fn cancel_replies(&mut self, at: At, tag: &Name) -> bool {
        let Ok(channel) = self.channel(at) else {
            return false;
        };
        match channel.reply_consumer.take_if(|reply| reply.tag == *tag) {
            Some(reply) => {
                let before = channel.reply_address_before.replace(reply.address);
                before.map(|address| self.reply_addresses.remove(&address));
                true
            }
            None => false,
        }
    }

    /// Puts the channel's own address in the place of the general one. Tells whether it did.
    pub(super) fn override_reply_to(
        &mut self,
        at: At,
        properties: &mut Properties,
    ) -> Result<bool, Refusal> {
        let general = properties
            .reply_to
            .as_ref()
            .is_some_and(|name| name.as_str().as_bytes() == ANY_ADDRESS.as_bytes());
        if !general {
            return Ok(false);
        }
        match &self.channel(at)?.reply_consumer {
            Some(reply) => {
                let address = reply.address.to_string();
                properties.reply_to = crate::wire::ShortString::new(address).ok();
                Ok(true)
            }
            None => Err(Refusal::precondition("fast reply consumer does not exist")),
        }
    }

    /// Whether an address stands for a consumer.
    pub(super) fn is_consumed(&mut self, address: &Name) -> bool {
        let Some(&at) = self.reply_addresses.get(address) else { return false };
        let consumer = self.channel(at).ok().and_then(|channel| channel.reply_consumer.as_ref());
        consumer.is_some_and(|reply| reply.address == *address)
    }

    /// Delivers a reply that was published to the default exchange. Tells whether the address is
    /// that of a channel: RabbitMQ drops what comes after the consumer was cancelled, and returns
    /// it as unroutable once the channel is gone.
    pub(super) fn deliver_reply(&mut self, message: &Arc<Message>) -> bool {
        if !message.exchange.is_empty() || !is_address(&message.routing_key) {
            return false;
        }
        let Some(&at) = self.reply_addresses.get(&message.routing_key) else {
            return false;
        };
        let Ok(channel) = self.channel(at) else {
            return false;
        };
        let consumer = channel.reply_consumer.as_ref();
        let Some(reply) = consumer.filter(|reply| reply.address == message.routing_key) else {
            return true;
        };
        let consumer = reply.tag.clone();
        channel.last_tag += 1;
        let deliver = Output::Deliver {
            channel: at.channel,
            consumer,
            tag: channel.last_tag,
            redelivered: false,
            message: Arc::clone(message),
            properties: None,
        };
        self.push(at.conn, deliver);
        true
    }
}
