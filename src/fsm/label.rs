//! Names: of states, and of the kinds of events.

use std::fmt::Debug;
use std::hash::Hash;

/// A plain enum whose values have names and can be listed: the states of a machine, or the kinds
/// of its events.
///
/// [`labels!`](crate::fsm::labels) writes the enum and this trait for it.
pub trait Label: Copy + Eq + Hash + Debug + Send + Sync + 'static {
    /// Every value, in the order of [`index`](Self::index).
    const ALL: &'static [Self];

    /// The value's name, for logs, tables and diagrams.
    fn name(self) -> &'static str;

    /// The value's place in [`ALL`](Self::ALL).
    fn index(self) -> usize;
}

/// An event: something that happened or is asked for, with a kind that the table knows it by.
pub trait Signal: Clone + Eq + Hash + Debug {
    /// The kinds of events.
    type Kind: Label;

    /// This event's kind.
    fn kind(&self) -> Self::Kind;

    /// The cause that this event carries, if any; it is passed on to the [`Transition`] that the
    /// event leads to.
    ///
    /// [`Transition`]: crate::fsm::Transition
    fn cause(&self) -> CauseId {
        CauseId::NONE
    }
}

/// The number under which whoever drives a machine keeps a cause, such as an error value.
///
/// Machines are plain data and cannot hold an error with its sources; they pass its number on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CauseId(pub u64);

impl CauseId {
    /// No cause was given.
    pub const NONE: Self = Self(0);
}

#[doc(hidden)]
#[macro_export]
macro_rules! __fsm_labels {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $text:literal ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $( $(#[$variant_meta])* $variant ),+
        }

        impl $crate::fsm::Label for $name {
            const ALL: &'static [Self] = &[ $( Self::$variant ),+ ];

            fn name(self) -> &'static str {
                match self { $( Self::$variant => $text ),+ }
            }

            fn index(self) -> usize {
                self as usize
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str($crate::fsm::Label::name(*self))
            }
        }
    };
}

/// Writes a plain enum and [`Label`] for it. Doc comments and attributes are kept.
///
/// ```
/// use hopmq::fsm::{Label, labels};
///
/// labels! {
///     /// The states of a lamp.
///     pub enum Lamp {
///         /// Dark.
///         Off = "off",
///         /// Lit.
///         On = "on",
///     }
/// }
/// assert_eq!(Lamp::ALL, [Lamp::Off, Lamp::On]);
/// assert_eq!(Lamp::On.name(), "on");
/// ```
#[doc(inline)]
pub use __fsm_labels as labels;
