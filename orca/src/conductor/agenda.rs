//! From a plan to the entries of a run: the set-ups that its tests need, and every test, on every
//! kernel.
//!
//! A set-up is an entry for each kernel and for each size of machine that tests need it in, because
//! a machine that was frozen cannot change its size. All set-ups come first, outer ones before
//! inner ones, so that little waits for them.

use super::entry::Entry;
use crate::events::attempt::{Kernel, TestId};
use crate::machine::{Order, SetUp};
use crate::pod::Job;
use crate::select::plan::{Plan, Planned};
use crate::shape::Shape;
use crate::text::{case, quote};
use agent::wire::SETUP;
use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// What the entries of a run are made of.
pub struct Agenda<'a> {
    /// The tests and their set-ups.
    pub plan: &'a Plan,
    /// The kernels that every test runs on, if there are several.
    pub kernels: &'a [Kernel],
    /// Whether machines can be frozen. If not, every machine goes through its set-ups itself.
    pub freezes: bool,
    /// For each set-up of the plan the digest of what it depends on, if it is kept between runs.
    pub kept: &'a [Option<u64>],
    /// What all orders have in common.
    pub usual: Order,
    /// The folder for logs.
    pub log_dir: PathBuf,
    /// The shell command that runs a test as this run does on a kernel, without the test.
    pub command: &'a dyn Fn(Option<&Kernel>) -> String,
    /// How long a set-up is expected to take, by the path that reports have for it.
    pub expected: &'a dyn Fn(&str) -> Option<Duration>,
}

/// A set-up of the plan, on machines of this shape, kernel included.
type Needed = (usize, Shape);

/// The set-ups that are needed, and their places among the entries.
#[derive(Default)]
struct SetUpEntries<'a> {
    /// In the order of the entries, each with the first test that needs it.
    all: Vec<(Needed, &'a Planned)>,
    places: HashMap<Needed, TestId>,
}

