//! Frames as AMQP messages: one header on the program's own message, or on an empty one.

use super::core::{Frame, Position, Window};
use crate::{message::Message, wire::Value};

/// The header; programs do not see it.
pub(super) const HEADER: &str = "x-hopmq-queue";

/// The version of all this; another one is refused.
pub(super) const VERSION: u64 = 1;

/// A message that carries a frame: the program's own, where the frame brings one.
pub(super) fn wrap(frame: Frame, position: Position, message: Option<Message>) -> Message {
    let Position { taken, received } = position;
    let text = match frame {
        Frame::Welcome(Window { messages, bytes }) => {
            format!("welcome {taken} {received} {VERSION} {messages} {bytes}")
        }
        Frame::Data { number } => format!("data {taken} {received} {number}"),
        Frame::Position => format!("position {taken} {received}"),
        Frame::Alive => format!("alive {taken} {received}"),
        Frame::Resend => format!("resend {taken} {received}"),
        Frame::Finish { last } => format!("finish {taken} {received} {last}"),
        Frame::Bye => format!("bye {taken} {received}"),
        Frame::Abort => format!("abort {taken} {received}"),
    };
    let message = message.unwrap_or_else(|| Message::default().transient());
    message.header(HEADER, text.as_str())
}

/// The frame in a message; nothing where it is none of ours.
pub(super) fn unwrap(header: Option<Value>) -> Option<(Frame, Position)> {
    let text = header?;
    let text = text.as_str()?;
    let mut words = text.split(' ');
    let kind = words.next()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let position = Position { taken: number()?, received: number()? };
    let frame = match kind {
        "welcome" => {
            if number()? != VERSION {
                return None;
            }
            Frame::Welcome(window(number()?, number()?)?)
        }
        "data" => Frame::Data { number: number().filter(|number| *number > 0)? },
        "position" => Frame::Position,
        "alive" => Frame::Alive,
        "resend" => Frame::Resend,
        "finish" => Frame::Finish { last: number()? },
        "bye" => Frame::Bye,
        "abort" => Frame::Abort,
        _ => return None,
    };
    Some((frame, position))
}

/// A window that something fits into.
pub(super) fn window(messages: u64, bytes: u64) -> Option<Window> {
    let messages = usize::try_from(messages).ok().filter(|messages| *messages > 0)?;
    let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)?;
    Some(Window { messages, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_way_and_leaves_the_message_as_it_was() {
        let position = Position { taken: 3, received: 5 };
        let message = Message::text("hello").header("colour", "red");
        for frame in [
            Frame::Welcome(Window { messages: 7, bytes: 100 }),
            Frame::Data { number: 9 },
            Frame::Position,
            Frame::Alive,
            Frame::Resend,
            Frame::Finish { last: 12 },
            Frame::Bye,
            Frame::Abort,
        ] {
            let wrapped = wrap(frame, position, Some(message.clone()));
            let header = wrapped.properties().header(HEADER);
            assert_eq!(unwrap(header), Some((frame, position)));
            assert_eq!(wrapped.without_header(HEADER).properties(), message.properties());
        }
    }

    #[test]
    fn what_is_no_frame_is_none() {
        for text in ["", "data", "data 1 2", "data 0 0 0", "welcome 0 0 9 1 1", "welcome 0 0 1 0 1"]
        {
            assert_eq!(unwrap(Some(Value::from(text))), None, "{text}");
        }
        assert_eq!(unwrap(Some(Value::from(7))), None);
        assert_eq!(unwrap(None), None);
    }
}
