//! `--shard I/N`: one of N parts of the work.

use super::value::Parsed;

/// The most parts.
const PARTS_MAX: usize = 1000;

/// Which part, of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1.
    pub number: usize,
    /// At least `number`.
    pub of: usize,
}

impl Shard {
    /// `2/3`.
    pub fn parse(text: &str) -> Parsed<Self> {
        let parse = || {
            let (number, of) = text.split_once('/')?;
            let (number, of) = (number.parse().ok()?, of.parse().ok()?);
            ((1..=of).contains(&number) && of <= PARTS_MAX).then_some(Self { number, of })
        };
        parse().ok_or_else(|| format!("I/N such as 1/3, with I from 1 to N, N up to {PARTS_MAX}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(Shard::parse("2/3"), Ok(Shard { number: 2, of: 3 }));
        for bad in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "1/9999", "-1/2"] {
            assert!(Shard::parse(bad).is_err(), "{bad}");
        }
    }
}