impl Agenda<'_> {
    /// The entries: set-ups, and then tests in the order of the plan. One kernel comes after the
    /// other, since most machines of a kernel are copies of one template.
    pub fn entries(&self) -> Vec<Entry> {
        let setups = self.setups();
        let all = setups.all.iter();
        let mut entries: Vec<Entry> =
            all.map(|(needed, first)| self.setup(*needed, first, &setups)).collect();
        for (number, kernel) in self.targets() {
            for planned in &self.plan.tests {
                entries.push(self.test(planned, (number, kernel), &setups));
            }
        }
        for (test, entry) in entries.iter_mut().enumerate() {
            entry.job.test = test;
        }
        entries
    }

    /// The kernels by their numbers; `None` for the only one.
    fn targets(&self) -> Vec<(usize, Option<&Kernel>)> {
        match self.kernels {
            [] => vec![(0, None)],
            several => several.iter().map(Some).enumerate().collect(),
        }
    }

    fn setups(&self) -> SetUpEntries<'_> {
        let mut found = SetUpEntries::default();
        for (kernel, _) in self.targets() {
            for planned in self.plan.tests.iter().filter(|planned| self.has_entry(planned)) {
                let shape = Shape { kernel, ..planned.shape };
                for setup in self.plan.chain(planned.setup) {
                    found.places.entry((setup, shape)).or_insert_with(|| {
                        found.all.push(((setup, shape), planned));
                        0
                    });
                }
            }
        }
        found.all.sort_by_key(|((setup, _), _)| self.plan.chain(Some(*setup)).len());
        for (place, (needed, _)) in found.all.iter().enumerate() {
            found.places.insert(*needed, place);
        }
        found
    }

    /// Whether the set-ups of the test are entries of the run.
    fn has_entry(&self, planned: &Planned) -> bool {
        self.freezes && planned.nodes.is_empty() && planned.skipped.is_none()
    }

    fn setup(&self, needed: Needed, first: &Planned, setups: &SetUpEntries<'_>) -> Entry {
        let (number, shape) = needed;
        let planned = &self.plan.setups[number];
        let kernel = self.kernels.get(shape.kernel);
        let after = planned.outer.and_then(|outer| setups.places.get(&(outer, shape)).copied());
        let others = setups.all.iter().map(|(other, _)| other);
        let others = others.filter(|other| other.0 == number && other.1.kernel == shape.kernel);
        let which = difference(shape, &others.map(|other| other.1).collect::<Vec<_>>());
        let file = &planned.file;
        let path = format!("{}{which}", file.display());
        let mut dir = self.logs(kernel).join(&file.path);
        if !which.is_empty() {
            let word = which.replace(|c: char| !c.is_ascii_alphanumeric(), "");
            dir.set_file_name(format!("{}.{word}", crate::select::discover::SETUP_NAME));
        }
        let number_in_run = setups.places.get(&needed).copied().unwrap_or_default();
        let order = Order {
            shape: Shape { setup: after, freezes: true, ..shape },
            path: file.path.as_os_str().as_bytes().to_vec(),
            timeout: planned.timeout,
            setup: Some(SetUp {
                number: number_in_run,
                path: file.display(),
                kept: self.kept.get(number).copied().flatten(),
            }),
            env: [&self.usual.env[..], &[(SETUP.into(), b"1".to_vec())]].concat(),
            ..self.usual.clone()
        };
        let path = kernel.map_or(path.clone(), |kernel| kernel.name(&path));
        let expected = (self.expected)(&path);
        let job = Job { retries: planned.retries, ..self.job(path, kernel, order, dir) };
        Entry { after, expected, again: self.again(first, kernel), ..Entry::new(job) }
    }

    fn test(
        &self,
        planned: &Planned,
        (number, kernel): (usize, Option<&Kernel>),
        setups: &SetUpEntries<'_>,
    ) -> Entry {
        let shape = Shape { kernel: number, ..planned.shape };
        let innermost = planned.setup.filter(|_| planned.skipped.is_none());
        let entry = innermost.filter(|_| self.has_entry(planned));
        let after = entry.and_then(|setup| setups.places.get(&(setup, shape)).copied());
        let mut order = Order {
            shape: Shape { setup: after, freezes: self.freezes && planned.forks, ..shape },
            path: planned.test.path.as_os_str().as_bytes().to_vec(),
            timeout: planned.timeout,
            nodes: planned.nodes.clone(),
            only: planned.test.only.clone(),
            ..self.usual.clone()
        };
        if after.is_none() {
            let file = |setup: &usize| &self.plan.setups[*setup].file.path;
            let bytes = |setup: usize| file(&setup).as_os_str().as_bytes().to_vec();
            order.setups_before = self.plan.chain(innermost).into_iter().map(bytes).collect();
            // Machines that went through other set-ups are not the same. Those of a group are never
            // shared.
            order.shape.setup = innermost.filter(|_| !self.freezes && planned.nodes.is_empty());
        }
        let display = planned.test.display();
        let path = kernel.map_or(display.clone(), |kernel| kernel.name(&display));
        let dir = self.logs(kernel).join(&planned.test.path);
        let job = Job {
            retries: planned.retries,
            quarantined: planned.quarantined.clone(),
            ..self.job(path, kernel, order, dir)
        };
        Entry {
            exclusive: planned.exclusive,
            skipped: planned.skipped.clone(),
            after,
            expected: planned.expected,
            command: (self.command)(kernel),
            again: self.again(planned, kernel),
            ..Entry::new(job)
        }
    }

    fn job(&self, path: String, kernel: Option<&Kernel>, order: Order, dir: PathBuf) -> Job {
        Job {
            test: 0, // its place is known later
            path,
            kernel: kernel.cloned(),
            round: 1,
            attempt: 1,
            retries: 0,
            quarantined: None,
            order,
            dir,
            before: None,
        }
    }

    fn logs(&self, kernel: Option<&Kernel>) -> PathBuf {
        kernel.map_or(self.log_dir.clone(), |kernel| self.log_dir.join(&kernel.release))
    }

    /// The command that runs just this test again.
    fn again(&self, planned: &Planned, kernel: Option<&Kernel>) -> String {
        let test = planned.test.display();
        let path = match &planned.test.only[..] {
            [names] => case::path(&test, names),
            _ => test, // several cases might not fit on a line
        };
        let path = quote::line(&path);
        format!("{} {}", (self.command)(kernel), quote::shell_word(path.as_bytes()))
    }
}

