//! The matching of a headers exchange.

use super::{arguments::type_name, refusal::Refusal};
use crate::wire::{FieldTable, Value};

/// How a binding matches: `x-match` and the fields it compares.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HeadersPattern {
    any: bool,
    fields: Vec<(String, Value)>,
}

impl HeadersPattern {
    /// Reads the arguments of a binding. Fields whose name starts with `x-` count only in the
    /// modes that say so.
    pub(crate) fn new(arguments: &FieldTable) -> Result<Self, Refusal> {
        let (any, with_x) = match arguments.get("x-match") {
            None => (false, false),
            Some(Value::LongString(mode)) => match mode.as_ref() {
                b"all" => (false, false),
                b"any" => (true, false),
                b"all-with-x" => (false, true),
                b"any-with-x" => (true, true),
                other => {
                    return Err(Refusal::precondition(format_args!(
                        "Invalid x-match field value <<\"{}\">>; expected all, any, all-with-x, \
                         or any-with-x",
                        String::from_utf8_lossy(other)
                    )));
                }
            },
            Some(other) => {
                return Err(Refusal::precondition(format_args!(
                    "Invalid x-match field type {} (value {}); expected longstr",
                    type_name(other),
                    super::arguments::term(other)
                )));
            }
        };
        let fields = arguments
            .iter()
            .filter(|(name, _)| {
                name.as_str() != "x-match" && (with_x || !name.as_str().starts_with("x-"))
            })
            .map(|(name, value)| (name.as_str().to_owned(), value.clone()))
            .collect();
        Ok(HeadersPattern { any, fields })
    }

    /// Whether a message with these headers matches. A field without a value asks for presence
    /// alone; others must be equal, numbers by value.
    pub(crate) fn matches(&self, headers: &FieldTable) -> bool {
        let holds = |(name, wanted): &(String, Value)| match (headers.get(name), wanted) {
            (Some(_), Value::Void) => true,
            (Some(found), wanted) => equal(found, wanted),
            (None, _) => false,
        };
        if self.any { self.fields.iter().any(holds) } else { self.fields.iter().all(holds) }
    }
}

/// Equality of field values as RabbitMQ sees them, where an integer is an integer whatever its
/// width on the wire.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (one.as_i64(), other.as_i64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(fields: &[(&str, Value)]) -> FieldTable {
        let mut table = FieldTable::new();
        for (name, value) in fields {
            table.insert(*name, value.clone()).unwrap();
        }
        table
    }

    fn text(text: &str) -> Value {
        Value::LongString(text.to_owned().into())
    }

    #[test]
    fn every_mode_matches_as_in_rabbitmq() {
        let headers = table(&[("a", Value::I32(1)), ("b", text("x")), ("x-c", Value::Bool(true))]);
        let matches = |mode: Option<&str>, fields: &[(&str, Value)]| {
            let mut pattern = table(fields);
            if let Some(mode) = mode {
                pattern.insert("x-match", text(mode)).unwrap();
            }
            HeadersPattern::new(&pattern).unwrap().matches(&headers)
        };
        let good = ("a", Value::I64(1));
        let bad = ("b", text("y"));
        assert!(matches(None, &[]));
        assert!(matches(None, std::slice::from_ref(&good)));
        assert!(!matches(None, &[good.clone(), bad.clone()]));
        assert!(matches(Some("any"), &[good.clone(), bad.clone()]));
        assert!(!matches(Some("any"), &[]));
        assert!(matches(Some("all"), &[good.clone(), ("b", Value::Void)]));
        assert!(!matches(Some("all"), &[("missing", Value::Void)]));
        // x- fields are skipped, or count.
        let x = ("x-c", Value::Bool(false));
        assert!(matches(Some("all"), &[good.clone(), x.clone()]));
        assert!(!matches(Some("all-with-x"), &[good.clone(), x.clone()]));
        assert!(!matches(Some("any"), &[("x-c", Value::Bool(true))]));
        assert!(matches(Some("any-with-x"), &[("x-c", Value::Bool(true)), bad]));
    }

    #[test]
    fn a_bad_mode_is_refused_in_rabbitmqs_words() {
        let refusal = HeadersPattern::new(&table(&[("x-match", text("some"))])).unwrap_err();
        assert_eq!(
            refusal.detail,
            "Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x"
        );
        let refusal = HeadersPattern::new(&table(&[("x-match", Value::I32(7))])).unwrap_err();
        assert_eq!(
            refusal.detail,
            "Invalid x-match field type signedint (value 7); expected longstr"
        );
    }
}
