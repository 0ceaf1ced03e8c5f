//! Assertions about what was published to an exchange.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{KitError, TestKit, counted};
use crate::broker::{Event, Events};

/// How many events of the broker wait to be looked at.
pub(super) const EVENTS: usize = 65_536;

/// How many pairs of exchange and key are told apart.
const MOST: usize = 10_000;

/// What was published, by exchange and routing key, since the kit was started.
#[derive(Debug)]
pub(super) struct Published(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    events: Events,
    /// By exchange, then by key.
    counts: BTreeMap<(String, String), u64>,
    missed: u64,
}

impl Published {
    pub(super) fn new(events: Events) -> Self {
        Published(Mutex::new(Seen { events, counts: BTreeMap::new(), missed: 0 }))
    }

    /// Looks at what has happened since it was looked last.
    fn look(&self) -> MutexGuard<'_, Seen> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(event) = seen.events.try_next() {
            match event {
                Event::Arrived { exchange, routing_key, .. } => {
                    let key = (exchange, routing_key);
                    if seen.counts.len() < MOST || seen.counts.contains_key(&key) {
                        *seen.counts.entry(key).or_default() += 1;
                    } else {
                        seen.missed += 1;
                    }
                }
                Event::Lagged(missed) => seen.missed += missed,
                _ => {}
            }
        }
        seen
    }
}

/// An exchange of which something is asserted. Made by [`TestKit::exchange`].
///
/// It counts what anybody has published to it since the kit was started, in whatever virtual host,
/// whether or not a queue took it. Each assertion waits until it holds, up to the kit's
/// [patience](TestKit::patience).
#[derive(Clone, Debug)]
#[must_use = "say what should have been published"]
pub struct ExchangeCheck<'a> {
    kit: &'a TestKit,
    name: String,
}

impl<'a> ExchangeCheck<'a> {
    pub(super) fn new(kit: &'a TestKit, name: String) -> Self {
        ExchangeCheck { kit, name }
    }

    /// A message was published to it with this routing key, or several.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what was published to it instead.
    pub async fn got(&self, routing_key: &str) -> Result<(), KitError> {
        let expected = format!("a message with key '{routing_key}'");
        self.until(&expected, routing_key, |count| count > 0).await
    }

    /// That many messages were published to it with this routing key.
    ///
    /// # Errors
    /// [`KitError::NotSo`], with what was published to it instead.
    pub async fn got_times(&self, times: u64, routing_key: &str) -> Result<(), KitError> {
        let expected = format!("{} with key '{routing_key}'", counted(times, "message"));
        self.until(&expected, routing_key, |count| count == times).await
    }

    async fn until(
        &self,
        expected: &str,
        routing_key: &str,
        holds: impl Fn(u64) -> bool,
    ) -> Result<(), KitError> {
        let wanted = (self.name.clone(), routing_key.to_owned());
        let expected = || format!("exchange '{}' to have got {expected}", self.name);
        self.kit
            .until(expected, || {
                let seen = self.kit.published.look();
                match holds(seen.counts.get(&wanted).copied().unwrap_or_default()) {
                    true => Ok(()),
                    false => Err(self.shown(&seen)),
                }
            })
            .await
    }

    fn shown(&self, seen: &Seen) -> String {
        let own = seen.counts.iter().filter(|((exchange, _), _)| *exchange == self.name);
        let own: Vec<String> =
            own.map(|((_, key), count)| format!("{count} with key '{key}'")).collect();
        let missed = match seen.missed {
            0 => String::new(),
            missed => format!("; {missed} events were not seen"),
        };
        match own.is_empty() {
            true => format!("it got nothing{missed}"),
            false => format!("it got {}{missed}", own.join(", ")),
        }
    }
}
