//! What the broker says when it refuses: RabbitMQ's reply codes and texts.

use std::fmt::{self, Display};

use super::name::Name;
use crate::{broker::event::Budget, wire::ReplyCode};

/// A refused operation. Its code decides whether the channel or the connection ends for it
/// (AMQP 0-9-1 section 1.2, soft and hard errors).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Refusal {
    /// The reply code.
    pub(crate) code: ReplyCode,
    /// The text after the code's name.
    pub(crate) detail: String,
    /// What was refused lacked a permission.
    permission: bool,
    /// What was refused would have exceeded a budget.
    budget: Option<Budget>,
}

impl Refusal {
    /// A refusal with this code and text.
    pub(crate) fn new(code: ReplyCode, detail: impl Display) -> Self {
        Refusal { code, detail: detail.to_string(), permission: false, budget: None }
    }

    /// The same, since a user may not do that.
    pub(crate) fn for_permission(self) -> Self {
        Refusal { permission: true, ..self }
    }

    /// The same, since a budget is used up.
    pub(crate) fn for_budget(self, budget: Budget) -> Self {
        Refusal { budget: Some(budget), ..self }
    }

    pub(crate) fn is_permission(&self) -> bool {
        self.permission
    }

    pub(crate) fn budget(&self) -> Option<Budget> {
        self.budget
    }

    /// 404: what was named does not exist.
    pub(crate) fn not_found(what: impl Display) -> Self {
        Refusal::new(ReplyCode::NOT_FOUND, format_args!("no {what}"))
    }

    /// 403.
    pub(crate) fn access(detail: impl Display) -> Self {
        Refusal::new(ReplyCode::ACCESS_REFUSED, detail)
    }

    /// 406.
    pub(crate) fn precondition(detail: impl Display) -> Self {
        Refusal::new(ReplyCode::PRECONDITION_FAILED, detail)
    }

    /// 405: an exclusive queue of another connection.
    pub(crate) fn locked(what: impl Display) -> Self {
        Refusal::new(
            ReplyCode::RESOURCE_LOCKED,
            format_args!(
                "cannot obtain exclusive access to locked {what}. It could be originally declared \
                 on another connection or the exclusive property value does not match that of the \
                 original declaration."
            ),
        )
    }

    /// 530.
    pub(crate) fn not_allowed(detail: impl Display) -> Self {
        Refusal::new(ReplyCode::NOT_ALLOWED, detail)
    }

    /// 540: legal, but not what this broker does.
    pub(crate) fn not_implemented(detail: impl Display) -> Self {
        Refusal::new(ReplyCode::NOT_IMPLEMENTED, detail)
    }

    /// The reply text as it goes to the peer: `NOT_FOUND - no queue 'q' in vhost '/'`, cut to
    /// what a short string holds.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} - {}", self.code.name().unwrap_or("ERROR"), self.detail);
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text
    }
}

/// Prints `queue 'q' in vhost '/'`, as RabbitMQ names its entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entity<'a> {
    /// `queue` or `exchange`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: &'a Name,
    /// The virtual host it lives in.
    pub(crate) vhost: &'a Name,
}

impl Display for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} '{}' in vhost '{}'", self.kind, self.name, self.vhost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_rabbitmqs_and_fit_a_short_string() {
        let what = Entity { kind: "queue", name: &Name::from("q"), vhost: &Name::from("/") };
        assert_eq!(Refusal::not_found(what).text(), "NOT_FOUND - no queue 'q' in vhost '/'");
        let long = Refusal::precondition("ä".repeat(300)).text();
        assert!(long.len() <= 255 && long.starts_with("PRECONDITION_FAILED - ä"));
    }
}
