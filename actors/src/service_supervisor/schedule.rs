//! When a service is probed next, and when its probe has something new to tell. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hd_config::{Healthcheck, Kind, Probe, Service};

use super::seen::Seen;

/// Delay of the first probe after the start.
const FIRST: Duration = Duration::from_millis(10);
/// Longest delay before the first success.
const EAGER_MAX: Duration = Duration::from_millis(100);
/// The same where a look costs nothing.
const FREE_MAX: Duration = Duration::from_millis(10);
/// Longest delay before the first success of a probe that gave up.
const PATIENT_MAX: Duration = Duration::from_secs(1);
/// How long one look at a port may take.
const PORT_TIMEOUT: Duration = Duration::from_secs(1);

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// A probe the person wrote.
    Health(Probe),
    /// The port of the service accepts.
    Port(u16),
    /// Somebody accepts from the socket that hd holds and that is reached here.
    Held(SocketAddr),
    /// The service accepts from it, though other replicas do so too.
    HeldByAll(SocketAddr),
    /// A line was printed.
    Log(Seen),
    /// The service has said so.
    Announced,
}

/// How readiness of a service is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// What is tried.
    pub(crate) check: Check,
    /// A try that takes longer has failed.
    pub(crate) timeout: Duration,
    /// Time between two tries once it is ready; none when it is not looked at again.
    again: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    retries: u32,
    /// Failures in this time after the start do not count.
    start_period: Duration,
    /// Longest delay before the first success.
    eager_max: Duration,
}

impl Plan {
    /// Decides how a run of a service is probed; nothing when it is ready as soon as it runs.
    pub(crate) fn of(service: &Service, seen: &Seen) -> Option<Self> {
        if let Some(health) = &service.healthcheck {
            let (waits, check) = match &health.test {
                Probe::Log(_) => (true, Check::Log(seen.clone())),
                Probe::Notify => (true, Check::Announced),
                other => (false, Check::Health(other.clone())),
            };
            return Some(Self {
                check,
                timeout: health.timeout,
                // What was printed or said stays so.
                again: (!waits).then_some(health.interval),
                retries: health.retries.max(1),
                start_period: health.start_period,
                eager_max: if waits { FREE_MAX } else { EAGER_MAX },
            });
        }
        let port = service.port.filter(|_| service.kind == Kind::Service)?;
        let check = match (service.socket, &service.replica) {
            (None, _) => Check::Port(port),
            (Some(at), None) => Check::Held(reached(at, port)),
            (Some(at), Some(_)) => Check::HeldByAll(reached(at, port)),
        };
        Some(Self {
            // A refused connection is cheap; looking at a held socket is not.
            eager_max: match check {
                Check::Port(_) => FREE_MAX,
                _ => EAGER_MAX,
            },
            check,
            timeout: PORT_TIMEOUT,
            again: None,
            retries: 1,
            start_period: Healthcheck::START_PERIOD,
        })
    }
}

/// Where one connects to what listens at an address: that of all addresses is none to connect to. What listens on
/// `::` is reached by IPv4 too, also where a machine has no `::1`.
fn reached(at: IpAddr, port: u16) -> SocketAddr {
    let ip = match at.is_unspecified() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => at,
    };
    SocketAddr::new(ip, port)
}

/// What follows from an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// What the supervisor is to be told, if anything.
    pub(crate) tell: Option<Result<(), String>>,
    /// When to try again; never, when there is none.
    pub(crate) delay: Option<Duration>,
}

/// Where the probing of one run stands.
#[derive(Debug)]
pub(crate) struct Schedule {
    again: Option<Duration>,
    retries: u32,
    start_period: Duration,
    eager_max: Duration,
    delay: Duration,
    failures: u32,
    /// When the last failure that counts was, since the start.
    counted_at: Option<Duration>,
    ready: bool,
    told_failure: bool,
}