/// How `shape` differs from the others in `all`, in brackets; nothing if it is the only one.
fn difference(shape: Shape, all: &[Shape]) -> String {
    let differ = |get: &dyn Fn(&Shape) -> u32| all.iter().any(|other| get(other) != get(&shape));
    let mut parts = Vec::new();
    if differ(&|shape| shape.memory_mib) {
        parts.push(format!("{} MiB", shape.memory_mib));
    }
    if differ(&|shape| shape.cpus) {
        parts.push(format!("{} CPU{}", shape.cpus, if shape.cpus == 1 { "" } else { "s" }));
    }
    if differ(&|shape| u32::from(shape.net)) {
        parts.push(if shape.net { "net" } else { "no net" }.to_owned());
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::discover::Test;
    use crate::select::plan::PlannedSetUp;

    /// A test from the set-up with this number, on a machine with this much memory.
    fn planned(path: &str, setup: Option<usize>, memory_mib: u32) -> Planned {
        Planned {
            test: Test::new(path),
            timeout: Duration::from_secs(10),
            expected: None,
            retries: 0,
            shape: Shape { memory_mib, cpus: 1, ..Shape::default() },
            nodes: Vec::new(),
            setup,
            forks: false,
            exclusive: false,
            quarantined: None,
            skipped: None,
        }
    }

    /// `t/setup.sh` with `t/a/setup.sh` on top, and `t/b/setup.sh`.
    fn plan(tests: Vec<Planned>) -> Plan {
        let setup = |path: &str, outer| PlannedSetUp {
            file: Test::new(path),
            outer,
            timeout: Duration::from_secs(60),
            retries: 1,
        };
        let setups = vec![
            setup("t/setup.sh", None),
            setup("t/a/setup.sh", Some(0)),
            setup("t/b/setup.sh", Some(0)),
        ];
        Plan { tests, setups, warnings: Vec::new() }
    }

    fn entries(plan: &Plan, kernels: &[Kernel], freezes: bool) -> Vec<Entry> {
        let agenda = Agenda {
            plan,
            kernels,
            freezes,
            kept: &[Some(7), None, None],
            usual: Order::default(),
            log_dir: "/logs".into(),
            command: &|_| "orca test".to_owned(),
            expected: &|_| None,
        };
        agenda.entries()
    }

    /// `path <- what it waits for`, a line per entry.
    fn lines(entries: &[Entry]) -> Vec<String> {
        let line = |entry: &Entry| {
            let Entry { job, after, .. } = entry;
            let after = after.map_or("-", |after| &entries[after].job.path);
            format!("{} <- {after}", job.path)
        };
        entries.iter().map(line).collect()
    }

    #[test]
    fn only_the_set_ups_of_tests_that_run_are_run() {
        let mut plan = plan(vec![
            planned("t/a/x_test.sh", Some(1), 512),
            planned("t/b/y_test.sh", Some(2), 512),
            planned("t/z_test.sh", Some(0), 512),
            planned("w_test.sh", None, 512),
        ]);
        plan.tests[1].skipped = Some("no".to_owned());
        let found = entries(&plan, &[], true);
        let expected = [
            "t/setup.sh <- -",
            "t/a/setup.sh <- t/setup.sh",
            "t/a/x_test.sh <- t/a/setup.sh",
            "t/b/y_test.sh <- -",
            "t/z_test.sh <- t/setup.sh",
            "w_test.sh <- -",
        ];
        assert_eq!(lines(&found), expected);
        let setup = |number, path: &str, kept| Some(SetUp { number, path: path.to_owned(), kept });
        assert_eq!(found[0].job.order.setup, setup(0, "t/setup.sh", Some(7)));
        assert_eq!(found[1].job.order.setup, setup(1, "t/a/setup.sh", None));
        let shapes: Vec<Option<usize>> =
            found.iter().map(|entry| entry.job.order.shape.setup).collect();
        assert_eq!(shapes, [None, Some(0), Some(1), None, Some(0), None]);
        assert!(found[0].job.order.shape.freezes && !found[2].job.order.shape.freezes);
        assert!(found.iter().all(|entry| entry.job.order.setups_before.is_empty()));
        assert!(found.iter().enumerate().all(|(at, entry)| entry.job.test == at));
        assert_eq!(found[1].again, "orca test t/a/x_test.sh", "the first test that needs it");
    }

    #[test]
    fn every_shape_and_kernel_has_its_own() {
        let plan =
            plan(vec![planned("t/x_test.sh", Some(0), 512), planned("t/y_test.sh", Some(0), 1024)]);
        let kernel = |release: &str| Kernel { release: release.into(), path: "k".into() };
        let found = entries(&plan, &[kernel("6.1"), kernel("6.6")], true);
        let expected = [
            "t/setup.sh (512 MiB) [6.1] <- -",
            "t/setup.sh (1024 MiB) [6.1] <- -",
            "t/setup.sh (512 MiB) [6.6] <- -",
            "t/setup.sh (1024 MiB) [6.6] <- -",
            "t/x_test.sh [6.1] <- t/setup.sh (512 MiB) [6.1]",
            "t/y_test.sh [6.1] <- t/setup.sh (1024 MiB) [6.1]",
            "t/x_test.sh [6.6] <- t/setup.sh (512 MiB) [6.6]",
            "t/y_test.sh [6.6] <- t/setup.sh (1024 MiB) [6.6]",
        ];
        assert_eq!(lines(&found), expected);
        assert_eq!(found[3].job.dir.to_str(), Some("/logs/6.6/t/setup.sh.1024MiB"));
        assert_eq!(found[3].job.order.shape.kernel, 1);
    }

    #[test]
    fn without_frozen_machines_each_goes_through_its_set_ups() {
        let mut plan = plan(vec![
            planned("t/a/x_test.sh", Some(1), 512),
            planned("t/a/y_test.sh", Some(1), 512),
        ]);
        plan.tests[1].nodes = vec![crate::shape::Node { name: "a".to_owned(), wires: vec![0] }; 2];
        let before = |entry: &Entry| -> Vec<String> {
            let paths = entry.job.order.setups_before.iter();
            paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
        };
        let cold = entries(&plan, &[], false);
        assert_eq!(lines(&cold), ["t/a/x_test.sh <- -", "t/a/y_test.sh <- -"]);
        assert!(cold.iter().all(|entry| before(entry) == ["t/setup.sh", "t/a/setup.sh"]));
        assert_eq!(cold[0].job.order.shape.setup, Some(1));
        assert_eq!(cold[1].job.order.shape.setup, None);
        let warm = entries(&plan, &[], true);
        assert_eq!(warm.len(), 4, "the one on a single machine has set-ups in the run");
        assert_eq!(before(&warm[3]), ["t/setup.sh", "t/a/setup.sh"]);
        assert!(before(&warm[2]).is_empty());
    }
}
