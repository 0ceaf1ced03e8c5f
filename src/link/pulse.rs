//! When to probe, and when an answer is late: a clockwork without a clock.

use std::time::Duration;

use super::settings::Pulse;
use crate::fsm::Time;

/// The probes of one link.
#[derive(Debug)]
pub(super) struct Heart {
    pulse: Option<Pulse>,
    beat: Beat,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Send a probe.
    Probe,
    /// The answer is late.
    Late,
    /// No answer will come.
    Silent {
        /// For how long it was waited for.
        after: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beat {
    /// The link is not up.
    Still,
    Resting {
        until: Time,
    },
    Asked {
        at: Time,
        late: bool,
    },
}

impl Heart {
    pub(super) fn new(pulse: Option<Pulse>) -> Self {
        Self { pulse, beat: Beat::Still }
    }

    /// The link is up; nothing changes if it was before.
    pub(super) fn start(&mut self, now: Time) {
        if self.beat == Beat::Still {
            self.rest(now);
        }
    }

    pub(super) fn stop(&mut self) {
        self.beat = Beat::Still;
    }

    pub(super) fn answered(&mut self, now: Time) {
        if matches!(self.beat, Beat::Asked { .. }) {
            self.rest(now);
        }
    }

    /// When [`need`](Self::need) has something to say.
    pub(super) fn due(&self) -> Option<Time> {
        let pulse = self.pulse?;
        match self.beat {
            Beat::Still => None,
            Beat::Resting { until } => Some(until),
            Beat::Asked { at, late: true } => Some(at + pulse.lost_after),
            Beat::Asked { at, late: false } => Some(at + pulse.late_after.min(pulse.lost_after)),
        }
    }

    /// What is due by now, once.
    pub(super) fn need(&mut self, now: Time) -> Option<Need> {
        let pulse = self.pulse?;
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        match self.beat {
            Beat::Still => None,
            Beat::Resting { .. } => {
                self.beat = Beat::Asked { at: now, late: false };
                Some(Need::Probe)
            }
            Beat::Asked { at, .. } if at + pulse.lost_after <= now => {
                self.beat = Beat::Still;
                Some(Need::Silent { after: pulse.lost_after })
            }
            Beat::Asked { at, .. } => {
                self.beat = Beat::Asked { at, late: true };
                Some(Need::Late)
            }
        }
    }

    fn rest(&mut self, now: Time) {
        if let Some(pulse) = self.pulse {
            let until = now + pulse.every.max(Duration::from_millis(1));
            self.beat = Beat::Resting { until };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn heart() -> Heart {
        let (every, late_after) = (Duration::from_secs(10), Duration::from_secs(2));
        let lost_after = Duration::from_secs(5);
        Heart::new(Some(Pulse { every, late_after, lost_after }))
    }

    #[test]
    fn probes_in_time_then_late_then_silent() {
        let mut heart = heart();
        assert_eq!(heart.due(), None);
        heart.start(at(0));
        heart.start(at(3));
        assert_eq!((heart.due(), heart.need(at(9))), (Some(at(10)), None));
        assert_eq!((heart.need(at(10)), heart.need(at(10))), (Some(Need::Probe), None));
        assert_eq!((heart.due(), heart.need(at(12))), (Some(at(12)), Some(Need::Late)));
        let silent = Need::Silent { after: Duration::from_secs(5) };
        assert_eq!((heart.due(), heart.need(at(15))), (Some(at(15)), Some(silent)));
        assert_eq!(heart.due(), None);
    }

    #[test]
    fn an_answer_begins_the_next_rest() {
        let mut heart = heart();
        heart.start(at(0));
        heart.need(at(10));
        heart.answered(at(11));
        assert_eq!(heart.due(), Some(at(21)));
    }

    #[test]
    fn a_link_that_was_down_rests_anew() {
        let mut heart = heart();
        heart.start(at(0));
        heart.need(at(10));
        heart.stop();
        heart.answered(at(11));
        assert_eq!(heart.due(), None);
        heart.start(at(20));
        assert_eq!(heart.due(), Some(at(30)));
    }

    #[test]
    fn without_a_pulse_nothing_is_due() {
        let mut heart = Heart::new(None);
        heart.start(at(0));
        assert_eq!((heart.due(), heart.need(Time::MAX)), (None, None));
    }

    #[test]
    fn a_runtime_that_slept_through_the_late_answer_takes_it_for_silence() {
        let mut heart = heart();
        heart.start(at(0));
        heart.need(at(10));
        assert!(matches!(heart.need(at(60)), Some(Need::Silent { .. })));
    }
}
