//! The pod with scripted machines: scheduling needs no VM.

use super::*;
use crate::cancel::{self, Level};
use crate::events::attempt::{Attempt, Outcome};
use crate::events::event::Event;
use crate::events::trouble::{Kind, Trouble};
use crate::machine::interface::{Phase, Warn};
use crate::machine::{Machine, Order, Ran, Sink};
use crate::shape::{Node, Shape};
use agent::wire::Ended;
use crossbeam::channel::{Sender, unbounded};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Makes machines that do what a test's path says, and counts them.
#[derive(Default)]
struct Fake {
    made: AtomicUsize,
    groups: AtomicUsize,
    stopped: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

struct FakeMachine {
    name: String,
    stopped: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

impl Maker for Fake {
    fn make(&self, _: Shape, _: &Cancel, _: Warn<'_>) -> Result<Box<dyn Machine>, Trouble> {
        let id = self.made.fetch_add(1, Ordering::SeqCst) + 1;
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(FakeMachine {
            name: format!("fake{id}"),
            stopped: Arc::clone(&self.stopped),
            alive: Arc::clone(&self.alive),
        }))
    }

    fn group(
        &self,
        shape: Shape,
        nodes: &[Node],
        cancel: &Cancel,
        warn: Warn<'_>,
    ) -> Result<Box<dyn Machine>, Trouble> {
        self.groups.fetch_add(1, Ordering::SeqCst);
        assert_eq!(nodes.len(), 2);
        self.make(shape, cancel, warn)
    }
}

impl Machine for FakeMachine {
    fn name(&self) -> &str {
        &self.name
    }

    fn run(&mut self, order: &Order, cancel: &Cancel, sink: &mut dyn Sink) -> Result<Ran, Trouble> {
        let trouble = |kind| Trouble { kind, detail: "scripted".into(), console: "oops".into() };
        match &order.path[..] {
            b"pass" => sink.stdout(b"1..1\nok 1\n"),
            b"fail" => sink.stdout(b"1..1\nnot ok 1 - no\n"),
            b"skip" => sink.stdout(b"1..0 # SKIP no tool\n"),
            b"lost" => return Err(trouble(Kind::Lost)),
            b"endless" => {
                let _ = cancel.on(Level::Cut).recv();
                let cut = Some(crate::machine::Cut::Cancelled);
                return Ok(Ran {
                    ended: Ended { exit: 143, ..Ended::default() },
                    cut,
                    ..Ran::default()
                });
            }
            other => panic!("no script for {other:?}"),
        }
        let exit = i32::from(order.path == b"fail");
        Ok(Ran { ended: Ended { exit, ..Ended::default() }, ..Ran::default() })
    }

    fn phases(&self) -> &[Phase] {
        &[]
    }

