//! What a test is told when something is not as it should be.

use std::{fmt, time::Duration};

use crate::error::Error;

/// Why a step of a test failed. It prints as a sentence, also where a test returns it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum KitError {
    /// The broker could not be bound.
    #[error("the test's broker could not be bound: {0}")]
    Bind(#[source] std::io::Error),
    /// The kit's own client could not do something.
    #[error("the test kit could not {what}: {source}")]
    Client {
        /// What it wanted to do.
        what: &'static str,
        /// Why it could not.
        #[source]
        source: Error,
    },
    /// Something did not come to be as it should within the kit's patience.
    #[error("expected {expected} within {after:?}, but {found}")]
    NotSo {
        /// What should be.
        expected: String,
        /// What is there instead.
        found: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Something did not stay as it should.
    #[error("expected {expected} for {after:?}, but {found}")]
    NotSoAnyMore {
        /// What should stay.
        expected: String,
        /// What is there instead.
        found: String,
        /// How long it should stay.
        after: Duration,
    },
}

impl KitError {
    pub(super) fn client(what: &'static str) -> impl FnOnce(Error) -> KitError {
        move |source| KitError::Client { what, source }
    }
}

/// As a sentence: that is what a test prints that returns it.
impl fmt::Debug for KitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
