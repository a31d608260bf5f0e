//! A guest in a person's hands: one command, a shell, or the serial console, on this process's own
//! standard streams.

use crate::cancel::{Canceller, Level};
use crate::cli::config::Config;
use crate::error::plain;
use crate::events::exit;
use crate::events::trouble::Trouble;
use crate::guest::client::{Guest, Writer};
use crate::host::clock;
use crate::host::tty::{self, Input, RawMode};
use crate::machine::maker::VmMaker;
use crate::report::plain;
use crate::text::quote::shell_word;
use agent::wire::{self, Command, Ended, Kind, Request};
use crossbeam::channel::{Receiver, bounded, never, select};
use signal_hook::consts::SIGWINCH;
use signal_hook::iterator::Signals;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long another orca may take to answer.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// The key that ends the serial console: Ctrl-], as in telnet.
const ESCAPE: u8 = 0x1d;

/// How a command, a shell or the serial console ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The command or shell ended with this status.
    Status(u8),
    /// This process was told to end, by this signal.
    Signal(i32),
}

/// Variables for the guest's process.
pub type Env = Vec<(Vec<u8>, Vec<u8>)>;

/// The variables of a person's shell or command: `--env`, and the kind of their terminal.
pub fn environment(config: &Config) -> Env {
    let own =
        |(name, value): &(String, OsString)| (name.as_bytes().to_vec(), value.clone().into_vec());
    let mut env: Vec<_> = config.raw.env.iter().map(own).collect();
    if let Some(term) = std::env::var_os("TERM") {
        env.push((b"TERM".to_vec(), term.into_vec()));
    }
    env
}

/// Runs `work` on a thread of its own, so that a signal can cancel it. Returns its result, and the
/// first signal that came meanwhile.
pub fn interruptible<T: Send>(
    mut canceller: Canceller,
    signals: &Receiver<i32>,
    work: impl FnOnce() -> T + Send,
) -> (T, Option<i32>) {
    let (done, ended) = bounded(1);
    let mut interrupted = None;
    std::thread::scope(|scope| {
        // The receiver below waits for the result.
        scope.spawn(move || done.send(work()).is_ok());
        loop {
            select! {
                recv(ended) -> result => match result {
                    Ok(result) => return (result, interrupted),
                    Err(_) => std::process::abort(), // the thread cannot end without a result
                },
                recv(signals) -> signal => {
                    interrupted = interrupted.or(signal.ok());
                    canceller.raise(Level::Kill);
                }
            }
        }
    })
}

/// Runs one command; its input and output are this process's.
///
/// # Errors
/// Why the guest is no longer there.
pub fn command(
    guest: &mut Guest,
    words: &[OsString],
    env: Env,
    signals: &Receiver<i32>,
) -> Result<End, String> {
    let line = words.iter().map(|word| shell_word(word.as_bytes())).collect::<Vec<_>>().join(" ");
    let request = Request { command: Command::Exec(line.into_bytes()), env };
    let id = guest.send(&request).map_err(gone)?;
    let _input = forward_input(id, guest.writer()).map_err(gone)?;
    converse(guest, id, signals, never(), || {})
}

/// Connects to the machine behind the mux at `path`.
///
/// # Errors
/// Why nobody answers.
pub fn call(path: &Path) -> Result<Guest, String> {
    let stream = UnixStream::connect(path).map_err(gone)?;
    Guest::connect(stream, clock::now() + CALL_LIMIT, &never()).map_err(gone)
}

/// Gives the user a shell: the terminal is raw, and the guest learns the window's size.
///
/// # Errors
/// Why the guest is no longer there.
pub fn shell(guest: &mut Guest, env: Env, signals: &Receiver<i32>) -> Result<End, String> {
    let id = guest.send(&Request { command: Command::Shell, env }).map_err(gone)?;
    let writer = guest.writer();
    send_size(id, &writer);
    let (resized, sizes) = bounded(1);
    let mut changes = Signals::new([SIGWINCH]).map_err(gone)?;
    let handle = changes.handle();
    let watch = move || {
        for _ in changes.forever() {
            let _ = resized.try_send(()); // full: a change is on its way already
        }
    };
    let watcher = std::thread::Builder::new().name("winch".into()).spawn(watch).map_err(gone)?;
    let raw = RawMode::enter();
    let input = forward_input(id, writer.clone()).map_err(gone)?;
    let ended = converse(guest, id, signals, sizes, || send_size(id, &writer));
    drop(input);
    drop(raw);
    handle.close();
    let _ = watcher.join();
    ended
}

