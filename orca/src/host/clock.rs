//! Time that counts against a test: a monotonic clock that stands still while this process is
//! stopped.
//!
//! After Ctrl-Z or `kill -STOP` the machines run on, and their output waits in sockets. When this
//! process continues, every deadline would seem to have passed at once. SIGSTOP cannot be caught,
//! so a stop is noticed afterwards: a thread looks at the clock ten times a second, and a longer
//! gap between two looks is time in which this process did not run.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// The time between two looks at the clock.
const PULSE: Duration = Duration::from_millis(100);
/// A longer gap between two looks means that this process was stopped.
const STALL: Duration = Duration::from_millis(1500);

static CLOCK: Mutex<Clock> = Mutex::new(Clock { last: None, lost: Duration::ZERO });

/// Starts to notice stops. It goes on until this process ends.
pub fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        lock().last = Some(Instant::now());
        let beat = || {
            loop {
                std::thread::sleep(PULSE); // the point is to see how long it takes
                now();
            }
        };
        // Without the thread the time of a stop counts, as it does on any other clock.
        if std::thread::Builder::new().name("clock".into()).spawn(beat).is_err() {
            lock().last = None;
        }
    });
}

/// The current time, less the time for which this process was stopped.
pub fn now() -> Instant {
    lock().look(Instant::now())
}

struct Clock {
    /// The time of the last look; `None` while no thread looks.
    last: Option<Instant>,
    /// The total time for which this process was stopped.
    lost: Duration,
}

impl Clock {
    fn look(&mut self, real: Instant) -> Instant {
        if let Some(last) = self.last {
            let gap = real.saturating_duration_since(last);
            if gap > STALL {
                self.lost += gap;
            }
            self.last = Some(real.max(last));
        }
        real.checked_sub(self.lost).unwrap_or(real)
    }
}

fn lock() -> std::sync::MutexGuard<'static, Clock> {
    CLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_does_not_count_and_a_busy_moment_does() {
        let start = Instant::now() + Duration::from_secs(3600);
        let at = |ms| start + Duration::from_millis(ms);
        let mut clock = Clock { last: Some(start), lost: Duration::ZERO };
        assert_eq!(clock.look(at(100)), at(100));
        assert_eq!(clock.look(at(1500)), at(1500));
        assert_eq!(clock.look(at(61_500)), at(1500));
        assert_eq!(clock.look(at(61_600)), at(1600));
        // A thread may look with an earlier time than the thread that looked before it.
        assert_eq!(clock.look(at(61_000)), at(1000));
        assert_eq!(clock.look(at(91_600)), at(1600));
    }

    #[test]
    fn without_the_thread_it_is_the_system_clock() {
        let mut clock = Clock { last: None, lost: Duration::ZERO };
        let later = Instant::now() + Duration::from_secs(3600);
        assert_eq!(clock.look(later), later);
    }
}
