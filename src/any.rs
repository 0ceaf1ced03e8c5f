//! A channel whose mode is known at run time only.

use std::fmt;

use crate::{
    chan::{Chan, Closed, Confirming, Open, Transactional},
    error::Error,
};

/// A channel in whatever state, for those who must store one whose state differs from time to
/// time. **An escape**: what it can do is found at run time, by matching or by `try_from`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
/// # let uri = broker.uri();
/// use hopmq::{AnyChan, Chan, Confirming, Conn, Open, Uri};
///
/// let conn = Conn::new(uri.parse::<Uri>()?).connect().await?;
/// let mut stored: Vec<AnyChan> = Vec::new();
/// stored.push(conn.open_channel().await?.into());
/// stored.push(conn.open_channel().await?.confirm_select().await?.into());
///
/// let confirming: Chan<Confirming> = stored.pop().expect("the second").try_into()?;
/// let error = Chan::<Confirming>::try_from(stored.pop().expect("the first")).unwrap_err();
/// assert_eq!(error.to_string(), "this is a Chan<Open>, not a Chan<Confirming>");
/// let open: Chan<Open> = error.into_chan().try_into()?; // nothing was lost
/// # drop((confirming, open));
/// # Ok(()) }
/// ```
#[non_exhaustive]
#[derive(Debug)]
pub enum AnyChan {
    /// A channel whose mode is not fixed.
    Open(Chan<Open>),
    /// A channel that confirms publishes.
    Confirming(Chan<Confirming>),
    /// A channel that publishes and settles in transactions.
    Transactional(Chan<Transactional>),
    /// A channel that has ended.
    Closed(Chan<Closed>),
}

impl AnyChan {
    /// Why the channel ended, if it has, whatever its type says.
    pub fn close_reason(&self) -> Option<Error> {
        match self {
            AnyChan::Open(chan) => chan.close_reason(),
            AnyChan::Confirming(chan) => chan.close_reason(),
            AnyChan::Transactional(chan) => chan.close_reason(),
            AnyChan::Closed(chan) => chan.close_reason(),
        }
    }
}

/// A channel that is in another state than the one asked for; it is given back.
#[derive(Debug, thiserror::Error)]
#[error("this is a {chan:?}, not a Chan<{wanted}>", chan = Shown(.chan))]
pub struct OtherState {
    wanted: &'static str,
    chan: Box<AnyChan>,
}

impl OtherState {
    /// The state that was asked for.
    pub fn wanted(&self) -> &'static str {
        self.wanted
    }

    /// The channel, as it was.
    pub fn into_chan(self) -> AnyChan {
        *self.chan
    }
}

/// Prints the channel as itself, without the variant around it.
struct Shown<'a>(&'a AnyChan);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            AnyChan::Open(chan) => chan.fmt(f),
            AnyChan::Confirming(chan) => chan.fmt(f),
            AnyChan::Transactional(chan) => chan.fmt(f),
            AnyChan::Closed(chan) => chan.fmt(f),
        }
    }
}

macro_rules! convert {
    ($($state:ident),+) => {$(
        impl From<Chan<$state>> for AnyChan {
            fn from(chan: Chan<$state>) -> Self {
                AnyChan::$state(chan)
            }
        }

        impl TryFrom<AnyChan> for Chan<$state> {
            type Error = OtherState;

            fn try_from(chan: AnyChan) -> Result<Self, OtherState> {
                match chan {
                    AnyChan::$state(chan) => Ok(chan),
                    other => {
                        Err(OtherState { wanted: stringify!($state), chan: Box::new(other) })
                    }
                }
            }
        }
    )+};
}

convert!(Open, Confirming, Transactional, Closed);
