//! The answers to a test that asks for a fork: which case it is, or which cases there are.

use super::interface::Order;
use agent::wire::{CASE_NAME_MAX, CASES_MAX};
use std::collections::HashSet;

/// How deep forks may lie in each other: the disks of a case stand on those of all outer ones.
const DEPTH_MAX: usize = 64;

/// The answers of one test, in the order of its forks.
pub(super) struct Answers<'a> {
    /// The cases that this is, outermost first.
    names: &'a [String],
    only: &'a [Vec<String>],
    /// How many forks have been answered.
    given: usize,
    /// Whether this is a set-up, whose tests start after its end.
    is_setup: bool,
    /// Why a case that was asked for could not be had: nothing that follows can mean anything.
    missing: Option<String>,
}

/// An answer to a request for a fork.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It is this case.
    Case(String),
    /// It goes on in each of these.
    Fork(Vec<String>),
    /// There is none, and why.
    Refused(String),
}

impl<'a> Answers<'a> {
    /// The answers for `order`. A case that goes on at a fork has had all answers but the last.
    pub(super) fn new(order: &'a Order) -> Self {
        let names = order.case.as_ref().map_or(&[][..], |case| &case.names);
        let goes_on = order.case.as_ref().is_some_and(|case| case.point.is_some());
        let given = if goes_on { names.len().saturating_sub(1) } else { 0 };
        let is_setup = order.is_setup();
        Self { names, only: &order.only, given, is_setup, missing: None }
    }

    /// The answer that a case gets which goes on at its fork.
    pub(super) fn first(&mut self) -> &'a str {
        let name = self.names.get(self.given).map_or("", String::as_str);
        self.given += 1;
        name
    }

    /// Why a case that was asked for could not be had, if one could not, when the test has ended.
    pub(super) fn missing(&self) -> Option<String> {
        let wanted = |wanted: &[String]| {
            let name = wanted.get(self.given)?;
            Some(format!("it has no case `{name}`: it ended without that fork"))
        };
        let asked =
            || self.only.iter().find_map(|only| wanted(only)).or_else(|| wanted(self.names));
        self.missing.clone().or_else(asked)
    }

    /// The answer to a request with this payload, which a guest wrote.
    pub(super) fn answer(&mut self, payload: &[u8]) -> Answer {
        if self.is_setup {
            return Answer::Refused("a set-up cannot fork".to_owned());
        }
        if let Some(missing) = &self.missing {
            return Answer::Refused(missing.clone());
        }
        let cases = match read(payload) {
            Ok(cases) => cases,
            Err(why) => return Answer::Refused(why),
        };
        self.choose(cases).unwrap_or_else(|missing| {
            self.missing = Some(missing.clone());
            Answer::Refused(missing)
        })
    }

    /// The answer to a test that asks for these cases.
    ///
    /// # Errors
    /// The case that is wanted is not among them.
    fn choose(&mut self, cases: Vec<String>) -> Result<Answer, String> {
        let at = self.given;
        self.given += 1;
        if let Some(name) = self.names.get(at) {
            return match cases.contains(name) {
                true => Ok(Answer::Case(name.clone())),
                false => Err(format!("there is no case `{name}` this time")),
            };
        }
        let wanted = |case: &String| {
            let fits = |only: &Vec<String>| {
                let same = only.iter().zip(self.names).all(|(one, other)| one == other);
                same && only.get(at).is_none_or(|name| name == case)
            };
            self.only.is_empty() || self.only.iter().any(fits)
        };
        if at >= DEPTH_MAX {
            return Ok(Answer::Refused(format!(
                "forks lie at most {DEPTH_MAX} deep in each other"
            )));
        }
        let chosen: Vec<String> = cases.iter().filter(|case| wanted(case)).cloned().collect();
        if chosen.is_empty() {
            let wanted = self.only.iter().filter_map(|only| only.get(at)).cloned();
            let wanted: Vec<String> = wanted.map(|name| format!("`{name}`")).collect();
            return Err(format!("there is no case {}", wanted.join(" or ")));
        }
        Ok(Answer::Fork(chosen))
    }
}

