//! `on NODE COMMAND [ARGUMENT…]`: runs a command on another node of the test. Its input, its two outputs and its exit status are this
//! process's own; when this process dies, so does the command.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::asks::SOCKET;
use crate::exec::say_why;
use crate::sys;
use crate::wire::{self, Ended, Kind};

/// The exit status where the command could not be run or its node is gone: what `ssh` has for it.
const NO_ANSWER: u8 = 255;
/// How much input is sent at a time, in bytes.
const CHUNK: usize = 32 * 1024;

const USAGE: &str = "usage: on NODE COMMAND [ARGUMENT...]

Runs COMMAND, a program and no line for a shell, on another node of this test: as root, in the
project, with this process's input and outputs; the exit status is the command's, or 255 when there
is none. The nodes are in $ORCA_NODES.
";

/// See the module; returns the exit status.
pub(crate) fn run(args: Vec<OsString>) -> u8 {
    let [node, words @ ..] = &args[..] else { return complain(USAGE) };
    if node == "--help" || node == "-h" {
        return u8::from(io::stdout().write_all(USAGE.as_bytes()).is_err());
    }
    let [program, rest @ ..] = words else { return complain(USAGE) };
    sys::default_sigpipe();
    if std::env::var_os(wire::NODE).as_deref() == Some(node) {
        let why = Command::new(program).args(rest).exec();
        return say_why(&mut io::stderr(), &program.to_string_lossy(), &why);
    }
    match converse(node, words) {
        Ok(status) => status,
        Err(why) => complain(&format!("on: {}: {why}\n", node.to_string_lossy())),
    }
}

fn complain(text: &str) -> u8 {
    // There is nowhere else to say it.
    _ = io::stderr().write_all(text.as_bytes());
    NO_ANSWER
}

fn converse(node: &OsStr, words: &[OsString]) -> Result<u8, String> {
    let gone = |e: io::Error| e.to_string();
    let mut link = UnixStream::connect(SOCKET).map_err(|_| "no test on nodes runs here")?;
    let mut order = [node.as_bytes(), &[0]].concat();
    order.extend(words.iter().map(|word| quoted(word.as_bytes())).collect::<Vec<_>>().join(&b' '));
    if order.len() > wire::WRAPPED_MAX {
        return Err(format!("a command of {} bytes is too long", order.len()));
    }
    let out = Arc::new(Mutex::new(link.try_clone().map_err(gone)?));
    send(&out, Kind::Command, &order).map_err(gone)?;
    let credit = Arc::new(Allowance::default());
    let (input_out, allowance) = (out.clone(), credit.clone());
    // It ends with the process: nothing waits for input that nobody wants.
    let forward = move || _ = forward_input(&input_out, &allowance);
    thread::Builder::new().name("input".into()).spawn(forward).map_err(gone)?;
    loop {
        let frame = wire::read_frame(&mut link).map_err(gone)?;
        let frame = frame.ok_or("the connection to it ended")?;
        match frame.kind {
            Kind::Stdout | Kind::Stderr => {
                let to: &mut dyn Write =
                    if frame.kind == Kind::Stdout { &mut io::stdout() } else { &mut io::stderr() };
                to.write_all(&frame.payload).and_then(|()| to.flush()).map_err(gone)?;
                let used = (frame.payload.len() as u32).to_le_bytes();
                send(&out, Kind::Credit, &used).map_err(gone)?;
            }
            Kind::Credit => {
                let more = frame.payload.try_into().map_err(|_| "it speaks another protocol")?;
                credit.give(u32::from_le_bytes(more));
            }
            Kind::Reply => {
                let line = String::from_utf8_lossy(&frame.payload);
                if let Some(why) = line.strip_prefix(wire::ERR) {
                    return Err(why.to_owned());
                }
                if let Some(ended) = Ended::parse(&line) {
                    return Ok(u8::try_from(ended.exit).unwrap_or(NO_ANSWER));
                }
            }
            _ => {}
        }
    }
}

fn send(out: &Mutex<UnixStream>, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    wire::write_frame(&mut *out, kind, 0, payload)
}

fn forward_input(out: &Mutex<UnixStream>, allowance: &Allowance) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match io::stdin().read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // An input that cannot be read has nothing in it.
            read => read.unwrap_or(0),
        };
        allowance.take(count);
        send(out, Kind::Stdin, &buffer[..count])?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// How much input may still be sent.
struct Allowance(Mutex<usize>, Condvar);

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance(Mutex::new(wire::WINDOW as usize), Condvar::new())
    }
}

impl Allowance {
    fn give(&self, more: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += more as usize;
        self.1.notify_all();
    }

    fn take(&self, bytes: usize) {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.1.wait_while(left, |left| *left < bytes);
        *left.unwrap_or_else(PoisonError::into_inner) -= bytes;
    }
}

/// `word` as a shell reads it back.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(byte),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words = ["", "a b", "it's", "$HOME `x` \\ \"\n*"];
        let line = words.map(|word| quoted(word.as_bytes())).join(&b' ');
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(OsStr::from_bytes(&[b"printf '%s|' ", &line[..]].concat()));
        let printed = shell.output().unwrap().stdout;
        assert_eq!(String::from_utf8(printed).unwrap(), words.map(|w| format!("{w}|")).concat());
    }

    #[test]
    fn input_waits_for_credit() {
        let allowance = Arc::new(Allowance::default());
        allowance.take(wire::WINDOW as usize);
        let other = allowance.clone();
        let taker = thread::spawn(move || other.take(10));
        allowance.give(4);
        allowance.give(7);
        taker.join().unwrap();
        assert_eq!(*allowance.0.lock().unwrap(), 1);
    }
}
