//! The forks that tests ask for: from the program `orca-fork`, through a socket, to the test whose
//! fork it is, and back from the host.
//!
//! The test's own thread passes a fork on, so that all that the test has printed is sent before it.
//! Where the agent may not change the machine, socket and program lie in a private folder.

use super::fork_queue::Fork;
use super::requests::{self, HOME, programs_in, this_program};
use crate::control::Control;
use crate::scratch::Scratch;
use crate::threads::Threads;
use crate::wire::{self, Kind};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// The program's name.
pub(crate) const PROGRAM: &str = "orca-fork";
/// The variable that names the socket.
pub(crate) const SOCKET: &str = "ORCA_FORK_SOCKET";
/// The socket's name, in the folder that also has the programs.
const SOCKET_NAME: &str = "fork.sock";
/// How long a program that has connected may take to ask. It does so at once.
const ASK_WAIT: Duration = Duration::from_secs(10);

/// The forks of this agent's tests. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct ForkRequests(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Where the agent listens, if it does.
    place: Option<Place>,
    /// The tests that are running. A test ends when its session drops its control.
    tests: Vec<Weak<Control>>,
    last_id: u32,
}

struct Place {
    home: PathBuf,
    #[expect(dead_code, reason = "held for its drop, which removes the folder")]
    private: Option<Scratch>,
}

impl ForkRequests {
    /// Makes `orca-fork` work, unless it does already.
    ///
    /// # Errors
    /// There is no place for the program or its socket.
    pub(crate) fn open(&self, threads: &Threads, owns_machine: bool) -> io::Result<()> {
        let mut state = self.lock();
        if state.place.is_some() {
            return Ok(());
        }
        let private = if owns_machine { None } else { Some(Scratch::make()?) };
        let home = private.as_ref().map_or(HOME.into(), Scratch::tmp);
        match private {
            None => requests::link_program(&home, PROGRAM)?,
            Some(_) => write_program(&home)?,
        }
        let these = self.clone();
        requests::listen(threads, &home.join(SOCKET_NAME), move |stream| these.admit(stream))?;
        state.place = Some(Place { home, private });
        Ok(())
    }

    /// Removes the private folder, if there is one.
    pub(crate) fn close(&self) {
        let place = self.lock().place.take();
        drop(place); // not under the lock: it looks at all mounts
    }

    /// The folder with the program, and the socket; `None` where the program does not work.
    pub(crate) fn place(&self) -> Option<(PathBuf, PathBuf)> {
        let state = self.lock();
        let home = &state.place.as_ref()?.home;
        Some((programs_in(home), home.join(SOCKET_NAME)))
    }

    /// Lets the test of `control` ask for forks, until the result is dropped.
    pub(crate) fn begin(&self, control: &Arc<Control>) -> RunningTest {
        let test = Arc::downgrade(control);
        self.lock().tests.push(test.clone());
        RunningTest { test, forks: self.clone() }
    }

    /// Whether a test is running.
    pub(crate) fn is_test_running(&self) -> bool {
        !self.lock().tests.is_empty()
    }

    /// Hands the host's answer to the program that asked for fork `id`, unless it is gone.
    pub(crate) fn answer(&self, id: u32, payload: &[u8]) {
        let Some((kind, payload)) = wire::unwrap(payload) else { return };
        let tests = self.lock().tests.clone();
        for control in tests.iter().filter_map(Weak::upgrade) {
            control.answer_fork(id, kind, payload);
        }
    }

    /// Takes what one program asks for to the test that is running.
    fn admit(&self, mut program: UnixStream) {
        let asked = program
            .set_read_timeout(Some(ASK_WAIT))
            .and_then(|()| wire::read_frame(&mut program))
            .ok()
            .flatten()
            .filter(|frame| frame.kind == Kind::Fork);
        let Some(asked) = asked else { return };
        let mut state = self.lock();
        state.last_id = state.last_id.wrapping_add(1);
        let id = state.last_id;
        let test = match &state.tests[..] {
            [] => Err("no test is running; by hand, ORCA_CASE='[NAME]' says which case it is"),
            [test] => test.upgrade().ok_or("the test is over"),
            _ => Err("several tests are running"),
        };
        drop(state);
        match test {
            Ok(control) => control.ask_fork(Fork { id, names: asked.payload, program }),
            Err(why) => requests::refuse(&program, why),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A test that may ask for forks. Dropping it ends that.
pub(crate) struct RunningTest {
    test: Weak<Control>,
    forks: ForkRequests,
}

impl Drop for RunningTest {
    fn drop(&mut self) {
        self.forks.lock().tests.retain(|test| !test.ptr_eq(&self.test));
    }
}

/// Writes the program into `home`, as a script: there, the agent is part of a program that knows no
/// such name.
fn write_program(home: &Path) -> io::Result<()> {
    let folder = programs_in(home);
    fs::create_dir_all(&folder)?;
    let place = folder.join(PROGRAM);
    fs::write(&place, format!("#!/bin/sh\nexec {} agent {PROGRAM} \"$@\"\n", this_program()))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))
}
