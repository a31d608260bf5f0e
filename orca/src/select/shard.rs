//! Cuts the tests into parts for several hosts, which need not talk to each other.
//!
//! The parts are made from the names and the expected times alone: the longest test comes first,
//! and each goes to the part with the least time so far. So hosts with the same tests and the same
//! history come to the same parts, in whatever order they found the tests.

use crate::text::shard::Shard;
use std::cmp::Reverse;
use std::time::Duration;

/// The assumed time of a test if no test has a known time.
const UNKNOWN: Duration = Duration::from_secs(1);

/// For each of `tests`, in their order, whether it is in this part. Each comes with the time it is
/// expected to take.
pub fn pick(shard: Shard, tests: &[(String, Option<Duration>)]) -> Vec<bool> {
    let usual = median(tests);
    let mut order: Vec<(Reverse<Duration>, &str, usize)> = tests
        .iter()
        .enumerate()
        .map(|(at, (name, time))| (Reverse(time.unwrap_or(usual)), name.as_str(), at))
        .collect();
    order.sort_unstable();
    let mut loads = vec![(Duration::ZERO, 0_usize); shard.of];
    let mut mine = vec![false; tests.len()];
    for (Reverse(time), _, at) in order {
        let part = (0..shard.of).min_by_key(|&part| (loads[part], part)).unwrap_or_default();
        loads[part].0 += time;
        loads[part].1 += 1;
        mine[at] = part + 1 == shard.number;
    }
    mine
}

/// The median of the known times.
fn median(tests: &[(String, Option<Duration>)]) -> Duration {
    let mut known: Vec<Duration> = tests.iter().filter_map(|(_, time)| *time).collect();
    known.sort_unstable();
    known.get(known.len() / 2).copied().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(seconds: &[u64]) -> Vec<(String, Option<Duration>)> {
        let test = |(at, seconds): (usize, &u64)| {
            (format!("t/{at:03}"), (*seconds > 0).then(|| Duration::from_secs(*seconds)))
        };
        seconds.iter().enumerate().map(test).collect()
    }

    fn parts(tests: &[(String, Option<Duration>)], of: usize) -> Vec<Vec<String>> {
        let part = |number| {
            let mine = pick(Shard { number, of }, tests);
            let kept = tests.iter().zip(mine).filter(|(_, mine)| *mine);
            let mut names: Vec<String> = kept.map(|((name, _), _)| name.clone()).collect();
            names.sort();
            names
        };
        (1..=of).map(part).collect()
    }

    #[test]
    fn every_test_is_in_one_part_and_the_parts_are_even() {
        let skewed: Vec<u64> = (0..60).map(|n| if n % 20 == 0 { 90 } else { n % 7 }).collect();
        let tests = tests(&skewed);
        let parts = parts(&tests, 3);
        let mut all: Vec<String> = parts.concat();
        all.sort();
        assert_eq!(all, tests.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        let time = |name: &String| {
            tests.iter().find(|(test, _)| test == name).and_then(|(_, t)| *t).unwrap_or_default()
        };
        let loads: Vec<f64> = parts
            .iter()
            .map(|part| part.iter().map(time).sum::<Duration>().as_secs_f64())
            .collect();
        let (least, most) =
            (loads.iter().copied().fold(f64::MAX, f64::min), loads[0].max(loads[1]).max(loads[2]));
        assert!(most <= least * 1.2, "{loads:?}");
    }

    #[test]
    fn the_order_in_which_tests_were_found_does_not_matter() {
        let mut tests = tests(&[5, 0, 3, 3, 0, 9, 1, 1, 1]);
        let before = parts(&tests, 4);
        tests.reverse();
        assert_eq!(parts(&tests, 4), before);
    }

    #[test]
    fn without_a_history_parts_have_as_many_tests() {
        let sizes: Vec<usize> = parts(&tests(&[0; 8]), 3).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 3, 2]);
        assert_eq!(parts(&tests(&[0]), 2)[1].len(), 0);
    }
}