/// The names in a request: each is followed by a NUL.
fn read(payload: &[u8]) -> Result<Vec<String>, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "a case is not UTF-8".to_owned())?;
    let names: Vec<String> = text.split_terminator('\0').map(str::to_owned).collect();
    if names.is_empty() || names.len() > CASES_MAX {
        return Err(format!("a fork has 1 to {CASES_MAX} cases"));
    }
    let is_bad = |name: &&String| {
        let odd = |c: char| c.is_control() || c == '[' || c == ']';
        name.is_empty() || name.len() > CASE_NAME_MAX || name.contains(odd)
    };
    if let Some(bad) = names.iter().find(is_bad) {
        return Err(format!("`{}` cannot be the name of a case", bad.escape_debug()));
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(twice) => Err(format!("the case `{twice}` is there twice")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use super::super::interface::Case;
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn order(case: &str, only: &[&str]) -> Order {
        let only = only.iter().map(|one| names(one)).collect();
        let case = (!case.is_empty()).then(|| Case { names: names(case), point: None });
        Order { case, only, ..Order::default() }
    }

    #[test]
    fn a_test_forks_into_the_cases_that_are_wanted() {
        let check = |case: &str, only: &[&str], asked: &[&str], expected: Answer| {
            let order = order(case, only);
            let mut answers = Answers::new(&order);
            let last = asked.iter().map(|asked| answers.answer(asked.as_bytes())).last();
            assert_eq!(last, Some(expected), "{case} {only:?} {asked:?}");
        };
        let fork = |text| Answer::Fork(names(text));
        check("", &[], &["a\0b\0"], fork("a b"));
        check("", &["b"], &["a\0b\0"], fork("b"));
        check("", &["b x", "a"], &["a\0b\0c\0"], fork("a b"));
        check("b", &["b x", "a"], &["a\0b\0c\0"], Answer::Case("b".into()));
        check("b", &["b x", "a y"], &["a\0b\0c\0", "x\0y\0"], fork("x"));
        check("a", &["b x", "a"], &["a\0b\0", "x\0y\0"], fork("x y"));
        check("b", &[], &["a\0b\0", "x\0y\0"], fork("x y"));
        check("b x", &[], &["a\0b\0", "x\0y\0"], Answer::Case("x".into()));
        check("c", &[], &["a\0b\0"], Answer::Refused("there is no case `c` this time".into()));
        check("", &["z"], &["a\0"], Answer::Refused("there is no case `z`".into()));
    }

    #[test]
    fn a_test_that_ends_without_its_fork_lacks_the_case() {
        let missing = |case: &str, only: &[&str], asked: &[&str]| {
            let order = order(case, only);
            let mut answers = Answers::new(&order);
            asked.iter().for_each(|asked| drop(answers.answer(asked.as_bytes())));
            answers.missing()
        };
        assert_eq!(missing("", &[], &[]), None);
        assert_eq!(missing("a", &[], &["a\0"]), None);
        assert_eq!(missing("", &["b"], &["a\0"]).unwrap(), "there is no case `b`");
        let late = |name| format!("it has no case `{name}`: it ended without that fork");
        assert_eq!(missing("", &["b"], &[]).unwrap(), late("b"));
        assert_eq!(missing("a", &["a x"], &["a\0"]).unwrap(), late("x"));
        assert_eq!(missing("a b", &[], &["a\0"]).unwrap(), late("b"));
    }

    #[test]
    fn a_guest_is_not_believed() {
        let order = Order::default();
        let many = "a\0".repeat(CASES_MAX + 1);
        for bad in ["", "\0", "a\0a\0", "a[b\0", "a\nb\0", &"x".repeat(300), &many] {
            let answer = Answers::new(&order).answer(bad.as_bytes());
            assert!(matches!(answer, Answer::Refused(_)), "{bad:?}");
        }
        assert!(matches!(Answers::new(&order).answer(b"\xff\0"), Answer::Refused(_)));
    }
}
