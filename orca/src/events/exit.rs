//! Exit statuses, and the one place that chooses among them.

use super::tally::Tally;

/// All passed.
pub const GOOD: u8 = 0;
/// A test failed.
pub const FAILED: u8 = 1;
/// Usage, configuration or host error.
pub const USAGE: u8 = 2;
/// A test has no verdict because of machine trouble.
pub const TROUBLE: u8 = 3;
/// There was nothing to run.
pub const NOTHING: u8 = 4;

/// The status of a run that was not interrupted. A failure outranks trouble: it is certain.
pub fn status(tally: &Tally) -> u8 {
    if tally.failed + tally.timed_out + tally.setups_failed > 0 {
        FAILED
    } else if tally.errored + tally.not_run + tally.setups_errored > 0 {
        TROUBLE
    } else if tally.tests() == 0 {
        NOTHING
    } else {
        GOOD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tally: Tally, expected: u8) {
        assert_eq!(status(&tally), expected, "{tally:?}");
    }

    #[test]
    fn the_status_is_never_a_count() {
        let none = Tally::default();
        check(none.clone(), NOTHING);
        check(Tally { passed: 2, skipped: 1, ..none.clone() }, GOOD);
        check(Tally { passed: 2, failed: 256, ..none.clone() }, FAILED);
        check(Tally { timed_out: 1, errored: 1, ..none.clone() }, FAILED);
        check(Tally { passed: 9, errored: 1, ..none.clone() }, TROUBLE);
        check(Tally { quarantined: 1, setups: 1, setups_failed: 1, ..none.clone() }, FAILED);
        check(Tally { quarantined: 1, setups: 1, setups_errored: 1, ..none.clone() }, TROUBLE);
        check(Tally { not_run: 1, ..none }, TROUBLE);
    }
}
