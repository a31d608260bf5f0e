//! Parsers for the values of flags. Every error names the form that is accepted.

use std::ffi::OsStr;
use std::time::Duration;

/// A parsed value, or the accepted form, such as `a number from 1 to 9`.
pub type Parsed<T> = Result<T, String>;

/// A whole number between `min` and `max`, both included.
pub fn number(value: &OsStr, min: u64, max: u64) -> Parsed<u64> {
    let parsed = value.to_str().and_then(|text| text.parse().ok());
    parsed
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| format!("a number from {min} to {max}"))
}

/// A time: `90`, `90s`, `1.5m`, `2h`, `250ms`; without a unit, seconds. Up to a day.
pub fn duration(value: &OsStr) -> Parsed<Duration> {
    let form = || "a time such as 30s, 2m or 1h, at most a day".to_owned();
    let text = value.to_str().ok_or_else(form)?;
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];
    let parse = |(unit, seconds): (&str, f64)| {
        let amount: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(amount * seconds)
    };
    let seconds = units.into_iter().find_map(parse).filter(|s| *s > 0.0 && *s <= 86_400.0);
    seconds.map(Duration::from_secs_f64).ok_or_else(form)
}

/// An amount of memory in MiB: `512M`, `1G`, `512` (MiB). From 64 MiB to 1 TiB.
pub fn memory_mib(value: &OsStr) -> Parsed<u32> {
    let form = || "an amount of memory such as 512M or 2G, at least 64M".to_owned();
    let text = value.to_str().ok_or_else(form)?;
    let units = [("GiB", 1024), ("G", 1024), ("g", 1024), ("MiB", 1), ("M", 1), ("m", 1), ("", 1)];
    let parse =
        |(unit, mib): (&str, u32)| text.strip_suffix(unit)?.parse::<u32>().ok()?.checked_mul(mib);
    units.into_iter().find_map(parse).filter(|mib| (64..=1 << 20).contains(mib)).ok_or_else(form)
}

/// The choice whose name is `value`.
pub fn choice<T: Copy>(value: &OsStr, choices: &[(&str, T)]) -> Parsed<T> {
    let found = choices.iter().find(|(name, _)| OsStr::new(name) == value);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    })
}

/// A factor between 0.1 and 100.
pub fn factor(value: &OsStr) -> Parsed<f64> {
    let parsed = value.to_str().and_then(|text| text.parse::<f64>().ok());
    parsed
        .filter(|f| (0.1..=100.0).contains(f))
        .ok_or_else(|| "a factor from 0.1 to 100".to_owned())
}

/// Text without control characters.
pub fn text(value: &OsStr) -> Parsed<String> {
    let plain = value.to_str().filter(|text| !text.contains(char::is_control));
    plain.map(str::to_owned).ok_or_else(|| "plain text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, ms: Option<u64>| {
            assert_eq!(duration(text.as_ref()).ok(), ms.map(Duration::from_millis), "{text}");
        };
        check("90", Some(90_000));
        check("1.5m", Some(90_000));
        check("250ms", Some(250));
        check("1h", Some(3_600_000));
        check("0", None);
        check("-1", None);
        check("2d", None);
        check("NaN", None);
        check("inf", None);
    }

    #[test]
    fn amounts_of_memory() {
        let check = |text: &str, mib: Option<u32>| {
            assert_eq!(memory_mib(text.as_ref()).ok(), mib, "{text}");
        };
        check("512M", Some(512));
        check("512", Some(512));
        check("2G", Some(2048));
        check("1GiB", Some(1024));
        check("63M", None);
        check("99999999G", None);
        check("lots", None);
    }

    #[test]
    fn numbers_have_bounds() {
        assert_eq!(number("7".as_ref(), 1, 9), Ok(7));
        assert_eq!(number("10".as_ref(), 1, 9), Err("a number from 1 to 9".into()));
        assert!(number("-1".as_ref(), 1, 9).is_err());
    }
}
