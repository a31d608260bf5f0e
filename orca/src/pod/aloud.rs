//! A set-up in a machine that is a person's. It is recorded and judged as in a run, and what it
//! prints is shown as it comes.

use super::job::Job;
use super::outcome;
use super::recorder::Recorder;
use crate::cancel::Cancel;
use crate::events::attempt::Outcome;
use crate::machine::{Machine, Order, Sink};
use crossbeam::channel::unbounded;
use std::path::Path;

/// Runs the set-up of `order` in `machine`. Its logs go to the folder `dir`, and what it prints to
/// `show`. Returns how it ended, and why if it failed.
pub fn set_up(
    machine: &mut dyn Machine,
    order: &Order,
    dir: &Path,
    cancel: &Cancel,
    show: &mut dyn FnMut(&[u8]),
) -> (Outcome, Vec<String>) {
    let job = Job {
        test: 0,
        path: String::from_utf8_lossy(&order.path).into_owned(),
        kernel: None,
        round: 1,
        attempt: 1,
        retries: 0,
        quarantined: None,
        order: order.clone(),
        dir: dir.to_owned(),
        before: None,
    };
    let nobody = unbounded().0;
    let mut aloud = Aloud { recorder: Recorder::new(&job, nobody), show };
    let result = machine.run(order, cancel, &mut aloud);
    let recorded = aloud.recorder.finish(result.as_ref().ok().map(|ran| ran.ended));
    outcome::of(result, &recorded)
}

/// Records and shows.
struct Aloud<'a> {
    recorder: Recorder,
    show: &'a mut dyn FnMut(&[u8]),
}

impl Sink for Aloud<'_> {
    fn stdout(&mut self, bytes: &[u8]) {
        self.recorder.stdout(bytes);
        (self.show)(bytes);
    }

    fn stderr(&mut self, bytes: &[u8]) {
        self.recorder.stderr(bytes);
        (self.show)(bytes);
    }

    fn note(&mut self, line: &str) {
        self.recorder.note(line);
    }

    fn kernel(&mut self, line: &str, begins: bool) {
        self.recorder.kernel(line, begins);
    }

    fn file(&mut self, path: &[u8]) {
        self.recorder.file(path);
    }

    fn data(&mut self, bytes: &[u8]) {
        self.recorder.data(bytes);
    }
}
