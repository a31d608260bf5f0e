//! Numbers of things in words.

use std::fmt::Display;

/// `1 check`, `2 checks`.
pub fn count<N: Display + Copy + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let s = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_is_singular() {
        let of = |number: u64| count(number, "check");
        assert_eq!([of(0), of(1), of(2)], ["0 checks", "1 check", "2 checks"]);
    }
}
