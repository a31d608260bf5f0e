//! `on NODE COMMAND [ARGUMENT…]`: runs a command on another node of the test. The command's input,
//! outputs and exit status are those of this process. When this process dies, so does the command.

use super::node_requests::SOCKET;
use crate::launch::say_why;
use crate::quote::quote;
use crate::sys;
use crate::wire::{self, Ended, Kind};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The exit status if the command cannot be run or its node is gone. `ssh` has the same.
const NO_ANSWER: u8 = 255;
/// How much input is sent at a time, in bytes.
const CHUNK: usize = 32 * 1024;

const USAGE: &str = "usage: on NODE COMMAND [ARGUMENT...]

Runs COMMAND, which is a program and not a line for a shell, on another node of this test: as root,
in the project, with the input and outputs of this process. The exit status is that of COMMAND, or
255 if it has none. The nodes are in $ORCA_NODES.
";

/// Runs `on` with these arguments and returns its exit status.
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
    let mut socket = UnixStream::connect(SOCKET).map_err(|_| "no test on nodes runs here")?;
    let mut request = [node.as_bytes(), &[0]].concat();
    for (at, word) in words.iter().enumerate() {
        push_word(&mut request, word.as_bytes(), at == 0);
    }
    if request.len() > wire::WRAPPED_MAX {
        return Err("the command is too long".to_owned());
    }
    wire::write_frame(&mut socket, Kind::Command, 0, &request).map_err(gone)?;
    // How many bytes of input may still be sent; `None` once the input has ended.
    let mut credit = Some(wire::WINDOW as usize);
    let mut buffer = vec![0; CHUNK];
    loop {
        let (stdin, answers) = (io::stdin(), socket.as_fd());
        let events = PollFlags::POLLIN;
        let mut fds = [PollFd::new(answers, events), PollFd::new(stdin.as_fd(), events)];
        let reads = credit.is_some_and(|credit| credit > 0);
        match poll(&mut fds[..if reads { 2 } else { 1 }], PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.map_err(|e| gone(e.into()))?,
        };
        let [answer, input] = fds.map(|fd| fd.any().unwrap_or(true));
        if answer && let Some(status) = take(&mut socket, &mut credit)? {
            return Ok(status);
        }
        if let Some(left) = credit.as_mut().filter(|_| reads && input) {
            let room = CHUNK.min(*left);
            // An input that cannot be read counts as empty.
            let count = nix::unistd::read(stdin.as_fd(), &mut buffer[..room]).unwrap_or(0);
            wire::write_frame(&mut socket, Kind::Stdin, 0, &buffer[..count]).map_err(gone)?;
            *left -= count;
            if count == 0 {
                credit = None;
            }
        }
    }
}

/// Takes one frame of the answer. Returns the exit status if that was the last one.
fn take(socket: &mut UnixStream, credit: &mut Option<usize>) -> Result<Option<u8>, String> {
    let gone = |e: io::Error| e.to_string();
    let frame = wire::read_frame(socket).map_err(gone)?;
    let frame = frame.ok_or("the connection to it ended")?;
    match frame.kind {
        Kind::Stdout | Kind::Stderr => {
            let to = i32::from(frame.kind == Kind::Stderr) + 1;
            print(to, &frame.payload)?;
            let used = (frame.payload.len() as u32).to_le_bytes();
            // A command that has ended meanwhile needs no credit.
            _ = wire::write_frame(socket, Kind::Credit, 0, &used);
        }
        Kind::Credit => {
            let more = frame.payload[..].try_into().map_err(|_| "it speaks another protocol")?;
            *credit = credit.map(|credit| credit + u32::from_le_bytes(more) as usize);
        }
        Kind::Reply => {
            let line = String::from_utf8_lossy(&frame.payload);
            if let Some(why) = line.strip_prefix(wire::ERR) {
                return Err(why.to_owned());
            }
            let ended = Ended::parse(&line);
            return Ok(ended.map(|ended| u8::try_from(ended.exit).unwrap_or(NO_ANSWER)));
        }
        _ => {}
    }
    Ok(None)
}

/// Writes all of `bytes` to standard output or standard error, unbuffered.
fn print(to: i32, mut bytes: &[u8]) -> Result<(), String> {
    let (out, err) = (io::stdout(), io::stderr());
    let to = if to == 1 { out.as_fd() } else { err.as_fd() };
    while !bytes.is_empty() {
        match nix::unistd::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.desc().to_owned()),
        }
    }
    Ok(())
}

/// Appends `word` for a shell, and a blank before it unless it is the first. A plain word needs no
/// quotes, but the first one could be a keyword or an assignment.
fn push_word(line: &mut Vec<u8>, word: &[u8], first: bool) {
    if !first {
        line.push(b' ');
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./:,=@%".contains(byte);
        if !word.is_empty() && word.iter().all(plain) {
            return line.extend_from_slice(word);
        }
    }
    quote(line, word);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::output_for_tests;

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
        let words = ["", "-n", "a b", "it's", "$HOME `x` \\ \"\n*"];
        let mut line = b"printf '%s|'".to_vec();
        words.iter().for_each(|word| push_word(&mut line, word.as_bytes(), false));
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(OsStr::from_bytes(&line));
        let (_, printed, _) = output_for_tests(&mut shell, |_| ());
        assert_eq!(printed, words.map(|w| format!("{w}|")).concat());
    }
}