impl Schedule {
    /// The schedule of a run that has just started.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            again: plan.again,
            retries: plan.retries,
            start_period: plan.start_period,
            eager_max: plan.eager_max,
            delay: FIRST,
            failures: 0,
            counted_at: None,
            ready: false,
            told_failure: false,
        }
    }

    /// Gives when to try for the first time.
    pub(crate) fn first(&self) -> Duration {
        self.delay
    }

    /// Takes that the supervisor was told of something else: the next success is news.
    pub(crate) fn complained(&mut self) {
        self.told_failure = true;
    }

    /// Takes the answer of a try that ended at a time since the start.
    pub(crate) fn answered(&mut self, since_start: Duration, answer: Result<(), String>) -> Next {
        match answer {
            Ok(()) => {
                let news = !self.ready || self.told_failure;
                (self.ready, self.told_failure) = (true, false);
                (self.failures, self.counted_at) = (0, None);
                Next {
                    tell: news.then_some(Ok(())),
                    delay: self.again,
                }
            }
            Err(why) => {
                self.count(since_start);
                let news = self.failures >= self.retries && !self.told_failure;
                self.told_failure |= news;
                Next {
                    tell: news.then_some(Err(why)),
                    delay: Some(self.after_failure()),
                }
            }
        }
    }

    /// Counts a failure at most once per interval: before the first success tries are quicker.
    fn count(&mut self, since_start: Duration) {
        let interval = self.again.unwrap_or_default();
        let counts = self.ready || since_start >= self.start_period;
        if counts
            && (self.ready
                || self
                    .counted_at
                    .is_none_or(|at| since_start >= at + interval))
        {
            self.failures = self.failures.saturating_add(1);
            self.counted_at = Some(since_start);
        }
    }

    fn after_failure(&mut self) -> Duration {
        if self.ready {
            return self.again.unwrap_or(PATIENT_MAX);
        }
        let longest = if self.told_failure {
            PATIENT_MAX
        } else {
            self.eager_max
        };
        self.delay = (self.delay * 2).min(longest);
        self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn health(retries: u32) -> Plan {
        let mut service = Service::new("db", "serve");
        service.healthcheck = Some(Healthcheck {
            test: Probe::Tcp {
                host: "localhost".to_owned(),
                port: 1,
            },
            interval: 5000 * MS,
            timeout: 1000 * MS,
            retries,
            start_period: 30_000 * MS,
        });
        Plan::of(&service, &Seen::default()).unwrap()
    }

    fn failed() -> Result<(), String> {
        Err("refused".to_owned())
    }

    #[test]
    fn what_a_service_says_decides_how_it_is_probed() {
        let mut service = Service::new("web", "serve");
        assert_eq!(
            Plan::of(&service, &Seen::default()),
            None,
            "it is ready when it runs"
        );
        service.port = Some(5000);
        assert_eq!(
            Plan::of(&service, &Seen::default()).unwrap().check,
            Check::Port(5000)
        );
        service.kind = Kind::Oneshot;
        assert_eq!(
            Plan::of(&service, &Seen::default()),
            None,
            "it is ready when it is done"
        );
        assert!(matches!(health(3).check, Check::Health(Probe::Tcp { .. })));
    }

    #[test]
    fn eager_until_the_first_success_then_at_the_interval() {
        let mut schedule = Schedule::new(&health(3));
        let mut delays = vec![schedule.first()];
        for _ in 0..6 {
            let next = schedule.answered(MS, failed());
            assert_eq!(next.tell, None, "it has just started");
            delays.extend(next.delay);
        }
        assert_eq!(delays, [10, 20, 40, 80, 100, 100, 100].map(|ms| ms * MS));
        let next = schedule.answered(MS, Ok(()));
        assert_eq!(
            next,
            Next {
                tell: Some(Ok(())),
                delay: Some(5000 * MS)
            }
        );
        assert_eq!(schedule.answered(MS, Ok(())).tell, None, "no news");
    }

    #[test]
    fn a_port_is_not_looked_at_again() {
        let mut service = Service::new("web", "serve");
        service.port = Some(5000);
        let mut schedule = Schedule::new(&Plan::of(&service, &Seen::default()).unwrap());
        assert_eq!(schedule.answered(29_000 * MS, failed()).tell, None);
        assert_eq!(
            schedule.answered(30_000 * MS, failed()).tell,
            Some(failed())
        );
        assert_eq!(
            schedule.answered(31_000 * MS, Ok(())),
            Next {
                tell: Some(Ok(())),
                delay: None
            }
        );
    }

    #[test]
    fn a_ready_service_becomes_unhealthy_by_failures_in_a_row_and_recovers() {
        let mut schedule = Schedule::new(&health(2));
        schedule.answered(MS, Ok(()));
        assert_eq!(schedule.answered(2 * MS, failed()).tell, None);
        schedule.answered(3 * MS, Ok(()));
        assert_eq!(
            schedule.answered(4 * MS, failed()).tell,
            None,
            "the row was broken"
        );
        assert_eq!(schedule.answered(5 * MS, failed()).tell, Some(failed()));
        assert_eq!(schedule.answered(6 * MS, failed()).tell, None, "told once");
        assert_eq!(schedule.answered(7 * MS, Ok(())).tell, Some(Ok(())));
    }

    #[test]
    fn a_success_after_a_complaint_is_news() {
        let mut schedule = Schedule::new(&health(2));
        schedule.answered(MS, Ok(()));
        schedule.complained();
        assert_eq!(schedule.answered(2 * MS, failed()).tell, None);
        assert_eq!(schedule.answered(3 * MS, Ok(())).tell, Some(Ok(())));
        assert_eq!(schedule.answered(4 * MS, Ok(())).tell, None);
    }

    #[test]
    fn a_service_that_never_becomes_healthy_is_told_after_its_start_period_and_retries() {
        let mut schedule = Schedule::new(&health(3));
        let mut now = schedule.first();
        let told_at = loop {
            let next = schedule.answered(now, failed());
            if next.tell.is_some() {
                break now;
            }
            now += next.delay.unwrap();
        };
        assert!(
            told_at >= 40_000 * MS && told_at < 41_000 * MS,
            "{told_at:?}"
        );
        assert_eq!(
            schedule.answered(told_at, Ok(())).tell,
            Some(Ok(())),
            "it may still come"
        );
    }
}
