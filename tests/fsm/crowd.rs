//! What the default policy does to a peer that many lost at once, and how soon they are back.

use std::time::Duration;

use hopmq::fsm::supervisor::{Action, Event, Policy, Retry, State};
use hopmq::fsm::{CauseId, Supervisor, Time};

const COUNT: usize = 1_000;
const MOMENT: u128 = 100;

/// When each of a crowd dialled after the peer was ready, having been away for so long.
fn dials_after(away: Duration) -> Vec<Duration> {
    let (lost, cause) = (Time::from_secs(60), CauseId(1));
    let ready = lost + away;
    let dialled = (0..COUNT as u64).map(|seed| {
        let mut link = Supervisor::new(Policy::default(), seed);
        link.handle(Time::ZERO, Event::Connect).unwrap();
        link.poll_action();
        link.handle(Time::ZERO, Event::Opened { attempt: 1 }).unwrap();
        link.handle(lost, Event::Lost { retry: Retry::Can, cause }).unwrap();
        let mut now = lost;
        loop {
            while let Some(action) = link.poll_action() {
                let Action::Dial { attempt, .. } = action else { continue };
                if now >= ready {
                    link.handle(now, Event::Opened { attempt }).unwrap();
                    assert_eq!(link.state(), State::Recovering);
                    return now.saturating_since(ready);
                }
                link.handle(now, Event::Failed { attempt, retry: Retry::Can, cause }).unwrap();
            }
            now = link.poll_timeout().expect("it tries again");
            link.handle_timeout(now).unwrap();
        }
    });
    dialled.collect()
}

#[test]
fn by_default_all_are_back_within_ten_seconds_and_not_at_one_moment() {
    for away in [1, 3, 5, 8, 15, 30, 120, 3_600] {
        let dials = dials_after(Duration::from_secs(away));
        let last = dials.iter().max().copied().unwrap_or_default();
        let mut moments = vec![0; 1 + (last.as_millis() / MOMENT) as usize];
        for dial in &dials {
            moments[(dial.as_millis() / MOMENT) as usize] += 1;
        }
        let rush = moments.iter().max().copied().unwrap_or_default();
        println!("away for {away} s: the last dials after {last:.1?}, at most {rush} in a moment");
        // What is left of the ten seconds is for a thousand handshakes.
        assert!(last < Duration::from_millis(8_500), "away for {away} s: {last:?}");
        if away >= 3 {
            assert!(rush <= COUNT / 15, "away for {away} s: {rush} in 100 ms");
        }
    }
}
