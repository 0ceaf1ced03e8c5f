//! What goes to the socket: small things gather in one buffer, large bodies go as they are.

use std::{collections::VecDeque, io::IoSlice};

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    broker::core::{Body, Message, Output, Reply},
    wire::{FieldTable, FrameKind, MethodFrame, ReplyCode, ShortStr, Value, encode, method},
};

/// Bytes that wait for the socket, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Outgoing {
    ready: VecDeque<Bytes>,
    tail: BytesMut,
    len: usize,
}

/// A piece of a body from this size is not copied.
const LARGE: usize = 16 * 1024;

impl Outgoing {
    /// Octets that wait.
    pub(crate) fn len(&self) -> usize {
        self.len + self.tail.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends octets as they are.
    pub(crate) fn raw(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
    }

    /// Appends the frames of an output.
    pub(crate) fn output(&mut self, output: &Output, frame_max: u32) {
        match output {
            Output::Deliver { channel, consumer, tag, redelivered, message, properties } => {
                let deliver = method::basic::Deliver {
                    consumer_tag: consumer.as_short(),
                    delivery_tag: *tag,
                    redelivered: *redelivered,
                    exchange: message.exchange.as_short(),
                    routing_key: message.routing_key.as_short(),
                };
                self.message(*channel, &deliver, message, properties.as_ref(), frame_max);
            }
            Output::GetOk { channel, tag, redelivered, remaining, message, properties } => {
                let get_ok = method::basic::GetOk {
                    delivery_tag: *tag,
                    redelivered: *redelivered,
                    exchange: message.exchange.as_short(),
                    routing_key: message.routing_key.as_short(),
                    message_count: *remaining,
                };
                self.message(*channel, &get_ok, message, properties.as_ref(), frame_max);
            }
            Output::Return { channel, message } => {
                let back = method::basic::Return {
                    reply_code: ReplyCode::NO_ROUTE.0,
                    reply_text: short("NO_ROUTE"),
                    exchange: message.exchange.as_short(),
                    routing_key: message.routing_key.as_short(),
                };
                self.message(*channel, &back, message, None, frame_max);
            }
            other => control(&mut self.tail, other),
        }
    }

    /// The pieces that wait, for a vectored write.
    pub(crate) fn slices<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let pieces = self.ready.iter().map(Bytes::as_ref).chain([self.tail.as_ref()]);
        let mut count = 0;
        for (slot, piece) in into.iter_mut().zip(pieces.filter(|piece| !piece.is_empty())) {
            *slot = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Drops what was written.
    pub(crate) fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.ready.front_mut() {
            let step = written.min(front.len());
            front.advance(step);
            written -= step;
            self.len -= step;
            if !front.is_empty() {
                return;
            }
            self.ready.pop_front();
        }
        self.tail.advance(written.min(self.tail.len()));
        if self.tail.is_empty() {
            // The whole of its memory can be used again.
            self.tail.clear();
        }
    }

    fn message(
        &mut self,
        channel: u16,
        method: &impl MethodFrame,
        message: &Message,
        properties: Option<&Bytes>,
        frame_max: u32,
    ) {
        let properties = properties.unwrap_or(&message.properties);
        let mut pieces = message.body.pieces();
        if let (Some(only), true) = (pieces.next(), message.body.len() < LARGE)
            && only.len() == message.body.len()
        {
            encode::message(&mut self.tail, channel, method, properties, only, frame_max);
            return;
        }
        encode::method(&mut self.tail, channel, method);
        encode::content_header(&mut self.tail, channel, message.body.len() as u64, properties);
        self.body(channel, &message.body, encode::body_capacity(frame_max));
    }

    /// The frames of a body in several pieces, whose borders are not those of the frames.
    fn body(&mut self, channel: u16, body: &Body, capacity: usize) {
        let mut left = body.len();
        let mut room = 0;
        for piece in body.pieces() {
            let mut piece = piece.clone();
            while !piece.is_empty() {
                if room == 0 {
                    room = left.min(capacity);
                    left -= room;
                    let size = u32::try_from(room).unwrap_or(u32::MAX);
                    self.raw(&[FrameKind::Body.octet()]);
                    self.raw(&channel.to_be_bytes());
                    self.raw(&size.to_be_bytes());
                }
                let part = piece.split_to(room.min(piece.len()));
                room -= part.len();
                self.piece(part);
                if room == 0 {
                    self.raw(&[crate::wire::FRAME_END]);
                }
            }
        }
    }

    fn piece(&mut self, piece: Bytes) {
        if piece.len() < LARGE {
            return self.raw(&piece);
        }
        let before = self.tail.split().freeze();
        for part in [before, piece] {
            self.len += part.len();
            self.ready.push_back(part);
        }
    }
}

/// A text as a short string, cut to fit.
pub(super) fn short(text: &str) -> ShortStr<'_> {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    ShortStr::from_bytes(text.as_bytes().get(..end).unwrap_or_default())
        .unwrap_or(ShortStr::empty())
}

