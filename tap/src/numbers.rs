//! Sets of test numbers, kept as ranges: memory is constant for any run that is nearly in order.

/// Ranges kept in a set; only a stream with tens of thousands of gaps has more.
pub const RANGES_MAX: usize = 1 << 16;

/// A set of numbers, as sorted, disjoint, non-adjacent ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    ranges: Vec<(u64, u64)>,
    full: bool,
}

/// The outcome of an insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Insert {
    New,
    Present,
    /// The number would need one range more than [`RANGES_MAX`].
    Full,
}

impl Numbers {
    /// The ranges in order: the first and the last number of each.
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether numbers had to be left out.
    pub const fn truncated(&self) -> bool {
        self.full
    }

    /// Whether it holds no number.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The largest number.
    pub(crate) fn max(&self) -> Option<u64> {
        self.ranges.last().map(|r| r.1)
    }

    /// Puts 1 to `last` into an empty set.
    pub(crate) fn insert_first(&mut self, last: u64) {
        debug_assert!(self.ranges.is_empty());
        if last > 0 {
            self.ranges.push((1, last));
        }
    }

    #[inline]
    pub(crate) fn insert(&mut self, number: u64) -> Insert {
        if let Some(last) = self.ranges.last_mut()
            && number.checked_sub(1) == Some(last.1)
        {
            last.1 = number;
            return Insert::New;
        }
        self.insert_anywhere(number)
    }

    fn insert_anywhere(&mut self, number: u64) -> Insert {
        let at = self.ranges.partition_point(|r| r.0 <= number);
        if at > 0 && self.ranges[at - 1].1 >= number {
            return Insert::Present;
        }
        let joins_left = at > 0 && self.ranges[at - 1].1 + 1 == number;
        let joins_right = self.ranges.get(at).is_some_and(|r| r.0 - 1 == number);
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[at - 1].1 = self.ranges[at].1;
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at - 1].1 = number,
            (false, true) => self.ranges[at].0 = number,
            (false, false) if self.ranges.len() >= RANGES_MAX => {
                self.full = true;
                return Insert::Full;
            }
            (false, false) => self.ranges.insert(at, (number, number)),
        }
        Insert::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_know_what_they_hold() {
        let mut set = Numbers::default();
        for n in [1, 2, 5, 9, 4, 3, u64::MAX, 0] {
            assert_eq!(set.insert(n), Insert::New, "{n}");
        }
        assert_eq!(set.ranges(), [(0, 5), (9, 9), (u64::MAX, u64::MAX)]);
        for n in [0, 3, 9, u64::MAX] {
            assert_eq!(set.insert(n), Insert::Present, "{n}");
        }
        assert_eq!(set.max(), Some(u64::MAX));
    }

    #[test]
    fn a_scattered_set_is_bounded() {
        let mut set = Numbers::default();
        let full = (0..).map(|n| n * 2).find(|&n| set.insert(n) == Insert::Full);
        assert_eq!(full, Some(2 * RANGES_MAX as u64));
        assert!(set.truncated());
    }
}
