//! Calendar days in UTC, for the ends of quarantines and the names of runs' folders.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// A calendar day; the earlier of two is the smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: u64,
    /// From 1.
    month: u64,
    /// From 1.
    day: u64,
}

impl Day {
    /// The day that `at` falls on.
    pub fn of(at: SystemTime) -> Self {
        Self::from_days(at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400)
    }

    /// The day that is `days` days after 1970-01-01.
    fn from_days(days: u64) -> Self {
        let (year, month, day) = tap::date::civil(days);
        Self { year, month, day }
    }

    /// `2027-01-31`; `None` for any other form, and for days that do not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |part: &str, len: usize| {
            let plain = part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| part.parse::<u64>().ok()).flatten()
        };
        let mut parts = text.split('-');
        let year = digits(parts.next()?, 4)?;
        let (month, day) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let real = (1..=days).contains(&day) && parts.next().is_none();
        real.then_some(Self { year, month, day })
    }

    /// `20270131`, for file names.
    pub fn compact(self) -> String {
        self.to_string().replace('-', "")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written() {
        let check = |text: &str, good: bool| {
            let shown = Day::parse(text).map(|day| day.to_string());
            assert_eq!(shown.as_deref(), good.then_some(text), "{text}");
        };
        check("2027-01-31", true);
        check("2028-02-29", true);
        check("2027-02-29", false);
        check("2100-02-29", false);
        check("2027-04-31", false);
        check("2027-13-01", false);
        check("2027-00-01", false);
        check("2027-1-31", false);
        check("31.01.2027", false);
        check("2027-01-31-1", false);
        check("+027-01-31", false);
        assert!(Day::parse("2027-01-31") < Day::parse("2027-02-01"));
    }

    #[test]
    fn days_are_counted_from_1970() {
        let check = |days: u64, text: &str| assert_eq!(Day::from_days(days).to_string(), text);
        check(0, "1970-01-01");
        check(11_015, "2000-02-28");
        check(11_016, "2000-02-29");
        check(20_780, "2026-11-23");
    }
}
