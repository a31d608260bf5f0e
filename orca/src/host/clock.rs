//! Time that counts against a test: a monotonic clock that stands still while this process is stopped.
//!
//! After Ctrl-Z or `kill -STOP` the machines run on and what they say waits in sockets; on waking, every deadline would seem to have
//! passed at once. SIGSTOP cannot be caught, so the stop is seen afterwards: a thread looks at the clock ten times a second, and where it
//! did not for a while, nobody here ran.

use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

/// How often the clock is looked at.
const PULSE: Duration = Duration::from_millis(100);
/// A pause between two looks that is longer is one in which this process did not run.
const STALL: Duration = Duration::from_millis(1500);

static CLOCK: Mutex<Clock> = Mutex::new(Clock { last: None, lost: Duration::ZERO });

/// Begins to notice stops. From then on until this process ends.
pub fn keep() {
    static KEEPER: Once = Once::new();
    KEEPER.call_once(|| {
        lock().last = Some(Instant::now());
        let beat = || {
            loop {
                std::thread::sleep(PULSE); // the point is to see how long it takes
                now();
            }
        };
        // Without the thread, stops count as time, which is what everybody else's clocks do.
        if std::thread::Builder::new().name("clock".into()).spawn(beat).is_err() {
            lock().last = None;
        }
    });
}

/// Now, without the time that this process was stopped.
pub fn now() -> Instant {
    lock().look(Instant::now())
}

struct Clock {
    /// When it was last looked at; `None` while nobody keeps it.
    last: Option<Instant>,
    /// How long this process was stopped, in all.
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
        assert_eq!(clock.look(at(61_000)), at(1000)); // threads may look in another order than they asked
        assert_eq!(clock.look(at(91_600)), at(1600));
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_everybodys() {
        let mut clock = Clock { last: None, lost: Duration::ZERO };
        let later = Instant::now() + Duration::from_secs(3600);
        assert_eq!(clock.look(later), later);
    }
}