    fn stop(self: Box<Self>) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for FakeMachine {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Rig {
    fake: Arc<Fake>,
    canceller: cancel::Canceller,
    jobs: Option<Sender<Job>>,
    pod: Pod,
    dir: PathBuf,
}

impl Rig {
    fn new(size: usize, policy: Policy) -> Self {
        let fake = Arc::new(Fake::default());
        let maker: Arc<dyn Maker> = fake.clone();
        let (canceller, cancel) = cancel::channel();
        let (jobs, queue) = unbounded();
        let pod = Pod::start(size, &maker, policy, &After::default(), &queue, &cancel).unwrap();
        let dir = nix::unistd::mkdtemp(&std::env::temp_dir().join("orca-pod-XXXXXX")).unwrap();
        Self { fake, canceller, jobs: Some(jobs), pod, dir }
    }

    fn submit(&self, test: usize, script: &str) {
        self.submit_on(test, script, &[]);
    }

    fn submit_on(&self, test: usize, script: &str, nodes: &[&str]) {
        let node = |name: &&str| Node { name: (*name).to_owned(), wires: vec![0] };
        let nodes = nodes.iter().map(node).collect();
        let order = Order { path: script.as_bytes().to_vec(), nodes, ..Order::default() };
        let dir = self.dir.join(test.to_string());
        let job = Job {
            test,
            kernel: None,
            path: script.to_owned(),
            round: 1,
            attempt: 1,
            retries: 0,
            quarantined: None,
            order,
            dir,
            before: None,
        };
        self.jobs.as_ref().unwrap().send(job).unwrap();
    }

    /// Closes the queue and collects the attempts until every worker has ended.
    fn finish(mut self) -> (Vec<Attempt>, Arc<Fake>) {
        self.jobs = None;
        let mut attempts = Vec::new();
        for message in self.pod.messages() {
            if let Message::Event(Event::TestFinished(attempt)) = message {
                attempts.push(*attempt);
            }
        }
        self.pod.join();
        std::fs::remove_dir_all(&self.dir).unwrap();
        attempts.sort_by_key(|attempt| attempt.test);
        (attempts, self.fake)
    }
}

fn words(attempts: &[Attempt]) -> Vec<&'static str> {
    attempts.iter().map(|attempt| attempt.outcome.word()).collect()
}

#[test]
fn every_job_gets_one_result_and_every_machine_ends() {
    let rig = Rig::new(2, Policy::Reuse);
    for (test, script) in ["pass", "fail", "skip", "lost", "pass"].iter().enumerate() {
        rig.submit(test, script);
    }
    let (attempts, fake) = rig.finish();
    assert_eq!(words(&attempts), ["pass", "fail", "skip", "error", "pass"]);
    assert_eq!(attempts[2].outcome, Outcome::Skipped("no tool".into()));
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_machine_in_trouble_is_replaced_and_a_good_one_kept() {
    let rig = Rig::new(1, Policy::Reuse);
    for (test, script) in ["pass", "pass", "lost", "pass"].iter().enumerate() {
        rig.submit(test, script);
    }
    let (attempts, fake) = rig.finish();
    let machines: Vec<&str> =
        attempts.iter().filter_map(|attempt| attempt.machine.as_deref()).collect();
    assert_eq!(machines, ["fake1", "fake1", "fake1", "fake2"]);
    assert_eq!(fake.stopped.load(Ordering::SeqCst), 1, "only the last is stopped in good order");
}

#[test]
fn pristine_means_a_machine_per_test() {
    let rig = Rig::new(1, Policy::Pristine);
    (0..3).for_each(|test| rig.submit(test, "pass"));
    let (attempts, fake) = rig.finish();
    assert_eq!(attempts.len(), 3);
    assert_eq!(fake.made.load(Ordering::SeqCst), 3);
}

#[test]
fn a_cut_ends_the_running_test_and_starts_no_other() {
    let mut rig = Rig::new(1, Policy::Reuse);
    rig.submit(0, "endless");
    rig.submit(1, "pass");
    loop {
        let message = rig.pod.messages().recv().unwrap();
        if let Message::Event(Event::TestStarted { .. }) = message {
            break;
        }
    }
    rig.canceller.raise(Level::Cut);
    let (attempts, fake) = rig.finish();
    assert_eq!(words(&attempts), ["not run"]);
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[test]
fn a_flood_is_capped_on_disk_and_parsed_to_its_end() {
    let rig = Rig::new(1, Policy::Reuse);
    let (jobs_dir, events) = (rig.dir.join("flood"), unbounded().0);
    let order = Order::default();
    let job = Job {
        test: 0,
        kernel: None,
        path: "flood".into(),
        round: 1,
        attempt: 1,
        retries: 0,
        quarantined: None,
        order,
        dir: jobs_dir.clone(),
        before: None,
    };
    let mut recorder = recorder::Recorder::new(&job, events);
    let chunk = b"# noise\n".repeat(128 * 1024);
    for _ in 0..=(recorder::LOG_BYTES / chunk.len() as u64) {
        recorder.stdout(&chunk);
    }
    recorder.stdout(b"ok 1\n1..1\n");
    let recorded = recorder.finish(Some(Ended::default()));
    assert!(recorded.suite.success());
    assert!(recorded.notes.iter().any(|note| note.contains("cut off at 64 MiB")));
    let size = std::fs::metadata(jobs_dir.join("output.log")).unwrap().len();
    assert!(size > recorder::LOG_BYTES && size < recorder::LOG_BYTES + 100, "{size}");
    rig.finish();
}

/// What becomes of artifacts that a guest sends with these paths, in the folder `dir`.
fn record(dir: &std::path::Path, artifacts: &[(&str, &str)]) -> recorder::Recorded {
    let job = Job {
        test: 0,
        kernel: None,
        path: "x".into(),
        round: 1,
        attempt: 1,
        retries: 0,
        quarantined: None,
        order: Order::default(),
        dir: dir.to_owned(),
        before: None,
    };
    let mut recorder = recorder::Recorder::new(&job, unbounded().0);
    for (path, bytes) in artifacts {
        recorder.file(path.as_bytes());
        recorder.data(bytes.as_bytes());
        recorder.data(b"");
    }
    recorder.finish(Some(Ended::default()))
}

/// The guest's agent keeps the same bound, and a guest need not run ours.
#[test]
fn artifacts_lie_no_deeper_than_the_guest_may_send_them() {
    let rig = Rig::new(1, Policy::Reuse);
    let dir = rig.dir.join("job");
    let deep = "d/".repeat(agent::wire::ARTIFACTS_DEPTH_MAX);
    let (good, bad) = (format!("{deep}file"), format!("{deep}d/file"));
    let recorded = record(&dir, &[(&good, "good"), (&bad, "bad")]);
    assert_eq!(std::fs::read_to_string(dir.join("artifacts").join(good)).unwrap(), "good");
    assert!(!dir.join("artifacts").join(deep).join("d").exists());
    assert_eq!(recorded.notes, ["artifacts: cut off: folders too deep"]);
    rig.finish();
}

#[test]
fn artifacts_stay_in_their_folder() {
    let rig = Rig::new(1, Policy::Reuse);
    let dir = rig.dir.join("job");
    let recorded = record(&dir, &[("a/b.txt", "good"), ("../evil", "bad"), ("/etc/evil", "bad")]);
    assert_eq!(std::fs::read_to_string(dir.join("artifacts/a/b.txt")).unwrap(), "good");
    assert!(!dir.join("evil").exists() && !dir.join("artifacts/evil").exists());
    assert_eq!(recorded.notes, ["artifacts: refused a path that leaves their folder"]);
    rig.finish();
}

#[test]
fn a_group_is_made_for_its_test_and_no_reusable_machine_replaces_it() {
    let rig = Rig::new(1, Policy::Reuse);
    for (test, nodes) in [&[][..], &["a", "b"], &["a", "b"], &[]].into_iter().enumerate() {
        rig.submit_on(test, "pass", nodes);
    }
    let (attempts, fake) = rig.finish();
    assert!(attempts.iter().all(|attempt| attempt.outcome == Outcome::Passed));
    assert_eq!(fake.groups.load(Ordering::SeqCst), 2);
    assert_eq!(fake.made.load(Ordering::SeqCst), 4, "two groups, and a machine before and after");
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}