fn gone(error: io::Error) -> String {
    plain(&error)
}

fn forward_input(id: u32, writer: Writer) -> io::Result<Input> {
    Input::start(move |bytes| writer.send(Kind::Stdin, id, bytes).is_ok())
}

fn send_size(id: u32, writer: &Writer) {
    if let Some((columns, rows)) = tty::size(&tty::output()) {
        let payload = [rows.to_le_bytes(), columns.to_le_bytes()].concat();
        // The loss of the guest is noticed where its frames are read.
        let _ = writer.send(Kind::Window, id, &payload);
    }
}

/// Copies output until the end line. The first signal cuts the command; the second ends the wait
/// for it.
fn converse(
    guest: &mut Guest,
    id: u32,
    signals: &Receiver<i32>,
    mut sizes: Receiver<()>,
    on_size: impl Fn(),
) -> Result<End, String> {
    let mut signalled: Option<i32> = None;
    loop {
        let inbox = guest.inbox().clone();
        select! {
            recv(inbox) -> frame => {
                let frame = frame.map_err(|_| "the connection to the agent ended".to_owned())?;
                if frame.id == id && let Some(ended) = show(frame.kind, &frame.payload)? {
                    let status = u8::try_from(ended.exit).unwrap_or(exit::FAILED);
                    return Ok(signalled.map_or(End::Status(status), End::Signal));
                }
            }
            recv(signals) -> signal => {
                let Ok(signal) = signal else { return Ok(End::Status(exit::USAGE)) };
                if signalled.is_some() {
                    return Ok(End::Signal(signal));
                }
                signalled = Some(signal);
                guest.send(&Request::new(Command::Cancel(id))).map_err(gone)?;
            }
            recv(sizes) -> size => match size {
                Ok(()) => on_size(),
                Err(_) => sizes = never(),
            }
        }
    }
}

fn show(kind: Kind, payload: &[u8]) -> Result<Option<Ended>, String> {
    match kind {
        // If nobody reads the output, the command runs on: its status is still worth having.
        Kind::Stdout => drop(plain::out(payload)),
        Kind::Stderr => plain::err(payload),
        Kind::Reply => {
            let line = String::from_utf8_lossy(payload);
            if let Some(why) = line.strip_prefix(wire::ERR) {
                return Err(format!("the agent refused: {why}"));
            }
            return Ok(Ended::parse(&line));
        }
        _ => {}
    }
    Ok(None)
}

/// Connects the user to the serial console, until the machine ends or the user types the escape
/// key.
///
/// # Errors
/// The machine's trouble when it does not start.
pub fn console(maker: &VmMaker, signals: &Receiver<i32>) -> Result<End, Trouble> {
    plain::err(b"orca: Ctrl-] ends the machine\n");
    let raw = RawMode::enter();
    let vm = maker.start_console()?;
    let (escape, mut escaped) = bounded(1);
    let keyboard = vm.console().keyboard();
    let input = keyboard.and_then(|mut keyboard| {
        Input::start(move |bytes| {
            let ends = bytes.contains(&ESCAPE);
            if ends {
                let _ = escape.try_send(());
            }
            !ends && keyboard.write_all(bytes).is_ok()
        })
    });
    let ended = vm.console().ended().clone();
    let end = loop {
        select! {
            recv(ended) -> _ => break End::Status(exit::GOOD),
            recv(escaped) -> pressed => match pressed {
                Ok(()) => break End::Status(exit::GOOD),
                Err(_) => escaped = never(), // the input ended: the machine runs on
            },
            recv(signals) -> signal => break signal.map_or(End::Status(exit::GOOD), End::Signal),
        }
    };
    drop(input);
    drop(vm);
    drop(raw);
    Ok(end)
}