/// Sets a field whose name is a literal.
pub(super) fn put(table: &mut FieldTable, name: &'static str, value: Value) {
    // Only a name over 255 octets is refused.
    let _ = table.insert(name, value);
}

fn control(out: &mut BytesMut, output: &Output) {
    match output {
        Output::Reply(channel, answer) => reply(out, *channel, answer),
        Output::Confirm { channel, tag, multiple, ack: true } => {
            let ack = method::basic::Ack { delivery_tag: *tag, multiple: *multiple };
            encode::method(out, *channel, &ack);
        }
        Output::Confirm { channel, tag, multiple, ack: false } => {
            let nack =
                method::basic::Nack { delivery_tag: *tag, multiple: *multiple, requeue: true };
            encode::method(out, *channel, &nack);
        }
        Output::Cancel { channel, consumer } => {
            let cancel = method::basic::Cancel { consumer_tag: consumer.as_short(), no_wait: true };
            encode::method(out, *channel, &cancel);
        }
        Output::CloseChannel { channel, refusal, method } => {
            let text = refusal.text();
            let close = method::channel::Close {
                reply_code: refusal.code.0,
                reply_text: short(&text),
                class_id: method.class,
                method_id: method.method,
            };
            encode::method(out, *channel, &close);
        }
        Output::Blocked(reason) => {
            encode::method(out, 0, &method::connection::Blocked { reason: short(reason) });
        }
        Output::Unblocked => encode::method(out, 0, &method::connection::Unblocked {}),
        // These are the session's and the messages' own.
        Output::CloseConnection { .. }
        | Output::Deliver { .. }
        | Output::GetOk { .. }
        | Output::Return { .. } => {}
    }
}

fn reply(out: &mut BytesMut, channel: u16, reply: &Reply) {
    use method::{basic, channel as channels, confirm, exchange, queue, tx};
    match reply {
        Reply::ChannelOpenOk => encode::method(out, channel, &channels::OpenOk {}),
        Reply::ChannelCloseOk => encode::method(out, channel, &channels::CloseOk {}),
        Reply::FlowOk(active) => {
            encode::method(out, channel, &channels::FlowOk { active: *active });
        }
        Reply::ExchangeDeclareOk => encode::method(out, channel, &exchange::DeclareOk {}),
        Reply::ExchangeDeleteOk => encode::method(out, channel, &exchange::DeleteOk {}),
        Reply::ExchangeBindOk => encode::method(out, channel, &exchange::BindOk {}),
        Reply::ExchangeUnbindOk => encode::method(out, channel, &exchange::UnbindOk {}),
        Reply::QueueDeclareOk { name, messages, consumers } => {
            let declared = queue::DeclareOk {
                queue: name.as_short(),
                message_count: *messages,
                consumer_count: *consumers,
            };
            encode::method(out, channel, &declared);
        }
        Reply::QueueBindOk => encode::method(out, channel, &queue::BindOk {}),
        Reply::QueueUnbindOk => encode::method(out, channel, &queue::UnbindOk {}),
        Reply::QueuePurgeOk(count) => {
            encode::method(out, channel, &queue::PurgeOk { message_count: *count });
        }
        Reply::QueueDeleteOk(count) => {
            encode::method(out, channel, &queue::DeleteOk { message_count: *count });
        }
        Reply::QosOk => encode::method(out, channel, &basic::QosOk {}),
        Reply::ConsumeOk(tag) => {
            encode::method(out, channel, &basic::ConsumeOk { consumer_tag: tag.as_short() });
        }
        Reply::CancelOk(tag) => {
            encode::method(out, channel, &basic::CancelOk { consumer_tag: tag.as_short() });
        }
        Reply::GetEmpty => encode::method(out, channel, &basic::GetEmpty {}),
        Reply::RecoverOk => encode::method(out, channel, &basic::RecoverOk {}),
        Reply::TxSelectOk => encode::method(out, channel, &tx::SelectOk {}),
        Reply::TxCommitOk => encode::method(out, channel, &tx::CommitOk {}),
        Reply::TxRollbackOk => encode::method(out, channel, &tx::RollbackOk {}),
        Reply::ConfirmSelectOk => encode::method(out, channel, &confirm::SelectOk {}),
    }
}
