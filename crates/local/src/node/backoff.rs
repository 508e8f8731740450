//! When a container that ended is started again: the kubelet's CrashLoopBackOff. Pure.

use std::time::Duration;

/// The pause before the second restart in a row.
pub(crate) const FIRST: Duration = Duration::from_secs(10);
/// No pause is longer than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(300);

/// The state of one container's back-off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BackOff {
    /// The pause that the next failure in a row costs; absent after a quiet time: restart at once.
    next: Option<Duration>,
}

impl BackOff {
    /// The pause before the next start, after a run that lasted `ran_for`. The first restart is immediate,
    /// then 10 s, 20 s, … 300 s; a run of 10 minutes clears the record, as the kubelet's does.
    pub(crate) fn after(&mut self, ran_for: Duration) -> Duration {
        if ran_for >= 2 * LONGEST {
            self.next = None;
        }
        let pause = self.next.unwrap_or(Duration::ZERO);
        self.next = Some(if pause.is_zero() { FIRST } else { (pause * 2).min(LONGEST) });
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_restart_is_immediate_and_later_ones_double_up_to_five_minutes() {
        let mut back_off = BackOff::default();
        let pauses: Vec<u64> = (0..8).map(|_| back_off.after(Duration::from_secs(1)).as_secs()).collect();
        assert_eq!(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn a_long_run_clears_the_record() {
        let mut back_off = BackOff::default();
        back_off.after(Duration::ZERO);
        back_off.after(Duration::ZERO);
        assert_eq!(back_off.after(Duration::from_secs(600)), Duration::ZERO);
        assert_eq!(back_off.after(Duration::ZERO), FIRST);
    }
}
