//! How long a supervisor waits: back-off and cool-down, for any numbers.

use std::time::Duration;

use hopmq::fsm::supervisor::{Backoff, Breaker, Delays, Event, Policy, State};
use proptest::prelude::*;

use crate::link::{LOST, Link, SECOND, policy};

const MILLI: Duration = Duration::from_millis(1);

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::MAX),
        (0..u64::MAX).prop_map(Duration::from_nanos),
        (0..60_000_u64).prop_map(Duration::from_millis),
    ]
}

fn backoffs() -> impl Strategy<Value = Backoff> {
    let delays = prop_oneof![
        durations().prop_map(Delays::Fixed),
        prop::collection::vec(durations(), 0..5).prop_map(|list| Delays::Listed(list.into())),
        (durations(), any::<u32>()).prop_map(|(base, factor)| Delays::Exponential { base, factor }),
    ];
    (any::<bool>(), delays, durations()).prop_map(|(first_at_once, delays, cap)| Backoff {
        first_at_once,
        delays,
        cap,
    })
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_its_cap(
        backoff in backoffs(), retry in any::<u32>(), random in any::<u64>(),
    ) {
        prop_assert!(backoff.delay(retry, random) <= backoff.cap);
        prop_assert!(!backoff.first_at_once || backoff.delay(0, random).is_zero());
    }

    #[test]
    fn the_same_numbers_give_the_same_wait(
        backoff in backoffs(), retry in any::<u32>(), random in any::<u64>(),
    ) {
        prop_assert_eq!(backoff.delay(retry, random), backoff.clone().delay(retry, random));
    }

    #[test]
    fn a_cool_down_grows_up_to_its_cap_and_its_jitter(
        threshold in any::<u32>(),
        cool_down in durations(),
        growth in 1..10_u32,
        cap in durations(),
        jitter_percent in any::<u8>(),
        trip in 0..100_u32,
        random in any::<u64>(),
    ) {
        let breaker = Breaker { threshold, cool_down, growth, cap, jitter_percent };
        let steady = Breaker { jitter_percent: 0, ..breaker };
        let wait = steady.cool_down(trip, random);
        prop_assert!(wait >= cool_down && wait <= cap.max(cool_down));
        prop_assert!(steady.cool_down(trip + 1, random) >= wait);
        let more = breaker.cool_down(trip, random);
        let most = wait.checked_mul(u32::from(jitter_percent)).unwrap_or(Duration::MAX) / 100;
        prop_assert!(more >= wait && more <= wait.saturating_add(most));
    }

    #[test]
    fn an_outage_lasts_no_longer_than_it_may(seed_waits in backoffs(), limit in 1..600_u64) {
        let max_time = Some(Duration::from_secs(limit));
        let policy = Policy { backoff: seed_waits, max_time, max_attempts: Some(50), ..policy() };
        let mut link = Link::connected(policy);
        let lost_at = link.now;
        link.does(LOST);
        while link.link.state() != State::Closed {
            prop_assert!(link.now.saturating_since(lost_at) <= Duration::from_secs(limit));
            link.passes_until_dialling();
            link.failed();
        }
    }
}

#[test]
fn fixed_waits_are_all_alike() {
    let backoff = Backoff::fixed(SECOND);
    assert_eq!(
        [0, 1, 2, 9].map(|retry| backoff.delay(retry, 3)),
        [Duration::ZERO, SECOND, SECOND, SECOND]
    );
    assert_eq!(backoff.wait_first().delay(0, 3), SECOND);
}

#[test]
fn listed_waits_come_in_order_and_the_last_one_repeats() {
    let backoff = Backoff::listed([MILLI, 5 * MILLI, SECOND]).cap(500 * MILLI);
    let waits = [0, 1, 2, 3, 4].map(|retry| backoff.delay(retry, 3));
    assert_eq!(waits, [Duration::ZERO, MILLI, 5 * MILLI, 500 * MILLI, 500 * MILLI]);
    assert_eq!(Backoff::listed([]).delay(7, 3), Duration::ZERO);
}

#[test]
fn exponential_waits_are_spread_evenly_below_a_doubling_bound() {
    let backoff = Backoff::exponential(100 * MILLI, SECOND);
    for (retry, bound) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (60, 1000)] {
        let bound = bound * MILLI;
        assert_eq!(backoff.delay(retry, 0), Duration::ZERO);
        assert_eq!(backoff.delay(retry, u64::MAX / 2 + 1), bound / 2);
        let most = backoff.delay(retry, u64::MAX);
        assert!(most <= bound && most + MILLI > bound, "{most:?}");
    }
}

#[test]
fn a_users_own_rule_is_followed() {
    let backoff = Backoff::custom(|wait, random| MILLI * (wait * 10 + random as u32));
    assert_eq!([1, 2, 3].map(|retry| backoff.delay(retry, 4)), [4 * MILLI, 14 * MILLI, 24 * MILLI]);
    assert_eq!(backoff, backoff.clone());
}

/// A thousand links that lost the same peer at the same moment do not come back together.
#[test]
fn many_supervisors_spread_out() {
    let mut retries = Vec::new();
    for seed in 0..1000 {
        let policy = Policy { backoff: Backoff::exponential(SECOND, 8 * SECOND), ..policy() };
        let mut link = Link::new(policy.clone());
        link.link = hopmq::fsm::Supervisor::new(policy, seed);
        link.does(Event::Connect);
        link.opened();
        link.passes(10 * SECOND);
        link.does(LOST);
        link.failed();
        retries.push(link.link.next_attempt().unwrap().saturating_since(link.now).as_millis());
    }
    for tenth in 0..10 {
        let within = |at: &&u128| (tenth * 100..(tenth + 1) * 100).contains(*at);
        let count = retries.iter().filter(within).count();
        assert!((60..140).contains(&count), "{count} of 1000 in the {tenth}th tenth of a second");
    }
}
