//! What a row of probe results means: the kubelet's periods and thresholds. Pure: each result goes in with the time since the
//! first probe, findings and the pause until the next probe come out.

use std::time::Duration;

use k8s_openapi::api::core::v1::Probe;

use super::probes::Finding;

/// While a container starts, it is asked this often, whatever its period: a service should be Ready within
/// about 50 ms of its engine. A refused connection on loopback costs microseconds; failures still count
/// towards the threshold once a period only.
const EAGER: Duration = Duration::from_millis(40);
/// After a minute of starting, impatience is not worth the wake-ups.
const PATIENT: Duration = Duration::from_millis(250);
const PATIENT_AFTER: Duration = Duration::from_secs(60);

/// What follows from one result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) findings: Vec<Finding>,
    /// When to probe again; absent: never.
    pub(crate) pause: Option<Duration>,
}

/// One kind of probe of one run of a container.
#[derive(Debug)]
pub(crate) struct Row {
    kind: Kind,
    period: Duration,
    failure_threshold: i32,
    success_threshold: i32,
    successes: i32,
    failures: i32,
    /// Startup: when a failure was counted last.
    counted: Duration,
    /// Readiness: what was said last.
    is_ready: bool,
    /// Readiness: it was ready once, so a failure is news and there is no hurry.
    was_ready: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Startup,
    Readiness,
    Liveness,
}

impl Row {
    pub(crate) fn startup(probe: &Probe) -> Self {
        Self::new(Kind::Startup, probe)
    }

    pub(crate) fn readiness(probe: &Probe) -> Self {
        Self::new(Kind::Readiness, probe)
    }

    pub(crate) fn liveness(probe: &Probe) -> Self {
        Self::new(Kind::Liveness, probe)
    }

    fn new(kind: Kind, probe: &Probe) -> Self {
        Self {
            kind,
            period: seconds(probe.period_seconds.filter(|seconds| *seconds > 0), 10),
            failure_threshold: probe.failure_threshold.unwrap_or(3),
            success_threshold: probe.success_threshold.unwrap_or(1),
            successes: 0,
            failures: 0,
            counted: Duration::ZERO,
            is_ready: false,
            was_ready: false,
        }
    }

    /// The pause before the first probe.
    pub(crate) fn delay(&self, probe: &Probe) -> Duration {
        let delay = seconds(probe.initial_delay_seconds, 0);
        if self.kind == Kind::Liveness { delay.max(self.period) } else { delay }
    }

    /// Takes a result, `at` after the first probe began.
    pub(crate) fn hear(&mut self, at: Duration, result: Result<(), String>) -> Heard {
        match self.kind {
            Kind::Startup => self.starting(at, result),
            Kind::Readiness => self.ready(at, result),
            Kind::Liveness => self.alive(result),
        }
    }

    fn starting(&mut self, at: Duration, result: Result<(), String>) -> Heard {
        let Err(message) = result else {
            return Heard { findings: vec![Finding::Started], pause: None };
        };
        let mut findings = Vec::new();
        if at - self.counted >= self.period {
            self.counted = at;
            self.failures += 1;
            findings.push(Finding::Unhealthy("Startup", message));
        }
        if self.failures >= self.failure_threshold {
            findings.push(Finding::Dead("Startup"));
            return Heard { findings, pause: None };
        }
        Heard { findings, pause: Some(self.eager(at)) }
    }

    fn ready(&mut self, at: Duration, result: Result<(), String>) -> Heard {
        let mut findings = Vec::new();
        match result {
            Ok(()) => {
                (self.successes, self.failures) = (self.successes + 1, 0);
                if !self.is_ready && self.successes >= self.success_threshold {
                    (self.is_ready, self.was_ready) = (true, true);
                    findings.push(Finding::Ready(true));
                }
            }
            Err(message) => {
                (self.successes, self.failures) = (0, self.failures + 1);
                if self.was_ready {
                    findings.push(Finding::Unhealthy("Readiness", message));
                }
                if self.is_ready && self.failures >= self.failure_threshold {
                    self.is_ready = false;
                    findings.push(Finding::Ready(false));
                }
            }
        }
        let pause = if self.was_ready { self.period } else { self.eager(at) };
        Heard { findings, pause: Some(pause) }
    }

