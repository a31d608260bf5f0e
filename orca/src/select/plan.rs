//! The plan of a run: its tests, their order and their limits, decided before anything runs.

use super::discover::Test;
use super::header::Header;
use super::history::History;
use super::setups::{SetUpFile, SetUps};
use crate::shape::{Node, Shape};
use crate::text::day::Day;
use std::cmp::Reverse;
use std::time::Duration;

/// One planned test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The test.
    pub test: Test,
    /// How long it may run, scaled for the accelerator.
    pub timeout: Duration,
    /// How long it is expected to run, from history.
    pub expected: Option<Duration>,
    /// How often it may be tried again after a failure.
    pub retries: u32,
    /// Its machine, or each of its machines if it has several.
    pub shape: Shape,
    /// Its machines, if it has several.
    pub nodes: Vec<Node>,
    /// The set-up that it starts from, by its place in [`Plan::setups`].
    pub setup: Option<usize>,
    /// Whether it forked when it was last run.
    pub forks: bool,
    /// Whether no other test may run at the same time.
    pub exclusive: bool,
    /// Why its bad results do not count.
    pub quarantined: Option<String>,
    /// Why it is not run at all.
    pub skipped: Option<String>,
}

/// A set-up of planned tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSetUp {
    /// Its file.
    pub file: Test,
    /// The set-up that it runs on top of, by its place in [`Plan::setups`].
    pub outer: Option<usize>,
    /// How long it may run, scaled for the accelerator.
    pub timeout: Duration,
    /// How often it may be tried again after a failure.
    pub retries: u32,
}

/// The settings of a test without a header, and what machines have.
#[derive(Clone, Debug)]
pub struct Defaults<'a> {
    /// How long it may run, not scaled.
    pub timeout: Duration,
    /// What timeouts are multiplied by.
    pub factor: f64,
    /// How often it may be tried again.
    pub retries: u32,
    /// Its machine, or each of them if it has several.
    pub shape: Shape,
    /// What machines have, out of what a test can require.
    pub has: &'a [&'static str],
    /// The current day, which decides whether a quarantine has ended.
    pub today: Day,
    /// Whether the run looks for a failure (`--until-fail`): then nothing is tried again and no
    /// quarantine counts.
    pub hunting: bool,
}

impl Defaults<'_> {
    /// How often what has this header may be tried again.
    fn retries(&self, header: &Header) -> u32 {
        if self.hunting { 0 } else { header.retries.unwrap_or(self.retries) }
    }
}

/// The run's tests, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The tests, in the order of the run.
    pub tests: Vec<Planned>,
    /// The set-ups of the tests. An inner one comes after its outer one.
    pub setups: Vec<PlannedSetUp>,
    /// Warnings for the user before the run.
    pub warnings: Vec<String>,
}

impl Plan {
    /// Plans every test, in the order that `history` suggests, or in that of a `seed`. `setups` has
    /// the set-ups of these tests.
    pub fn new(
        tests: Vec<(Test, Header)>,
        setups: &SetUps,
        defaults: &Defaults<'_>,
        history: &History,
        seed: Option<u64>,
    ) -> Self {
        let setup = |setup: &SetUpFile| PlannedSetUp {
            file: setup.file.clone(),
            outer: setup.outer,
            timeout: setup.header.timeout.unwrap_or(defaults.timeout).mul_f64(defaults.factor),
            retries: defaults.retries(&setup.header),
        };
        let mut plan = Self { setups: setups.all.iter().map(setup).collect(), ..Self::default() };
        for (test, header) in tests {
            plan.add(test, header, setups, defaults, history);
        }
        match seed {
            Some(seed) => shuffle(&mut plan.tests, seed),
            None => arrange(&mut plan.tests, history),
        }
        plan
    }

    /// The set-ups of a test that starts from `innermost`, outermost first, by their places in
    /// [`Plan::setups`].
    pub fn chain(&self, innermost: Option<usize>) -> Vec<usize> {
        let outer = |at: &usize| self.setups[*at].outer;
        let mut chain: Vec<usize> = std::iter::successors(innermost, outer).collect();
        chain.reverse();
        chain
    }

    fn add(
        &mut self,
        test: Test,
        header: Header,
        setups: &SetUps,
        defaults: &Defaults<'_>,
        history: &History,
    ) {
        let name = test.display();
        let mut quarantined = None;
        if let Some(quarantine) = &header.quarantine {
            let (reason, until) = (&quarantine.reason, quarantine.until);
            if until < defaults.today {
                self.warnings.push(format!(
                    "{name}: its quarantine ({reason}) ended on {until}; its failures count again"
                ));
            } else if !defaults.hunting {
                quarantined = Some(format!("{reason}, until {until}"));
            }
        }
        let setup = setups.innermost(&test);
        // A set-up's header says what is usual below it.
        let (mut usual, mut skipped) = (defaults.shape, header.lacks(defaults.has));
        for at in self.chain(setup) {
            let outer = &setups.all[at].header;
            usual = outer.shape(usual);
            let lacks = outer.lacks(defaults.has).map(|why| format!("set-up skipped: {why}"));
            skipped = skipped.or(lacks);
        }
        self.tests.push(Planned {
            timeout: header.timeout.unwrap_or(defaults.timeout).mul_f64(defaults.factor),
            expected: history.expected_of(&test),
            retries: defaults.retries(&header),
            shape: header.shape(usual),
            setup,
            forks: history.forks(&name),
            exclusive: header.exclusive,
            quarantined,
            skipped,
            nodes: header.nodes,
            test,
        });
    }
}

