//! `orca-fork NAME…`: lets a test go on once for each name, in a copy of its machine, and prints
//! the name of the copy that it is in. The machine is frozen while this process waits.
//!
//! Where a person runs the test nobody makes copies: a variable says which case it is.

use super::fork_requests::SOCKET;
use crate::wire::{self, CASE, CASE_NAME_MAX, CASES_MAX, Kind, PAYLOAD_MAX};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;

/// Where the socket is unless the environment says so.
const SOCKET_IN_MACHINES: &str = "/run/orca/fork.sock";
/// The longest file of names, in bytes.
const FILE_MAX: u64 = 1 << 20;
/// The exit status for a command line that makes no sense.
const MISUSED: u8 = 2;

const USAGE: &str = "usage: orca-fork NAME...
       orca-fork --lines FILE

Freezes the machine of this test, and lets the test go on once for each NAME, in a copy of the
machine. Prints the name of the copy: case=$(orca-fork ipv4 ipv6). FILE has a name a line, `-` is
the standard input. Empty lines and lines that begin with `#` are left out. By hand, in a shell,
nothing forks: ORCA_CASE='[NAME]' says which case it is.
";

/// Runs `orca-fork` with these arguments and returns its exit status.
pub(crate) fn run(args: Vec<OsString>) -> u8 {
    let names = match &args[..] {
        [help] if help == "--help" || help == "-h" => {
            return u8::from(io::stdout().write_all(USAGE.as_bytes()).is_err());
        }
        [lines, file] if lines == "--lines" => read_lines(file),
        [dashes, names @ ..] if dashes == "--" && !names.is_empty() => Ok(bytes_of(names)),
        [first, ..] if !first.as_bytes().starts_with(b"-") => Ok(bytes_of(&args)),
        _ => return complain(USAGE, MISUSED),
    };
    let name = names.and_then(|names| answer(&names));
    let printed = name.and_then(|mut name| {
        name.push(b'\n');
        io::stdout().write_all(&name).map_err(|e| format!("cannot print the case: {e}"))
    });
    match printed {
        Ok(()) => 0,
        Err(why) => complain(&format!("orca-fork: {}\n", why.replace(char::is_control, "?")), 1),
    }
}

fn complain(text: &str, exit: u8) -> u8 {
    // There is nowhere else to say it.
    _ = io::stderr().write_all(text.as_bytes());
    exit
}

fn bytes_of(names: &[OsString]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

/// The names in `file`, which has one a line.
fn read_lines(file: &OsStr) -> Result<Vec<Vec<u8>>, String> {
    let shown = file.to_string_lossy();
    let mut text = Vec::new();
    let read = match file == "-" {
        true => io::stdin().take(FILE_MAX + 1).read_to_end(&mut text),
        false => File::open(file).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut text)),
    };
    read.map_err(|e| format!("cannot read `{shown}`: {e}"))?;
    if text.len() as u64 > FILE_MAX {
        return Err(format!("`{shown}` has more than {FILE_MAX} bytes"));
    }
    let lines = text.split(|&byte| byte == b'\n');
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    Ok(names.map(<[u8]>::to_vec).collect())
}

/// The payload of the request, with all `names` checked.
fn payload_of(names: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    if names.is_empty() {
        return Err("there is no case".into());
    }
    if names.len() > CASES_MAX {
        return Err(format!("there are {} cases, and {CASES_MAX} are allowed", names.len()));
    }
    let mut payload = Vec::new();
    for (at, name) in names.iter().enumerate() {
        check(name).map_err(|why| match &name[..] {
            b"" => format!("case {} {why}", at + 1),
            _ => format!("case `{}` {why}", String::from_utf8_lossy(name)),
        })?;
        payload.extend_from_slice(name);
        payload.push(0);
    }
    let mut sorted: Vec<&Vec<u8>> = names.iter().collect();
    sorted.sort_unstable();
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!("case `{}` is there twice", String::from_utf8_lossy(pair[0])));
    }
    if payload.len() > PAYLOAD_MAX {
        let last = String::from_utf8_lossy(&names[names.len() - 1]);
        let rule = format!("the names and a byte for each have {PAYLOAD_MAX} bytes at most");
        return Err(format!("case `{last}` is beyond the limit: {rule}"));
    }
    Ok(payload)
}

/// The name of the case that this is: the one that the variable chooses, or else the host.
fn answer(names: &[Vec<u8>]) -> Result<Vec<u8>, String> {
    let payload = payload_of(names)?;
    match std::env::var_os(CASE) {
        Some(chosen) if !chosen.is_empty() => choose(names, chosen.as_bytes()),
        _ => ask(&payload),
    }
}

/// The first of `names` that is in `chosen`, in brackets.
fn choose(names: &[Vec<u8>], chosen: &[u8]) -> Result<Vec<u8>, String> {
    let is_in = |name: &&Vec<u8>| {
        let bracketed = [b"[", &name[..], b"]"].concat();
        chosen.windows(bracketed.len()).any(|part| part == bracketed)
    };
    let found = names.iter().find(is_in).cloned();
    found.ok_or_else(|| format!("no case is in {CASE}={}", String::from_utf8_lossy(chosen)))
}

