//! Reading what RabbitMQ says when something is declared again with other arguments.

use super::Exception;
use crate::wire::ReplyCode;

/// One argument that differs from what exists: 406 `inequivalent arg 'durable' for queue 'q' in
/// vhost '/': received 'false' but current is 'true'`.
///
/// The broker has words and no fields for it, so this is read from its text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inequivalent<'a> {
    /// The argument, e.g. `durable` or `x-max-length`.
    pub argument: &'a str,
    /// What was declared, e.g. `queue 'q' in vhost '/'`.
    pub entity: &'a str,
    /// The value that was declared; none where the argument was left out.
    pub received: Option<&'a str>,
    /// The value that it exists with; none where it exists without.
    pub current: Option<&'a str>,
}

impl Exception {
    /// The argument in which a declaration differs from what exists, where that was the cause.
    ///
    /// ```
    /// # use hopmq::{proto::{Exception, Scope}, wire::ReplyCode};
    /// # let exception = Exception {
    /// #     scope: Scope::Channel,
    /// #     code: ReplyCode::PRECONDITION_FAILED,
    /// #     text: "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': \
    /// #         received 'false' but current is 'true'".into(),
    /// #     method: None,
    /// # };
    /// let differs = exception.inequivalent().expect("the broker said so");
    /// assert_eq!(differs.argument, "durable");
    /// assert_eq!((differs.received, differs.current), (Some("false"), Some("true")));
    /// ```
    pub fn inequivalent(&self) -> Option<Inequivalent<'_>> {
        if self.code != ReplyCode::PRECONDITION_FAILED {
            return None;
        }
        let (_, rest) = self.text.split_once("inequivalent arg '")?;
        let (argument, rest) = rest.split_once("' for ")?;
        let (entity, rest) = rest.split_once(": received ")?;
        let (received, current) = rest.split_once(" but current is ")?;
        Some(Inequivalent { argument, entity, received: value(received), current: value(current) })
    }
}

/// `'true'`, `the value '5' of type 'signedint'`, or `none`. A text that was cut ends anywhere.
fn value(text: &str) -> Option<&str> {
    if text == "none" {
        return None;
    }
    let text = text.strip_prefix("the value ").unwrap_or(text);
    let text = text.split_once("' of type '").map_or(text, |(value, _)| value);
    let text = text.strip_prefix('\'').unwrap_or(text);
    Some(text.strip_suffix('\'').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Scope;

    fn exception(code: ReplyCode, text: &str) -> Exception {
        Exception { scope: Scope::Channel, code, text: text.into(), method: None }
    }

    fn read(text: &str) -> Option<(String, Option<String>, Option<String>)> {
        let exception = exception(ReplyCode::PRECONDITION_FAILED, text);
        let read = exception.inequivalent()?;
        assert_eq!(read.entity, "queue 'q' in vhost '/'");
        Some((read.argument.into(), read.received.map(Into::into), read.current.map(Into::into)))
    }

    #[test]
    fn arguments_and_values_are_found() {
        let read = |text: &str| {
            read(&format!("PRECONDITION_FAILED - inequivalent arg {text}")).expect("readable")
        };
        let some = |text: &str| Some(text.to_owned());
        let text =
            "'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'";
        assert_eq!(read(text), ("auto_delete".to_owned(), some("true"), some("false")));
        let text = "'x-max-length' for queue 'q' in vhost '/': received the value '5' of type \
                    'signedint' but current is none";
        assert_eq!(read(text), ("x-max-length".to_owned(), some("5"), None));
        let text = "'x-overflow' for queue 'q' in vhost '/': received none but current is the value \
                    'reject-publish' of type 'longstr'";
        assert_eq!(read(text), ("x-overflow".to_owned(), None, some("reject-publish")));
        let cut =
            "'x-overflow' for queue 'q' in vhost '/': received none but current is the value 'reje";
        assert_eq!(read(cut), ("x-overflow".to_owned(), None, some("reje")));
    }

    #[test]
    fn other_words_are_no_inequivalence() {
        for text in ["", "unknown delivery tag 1", "inequivalent arg", "inequivalent arg 'a' for"] {
            assert_eq!(read(text), None, "{text}");
        }
        let text =
            "inequivalent arg 'a' for queue 'q' in vhost '/': received 'b' but current is 'c'";
        assert_eq!(exception(ReplyCode::NOT_FOUND, text).inequivalent(), None);
    }
}
