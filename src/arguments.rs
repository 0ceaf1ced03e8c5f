//! Declaration arguments while they are being built: a table, its first mistake, and the tokens
//! that were put into it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    name::Realm,
    usage::UsageError,
    wire::{FieldTable, ShortString, Value},
};

/// RabbitMQ refuses what is to expire after more than ten years (`rabbit_misc:check_expiry`).
const EXPIRY_MAX: u64 = 315_360_000_000;

/// Setters stay infallible, so that a declaration reads as one sentence: the first mistake is
/// kept and comes out when it is to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arguments {
    table: FieldTable,
    problem: Option<UsageError>,
    /// Exchanges that the arguments name: they must exist where the declaration goes.
    tokens: Vec<(ShortString, Arc<Realm>)>,
}

impl Arguments {
    pub(crate) fn set(&mut self, name: impl AsRef<str>, value: impl Into<Value>) {
        let set = self.table.insert(name.as_ref(), value);
        self.note(set.map_err(UsageError::too_long("argument name")));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.table.remove(name);
    }

    /// A number as the broker's 64-bit signed integer.
    pub(crate) fn set_number(&mut self, name: &'static str, number: u64) {
        match i64::try_from(number) {
            Ok(number) => self.set(name, number),
            Err(_) => self.fail(name, "is more than 63 bits can hold"),
        }
    }

    pub(crate) fn set_millis(&mut self, name: &'static str, time: Duration) {
        match millis(time) {
            Some(millis) => self.set_number(name, millis),
            None => self.fail(name, "is more than the ten years that the broker allows"),
        }
    }

    pub(crate) fn set_token(&mut self, name: &str, token: ShortString, realm: Option<&Arc<Realm>>) {
        self.set(name, &token);
        self.tokens.extend(realm.map(|realm| (token, realm.clone())));
    }

    pub(crate) fn fail(&mut self, name: &'static str, problem: &'static str) {
        self.problem.get_or_insert(UsageError::bad(name, problem));
    }

    pub(crate) fn note<T>(&mut self, result: Result<T, UsageError>) {
        if let Err(error) = result {
            self.problem.get_or_insert(error);
        }
    }

    /// The encoded table, if all is well and its tokens are of the realm.
    pub(crate) fn encode(&self, realm: &Arc<Realm>) -> Result<Bytes, UsageError> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        for (token, declared_at) in &self.tokens {
            if !declared_at.same(realm) {
                return Err(UsageError::wrong_broker(token.clone(), declared_at, realm));
            }
        }
        Ok(self.table.encode())
    }
}

/// Whole milliseconds, rounded up so that "soon" does not become "at once"; `None` for more than
/// the broker allows.
pub(crate) fn millis(time: Duration) -> Option<u64> {
    let millis = time.as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).ok().filter(|millis| *millis <= EXPIRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_bounded() {
        assert_eq!(millis(Duration::ZERO), Some(0));
        assert_eq!(millis(Duration::from_micros(1)), Some(1));
        assert_eq!(millis(Duration::from_millis(EXPIRY_MAX)), Some(EXPIRY_MAX));
        assert_eq!(millis(Duration::from_millis(EXPIRY_MAX + 1)), None);
        assert_eq!(millis(Duration::MAX), None);
    }

    #[test]
    fn the_first_mistake_is_the_one_that_is_told() {
        let realm = Arc::new(Realm::new("rabbit", "/"));
        let mut arguments = Arguments::default();
        arguments.set_number("x-max-length", u64::MAX);
        arguments.set("x".repeat(256), 1);
        let problem = UsageError::bad("x-max-length", "is more than 63 bits can hold");
        assert_eq!(arguments.encode(&realm), Err(problem));
    }

    #[test]
    fn a_token_of_another_broker_is_refused() {
        let (here, there) = (Arc::new(Realm::new("a", "/")), Arc::new(Realm::new("b", "/")));
        let mut arguments = Arguments::default();
        arguments.set_token("x", ShortString::new("dead").unwrap(), Some(&there));
        let error = arguments.encode(&here).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`dead` was declared at virtual host `/` of `b`, but is used at virtual host `/` of `a`"
        );
        assert!(arguments.encode(&there).is_ok());
    }
}