/// Whether a case may have this name.
fn check(name: &[u8]) -> Result<(), String> {
    if name.is_empty() {
        return Err("has no name".into());
    }
    if name.len() > CASE_NAME_MAX {
        return Err(format!("has {} bytes, and {CASE_NAME_MAX} are allowed", name.len()));
    }
    let text = std::str::from_utf8(name).map_err(|_| "is not UTF-8")?;
    let rule = if text.chars().any(char::is_control) {
        "has a control character"
    } else if text.contains(['[', ']']) {
        "has a bracket, which `[` and `]` are"
    } else if text.trim() != text {
        "begins or ends with a blank"
    } else {
        return Ok(());
    };
    Err(rule.into())
}

/// Asks for the fork, waits for the copy, and returns the name of its case.
fn ask(payload: &[u8]) -> Result<Vec<u8>, String> {
    let socket = std::env::var_os(SOCKET).unwrap_or(SOCKET_IN_MACHINES.into());
    let mut socket = UnixStream::connect(socket).map_err(|_| "no test is running here")?;
    // An agent that refuses does not read: its answer says why.
    _ = wire::write_frame(&mut socket, Kind::Fork, 0, payload);
    let answer = wire::read_frame(&mut socket).map_err(|e| e.to_string())?;
    let answer = answer.ok_or("the connection to the agent ended")?;
    match answer.kind {
        Kind::Data => Ok(answer.payload),
        _ => {
            let line = String::from_utf8_lossy(&answer.payload);
            Err(line.strip_prefix(wire::ERR).unwrap_or("it speaks another protocol").to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(names: &[&[u8]]) -> Result<Vec<u8>, String> {
        payload_of(&names.iter().map(|name| name.to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn names_become_a_payload() {
        assert_eq!(payload(&[b"a"]), Ok(b"a\0".to_vec()));
        let names: [&[u8]; 3] = [b"IPv4 only", "Größe=2".as_bytes(), &[b'x'; CASE_NAME_MAX]];
        let expected = [names[0], b"\0", names[1], b"\0", names[2], b"\0"].concat();
        assert_eq!(payload(&names), Ok(expected));
    }

    #[test]
    fn a_refusal_names_the_case_and_the_rule() {
        let long = [b'x'; CASE_NAME_MAX + 1];
        for (names, why) in [
            (&[][..], "there is no case"),
            (&[b"a", b""], "case 2 has no name"),
            (&[b"a", b"b", b"a"], "case `a` is there twice"),
            (&[b"a\xff"], "case `a\u{fffd}` is not UTF-8"),
            (&[b"a\tb"], "case `a\tb` has a control character"),
            (&[b"\xc2\x85"], "case `\u{85}` has a control character"),
            (&[b"a[1"], "case `a[1` has a bracket, which `[` and `]` are"),
            (&[b"1]"], "case `1]` has a bracket, which `[` and `]` are"),
            (&[b" a"], "case ` a` begins or ends with a blank"),
            (&["a\u{2003}".as_bytes()], "case `a\u{2003}` begins or ends with a blank"),
            (&[b" "], "case ` ` begins or ends with a blank"),
        ] as [(&[&[u8]], &str); 11]
        {
            assert_eq!(payload(names), Err(why.to_owned()));
        }
        let why = payload(&[&long]).unwrap_err();
        assert!(why.ends_with("xx` has 201 bytes, and 200 are allowed"), "{why}");
    }

    #[test]
    fn a_person_chooses_the_case() {
        let names = [b"a".to_vec(), b"b c".to_vec()];
        let chosen = |text: &str| choose(&names, text.as_bytes());
        assert_eq!(chosen("[b c]"), Ok(b"b c".to_vec()));
        assert_eq!(chosen("[x][b c]"), Ok(b"b c".to_vec()));
        assert_eq!(chosen("[b]").unwrap_err(), "no case is in ORCA_CASE=[b]");
        assert!(chosen("a").is_err());
    }

    #[test]
    fn the_number_and_all_names_together_are_bounded() {
        let numbers = |count: usize, pad: usize| -> Vec<Vec<u8>> {
            (0..count).map(|at| format!("{at:0pad$}").into_bytes()).collect()
        };
        assert!(payload_of(&numbers(CASES_MAX, 4)).is_ok());
        let why = payload_of(&numbers(CASES_MAX + 1, 4)).unwrap_err();
        assert_eq!(why, "there are 4097 cases, and 4096 are allowed");
        assert_eq!(payload_of(&numbers(CASES_MAX, 15)).unwrap().len(), PAYLOAD_MAX);
        let why = payload_of(&numbers(CASES_MAX, 16)).unwrap_err();
        assert!(why.starts_with("case `0000000000004095` is beyond the limit: "), "{why}");
    }

    #[test]
    fn a_file_has_a_name_a_line() {
        let file = std::env::temp_dir().join(format!("agent-fork-{}", std::process::id()));
        std::fs::write(&file, "# cases\nipv4\n\n ipv6\n#end\nboth #2").unwrap();
        let names = read_lines(file.as_os_str());
        std::fs::remove_file(&file).unwrap();
        assert_eq!(names.unwrap(), [&b"ipv4"[..], b" ipv6", b"both #2"]);
        let why = read_lines(file.as_os_str()).unwrap_err();
        assert!(why.starts_with("cannot read `") && why.contains("No such file"), "{why}");
        let why = read_lines(OsStr::new("/dev/zero")).unwrap_err();
        assert_eq!(why, "`/dev/zero` has more than 1048576 bytes");
    }
}