/// Orders the tests. What was bad last time comes first, since the user waits for it. Unknown tests
/// follow, since they might be long, and then the longest, so that the last machines to work end
/// together. Otherwise the path decides.
fn arrange(tests: &mut [Planned], history: &History) {
    tests.sort_by_cached_key(|planned| {
        let outstanding = history.is_outstanding(&planned.test.display());
        (!outstanding, planned.expected.is_some(), Reverse(planned.expected))
    });
}

/// The shuffle of Fisher and Yates. It starts from the order of the paths, so that a seed always
/// gives the same order of the same tests.
fn shuffle(tests: &mut [Planned], seed: u64) {
    let mut state = seed;
    for last in (1..tests.len()).rev() {
        tests.swap(last, (random(&mut state) % (last as u64 + 1)) as usize);
    }
}

/// SplitMix64: small, and the same on every host.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::header::NODES;
    use std::io::Write;

    fn defaults(today: &str) -> Defaults<'static> {
        Defaults {
            timeout: Duration::from_secs(10),
            factor: 3.0,
            retries: 2,
            shape: Shape { memory_mib: 512, cpus: 1, ..Shape::default() },
            has: &["vm", "x86_64"],
            today: Day::parse(today).unwrap(),
            hunting: false,
        }
    }

    /// A plan of tests with these headers, called a, b, c … in their order, after a history of
    /// these lines.
    fn plan(
        headers: &[&str],
        history: &str,
        seed: Option<u64>,
        change: impl Fn(&mut Defaults<'_>),
    ) -> Plan {
        let root = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-plan-XXXXXX")).unwrap();
        let mut tests = Vec::new();
        for (name, header) in ('a'..).zip(headers) {
            std::fs::write(root.join(name.to_string()), format!("# orca: {header}\n")).unwrap();
            let test = Test::new(name.to_string());
            let header = Header::read(&root, &test).unwrap();
            tests.push((test, header));
        }
        let journal = root.join("history");
        std::fs::File::create(&journal).unwrap().write_all(history.as_bytes()).unwrap();
        let (history, warning) = History::load(&journal);
        assert_eq!(warning, None);
        let mut defaults = defaults("2027-01-31");
        change(&mut defaults);
        let plan = Plan::new(tests, &SetUps::default(), &defaults, &history, seed);
        std::fs::remove_dir_all(&root).unwrap();
        plan
    }

    fn order(plan: &Plan) -> String {
        plan.tests.iter().map(|planned| planned.test.display()).collect()
    }

    #[test]
    fn failed_first_then_unknown_then_longest() {
        let history = "\
{\"run\":\"1\",\"planned\":[\"a\",\"b\",\"c\",\"e\",\"f\"]}
{\"run\":\"1\",\"test\":\"a\",\"bad\":false,\"seconds\":1}
{\"run\":\"1\",\"test\":\"b\",\"bad\":false,\"seconds\":9}
{\"run\":\"1\",\"test\":\"c\",\"bad\":true,\"seconds\":2}
{\"run\":\"1\",\"test\":\"e\",\"bad\":false,\"seconds\":9}
";
        let planned = plan(&[""; 6], history, None, |_| ());
        assert_eq!(order(&planned), "fcdbea");
        assert_eq!(planned.tests[3].expected, Some(Duration::from_secs(9)));
        assert_eq!(order(&plan(&[""; 6], "", None, |_| ())), "abcdef");
    }

    #[test]
    fn a_seed_is_an_order() {
        let shuffled = |seed| order(&plan(&[""; 8], "", Some(seed), |_| ()));
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut letters: Vec<char> = shuffled(1).chars().collect();
        letters.sort_unstable();
        assert_eq!(String::from_iter(letters), "abcdefgh");
    }

    #[test]
    fn quarantine_lasts_through_its_last_day() {
        let header = ["flaky=\"a race\" until=2027-01-31"];
        let on = |day: &str, hunting: bool| {
            let day = Day::parse(day).unwrap();
            let plan = plan(&header, "", None, |d| (d.today, d.hunting) = (day, hunting));
            (plan.tests[0].quarantined.clone(), plan.warnings)
        };
        let why = Some("a race, until 2027-01-31".to_owned());
        assert_eq!(on("2027-01-31", false), (why, Vec::new()));
        assert_eq!(on("2027-01-31", true), (None, Vec::new()));
        let over = "a: its quarantine (a race) ended on 2027-01-31; its failures count again";
        assert_eq!(on("2027-02-01", false), (None, vec![over.to_owned()]));
    }

    #[test]
    fn headers_and_what_there_is() {
        let plan = plan(&["requires=vm,kvm net=user exclusive", "requires=vm"], "", None, |_| ());
        let [a, b] = &plan.tests[..] else { panic!("{plan:?}") };
        assert_eq!(a.skipped.as_deref(), Some("requires kvm, which is not available here"));
        assert!(a.shape.net && a.exclusive && a.retries == 2);
        assert_eq!((b.skipped.as_deref(), b.shape.net, b.exclusive), (None, false, false));
        assert_eq!(b.timeout, Duration::from_secs(30));
    }

    #[test]
    fn several_nodes_need_machines_and_wires() {
        let skipped = |has: &'static [&'static str]| {
            let plan = plan(&["nodes=a,b"], "", None, |defaults| defaults.has = has);
            (plan.tests[0].nodes.len(), plan.tests[0].skipped.clone().unwrap_or_default())
        };
        assert_eq!(skipped(&["vm", NODES]), (2, String::new()));
        assert!(skipped(&["vm"]).1.ends_with("need QEMU 7.2 or later"));
        assert!(skipped(&["x86_64"]).1.ends_with("there are no virtual machines here"));
    }
}