    fn alive(&mut self, result: Result<(), String>) -> Heard {
        let mut findings = Vec::new();
        match result {
            Ok(()) => self.failures = 0,
            Err(message) => {
                self.failures += 1;
                findings.push(Finding::Unhealthy("Liveness", message));
                if self.failures >= self.failure_threshold {
                    findings.push(Finding::Dead("Liveness"));
                    return Heard { findings, pause: None };
                }
            }
        }
        Heard { findings, pause: Some(self.period) }
    }

    fn eager(&self, at: Duration) -> Duration {
        let pause = if at < PATIENT_AFTER { EAGER } else { PATIENT };
        pause.min(self.period)
    }
}

pub(crate) fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(value.and_then(|value| u64::try_from(value).ok()).unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(period: i32, failures: i32) -> Probe {
        Probe { period_seconds: Some(period), failure_threshold: Some(failures), ..Probe::default() }
    }

    fn refused() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn a_start_is_asked_for_often_but_fails_once_a_period() {
        let mut row = Row::startup(&probe(10, 2));
        let mut counted = Vec::new();
        let mut at = Duration::ZERO;
        let dead = loop {
            let heard = row.hear(at, refused());
            if heard.findings.contains(&Finding::Unhealthy("Startup", "refused".to_owned())) {
                counted.push(at.as_secs());
            }
            match heard.pause {
                Some(pause) => at += pause,
                None => break heard.findings.contains(&Finding::Dead("Startup")),
            }
        };
        assert!(dead);
        assert_eq!(counted, [10, 20]);
    }

    #[test]
    fn after_a_minute_a_start_is_asked_for_less_often() {
        let mut row = Row::startup(&probe(10, 1000));
        assert_eq!(row.hear(Duration::from_secs(59), refused()).pause, Some(EAGER));
        assert_eq!(row.hear(Duration::from_secs(60), refused()).pause, Some(PATIENT));
        assert_eq!(
            row.hear(Duration::from_secs(61), Ok(())),
            Heard { findings: vec![Finding::Started], pause: None }
        );
    }

    #[test]
    fn readiness_is_lost_after_the_threshold_and_comes_back_at_once() {
        let mut row = Row::readiness(&probe(5, 2));
        let at = Duration::from_secs(1);
        assert_eq!(row.hear(at, refused()), Heard { findings: vec![], pause: Some(EAGER) });
        assert_eq!(row.hear(at, Ok(())).findings, [Finding::Ready(true)]);
        let unhealthy = Finding::Unhealthy("Readiness", "refused".to_owned());
        assert_eq!(row.hear(at, refused()).findings, std::slice::from_ref(&unhealthy));
        let lost = row.hear(at, refused());
        assert_eq!(lost.findings, [unhealthy, Finding::Ready(false)]);
        assert_eq!(lost.pause, Some(Duration::from_secs(5)));
        assert_eq!(row.hear(at, Ok(())).findings, [Finding::Ready(true)]);
    }

    #[test]
    fn a_success_forgives_failures_of_liveness() {
        let probe = Probe { initial_delay_seconds: Some(3), ..probe(5, 2) };
        let mut row = Row::liveness(&probe);
        assert_eq!(row.delay(&probe), Duration::from_secs(5));
        for result in [refused(), Ok(()), refused()] {
            assert_eq!(row.hear(Duration::ZERO, result).pause, Some(Duration::from_secs(5)));
        }
        assert_eq!(row.hear(Duration::ZERO, refused()).pause, None);
    }
}
