//! Why a store cannot be used.

use std::{error::Error, io};

/// Why the file of a durable broker cannot be used ([`Builder::durable`](super::super::Builder::durable)).
///
/// It is what the `io::Error` holds with which binding the broker fails. Where the operating
/// system refused something (no such directory, no permission), that error comes as it is.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// use hopmq::broker::{Broker, StoreError};
///
/// # let file = std::env::temp_dir().join(format!("hopmq-doc-error-{}", std::process::id()));
/// let first = Broker::builder().durable(&file).bind("127.0.0.1:0").await?;
/// let refused = Broker::builder().durable(&file).bind("127.0.0.1:0").await.unwrap_err();
/// let why = refused.get_ref().and_then(|inner| inner.downcast_ref::<StoreError>());
/// assert!(matches!(why, Some(StoreError::InUse)));
/// # drop(first);
/// # std::fs::remove_file(file)?;
/// # Ok(()) }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another broker has it open.
    #[error("another broker has this store open: give each broker a file of its own")]
    InUse,
    /// The file is something else.
    #[error("this file is not a broker's store: name another one, or one that is not there yet")]
    NotAStore,
    /// Another version of this crate has written it.
    #[error("another version has written this store: open it with that one and drain its queues")]
    OtherVersion,
    /// Something that was confirmed cannot be read. Nothing of the file is served, so that nobody
    /// takes a part of it for the whole.
    #[error(
        "this store is damaged, and not all that was confirmed can be read: put back a copy of the \
         file, or move it away to begin without what it held"
    )]
    Damaged {
        /// What the store's engine says, where it says something.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl StoreError {
    /// Damage that was found by what does not read as it was written.
    pub(super) const UNREADABLE: Self = StoreError::Damaged { source: None };
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match error {
            StoreError::InUse => io::ErrorKind::ResourceBusy,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}

/// What redb refused, by who is to blame.
pub(super) fn unusable(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        // The file ends before what it refers to.
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            StoreError::Damaged { source: Some(error.into()) }.into()
        }
        redb::Error::Io(error) => error,
        error @ redb::Error::PreviousIo => io::Error::other(error),
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse.into(),
        redb::Error::UpgradeRequired(_) => StoreError::OtherVersion.into(),
        error => StoreError::Damaged { source: Some(error.into()) }.into(),
    }
}
