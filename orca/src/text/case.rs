//! The paths of cases: `t/x_test.sh [b]`, and `t/x_test.sh [b] [x]` for a case of that case.

use super::{hash, quote};

/// The longest name of a folder, in bytes, with room for the number of a round and an attempt.
const FOLDER_BYTES_MAX: usize = 255 - 48;
/// The most that a case adds to the name of its test's folder, in bytes.
const SUFFIX_BYTES_MAX: usize = 120;

/// The path of the case with these `names` of the test at `test`, on one line. Brackets,
/// backslashes and control characters in a name are spelled `\xNN`, so that it can be read back.
pub fn path(test: &str, names: &[String]) -> String {
    let spelled = |name: &String| {
        let safe = name.replace('\\', "\\x5c").replace('[', "\\x5b").replace(']', "\\x5d");
        format!(" [{}]", quote::line(&safe))
    };
    names.iter().map(spelled).fold(test.to_owned(), |path, name| path + &name)
}

/// Every way to read `text` as the path of a case: a test and the names of its forks, the fewest
/// names first. A file's own name may end in brackets.
pub fn readings(text: &str) -> Vec<(&str, Vec<String>)> {
    let (mut found, mut rest, mut names) = (Vec::new(), text, Vec::new());
    while let Some((test, name)) = rest.strip_suffix(']').and_then(|rest| rest.rsplit_once(" [")) {
        names.insert(0, String::from_utf8_lossy(&quote::bytes(name.as_bytes())).into_owned());
        found.push((test, names.clone()));
        rest = test;
    }
    found
}

/// Adds `case` to `cases`, of which none is a case of another.
pub fn add(cases: &mut Vec<Vec<String>>, case: Vec<String>) {
    if !cases.iter().any(|other| case.starts_with(other)) {
        cases.retain(|other| !other.starts_with(&case));
        cases.push(case);
    }
}

/// The cases that are in both lists; an empty list has all.
pub fn common(one: &[Vec<String>], other: &[Vec<String>]) -> Option<Vec<Vec<String>>> {
    if one.is_empty() || other.is_empty() {
        return Some([one, other].concat());
    }
    let mut found = Vec::new();
    for a in one {
        for b in other {
            match (a.starts_with(b), b.starts_with(a)) {
                (true, _) => add(&mut found, a.clone()),
                (_, true) => add(&mut found, b.clone()),
                _ => {}
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The name of a case's folder of logs, beside that of its test, which is called `test`. It is the
/// name of one file, and different for different names.
pub fn folder(test: &str, names: &[String]) -> String {
    // A full stop begins the number of a round, and a plus sign the next name.
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02x}"),
    };
    let spell = |name: &String| name.bytes().map(byte).collect::<String>();
    let mut suffix = names.iter().map(spell).collect::<Vec<_>>().join("+");
    let room = FOLDER_BYTES_MAX.saturating_sub(test.len()).min(SUFFIX_BYTES_MAX);
    if suffix.len() > room {
        let digest = format!("~{:016x}", hash::of(suffix.as_bytes()));
        suffix.truncate(room.saturating_sub(digest.len()));
        suffix.push_str(&digest);
    }
    format!("{test}.case-{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_path_is_read_back() {
        let check = |list: &[&str], path: &str| {
            assert_eq!(super::path("t/x_test.sh", &names(list)), path);
            let back = readings(path).pop();
            assert_eq!(back, Some(("t/x_test.sh", names(list))), "{path}");
        };
        check(&["b"], "t/x_test.sh [b]");
        check(&["b", "two words"], "t/x_test.sh [b] [two words]");
        check(&["a] [b", "\\x41\n"], "t/x_test.sh [a\\x5d \\x5bb] [\\x5cx41\\x0a]");
        check(&["", "é"], "t/x_test.sh [] [é]");
        assert!(readings("t/[b]").is_empty() && readings("t/x_test.sh").is_empty());
        let both = [("t/a [b]", names(&["c"])), ("t/a", names(&["b", "c"]))];
        assert_eq!(readings("t/a [b] [c]"), both);
    }

    #[test]
    fn a_case_has_its_own_cases_in_it() {
        let lists = |text: &str| -> Vec<Vec<String>> {
            text.split_whitespace()
                .map(|case| case.split('/').map(str::to_owned).collect())
                .collect()
        };
        let check = |one: &str, other: &str, expected: Option<&str>| {
            assert_eq!(common(&lists(one), &lists(other)), expected.map(lists), "{one}, {other}");
            assert_eq!(common(&lists(other), &lists(one)), expected.map(lists), "{other}, {one}");
        };
        check("", "", Some(""));
        check("a b", "", Some("a b"));
        check("a b", "b", Some("b"));
        check("a", "b a/x a/y", Some("a/x a/y"));
        check("a", "b", None);
        let mut all = lists("a/x b");
        lists("a b/y a/z").into_iter().for_each(|case| add(&mut all, case));
        assert_eq!(all, lists("b a"));
    }

    #[test]
    fn a_folder_is_one_file_name_for_any_case() {
        let check = |list: &[&str], expected: &str| {
            assert_eq!(folder("x_test.sh", &names(list)), format!("x_test.sh.case-{expected}"));
        };
        check(&["b"], "b");
        check(&["b", "x y"], "b+x%20y");
        check(&["b.round-2", "../é"], "b%2eround-2+%2e%2e%2f%c3%a9");
        let long = "x".repeat(200);
        let one = folder("x_test.sh", &names(&[&long, "a"]));
        assert!(one.len() <= 140 && one != folder("x_test.sh", &names(&[&long, "b"])), "{one}");
        assert!(folder(&"y".repeat(200), &names(&["abc"])).len() < 235);
    }
}
