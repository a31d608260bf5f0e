//! Decompression by the tools that every distribution has. `xz`, `zstd` and the others read more
//! dialects than a decoder of our own would, and have been tested on more broken files.

use crate::error::{Error, Result, plain};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread;

/// The most that a decompressed file may have, in bytes. A kernel with all its debug information is
/// smaller.
const OUTPUT_MAX: u64 = 2 << 30;
/// How much of a tool's complaint is shown, in bytes.
const COMPLAINT_MAX: u64 = 4096;

/// A compression format, recognised by its magic number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 1952.
    Gzip,
    /// The .xz file format.
    Xz,
    /// The .lzma file format, which has a header but no real magic.
    Lzma,
    /// RFC 8878.
    Zstd,
    /// The LZ4 frame format.
    Lz4,
    /// The LZ4 format of old, which the kernel build uses.
    Lz4Legacy,
    /// bzip2.
    Bzip2,
    /// lzop.
    Lzo,
}

struct Row {
    format: Format,
    name: &'static str,
    magic: &'static [u8],
    tool: &'static str,
    args: &'static [&'static str],
    package: &'static str,
}

const TABLE: [Row; 8] = [
    Row {
        format: Format::Gzip,
        name: "gzip",
        magic: b"\x1f\x8b",
        tool: "gzip",
        args: &["-dc"],
        package: "gzip",
    },
    Row {
        format: Format::Xz,
        name: "xz",
        magic: b"\xfd7zXZ\0",
        tool: "xz",
        args: &["-dc"],
        package: "xz-utils",
    },
    Row {
        format: Format::Lzma,
        name: "lzma",
        magic: b"\x5d\0\0",
        tool: "xz",
        args: &["-dc", "--format=lzma"],
        package: "xz-utils",
    },
    Row {
        format: Format::Zstd,
        name: "zstd",
        magic: b"\x28\xb5\x2f\xfd",
        tool: "zstd",
        // The kernel build uses windows that zstd does not unpack unasked.
        args: &["-dcq", "--long=31"],
        package: "zstd",
    },
    Row {
        format: Format::Lz4,
        name: "lz4",
        magic: b"\x04\x22\x4d\x18",
        tool: "lz4",
        args: &["-dcq"],
        package: "lz4",
    },
    Row {
        format: Format::Lz4Legacy,
        name: "lz4",
        magic: b"\x02\x21\x4c\x18",
        tool: "lz4",
        args: &["-dcq"],
        package: "lz4",
    },
    Row {
        format: Format::Bzip2,
        name: "bzip2",
        magic: b"BZh",
        tool: "bzip2",
        args: &["-dc"],
        package: "bzip2",
    },
    Row {
        format: Format::Lzo,
        name: "lzo",
        magic: b"\x89LZO\0",
        tool: "lzop",
        args: &["-dc"],
        package: "lzop",
    },
];

impl Format {
    /// The format that `data` begins with, if it is compressed.
    pub fn of(data: &[u8]) -> Option<Self> {
        TABLE.iter().find(|row| data.starts_with(row.magic)).map(|row| row.format)
    }

    /// What people call it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    fn row(self) -> &'static Row {
        // Every format has its row: a test says so.
        TABLE.iter().find(|row| row.format == self).unwrap_or(&TABLE[0])
    }
}

/// Decompresses `data` with the format's tool.
///
/// # Errors
/// The tool is not installed, or finds fault with the data; the hint names the tool's package.
pub fn decompress(format: Format, data: &[u8]) -> Result<Vec<u8>> {
    let row = format.row();
    let child = spawn(row.tool, row.args).map_err(|e| missing(row, &e))?;
    let failed = |e: &io::Error| Error::new(format!("cannot run `{}`: {}", row.tool, plain(e)));
    let done = feed(child, data).map_err(|e| failed(&e))?;
    if done.good {
        return Ok(done.output);
    }
    let complaint = String::from_utf8_lossy(&done.complaint);
    let last =
        complaint.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it failed");
    Err(Error::new(format!("`{}` cannot decompress it: {last}", row.tool)))
}

fn spawn(tool: &str, args: &[&str]) -> io::Result<Child> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    Command::new(tool)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

fn missing(row: &Row, cause: &io::Error) -> Error {
    Error::new(format!("cannot run `{}`: {}", row.tool, plain(cause)))
        .hint(format!("install it (Debian, Ubuntu: apt install {})", row.package))
}

struct Done {
    good: bool,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// Three pipes, three threads: a tool that complains or stops early blocks nobody.
fn feed(mut child: Child, data: &[u8]) -> io::Result<Done> {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn Read + Send>>, limit: u64| {
        let mut out = Vec::new();
        match pipe {
            Some(pipe) => pipe.take(limit).read_to_end(&mut out).map(|_| out),
            None => Ok(out),
        }
    };
    let (output, complaint) = thread::scope(|scope| {
        scope.spawn(move || {
            // A tool that hangs up before the end says why on its standard error.
            stdin.map(|mut pipe| pipe.write_all(data))
        });
        let complaint = scope.spawn(move || read(stderr.map(|p| Box::new(p) as _), COMPLAINT_MAX));
        let output = read(stdout.map(|p| Box::new(p) as _), OUTPUT_MAX);
        (output, complaint.join().unwrap_or_else(|_| Ok(Vec::new())))
    });
    let status = child.wait()?;
    Ok(Done { good: status.success(), output: output?, complaint: complaint? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(tool: &str, args: &[&str], data: &[u8]) -> Option<Vec<u8>> {
        let child = spawn(tool, args).ok()?;
        let done = feed(child, data).unwrap();
        assert!(done.good, "{tool}: {}", String::from_utf8_lossy(&done.complaint));
        Some(done.output)
    }

    #[test]
    fn what_a_tool_packs_is_told_by_its_magic_and_unpacked() {
        let data: Vec<u8> = (0..300_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let tools: [(Format, &str, &[&str]); 8] = [
            (Format::Gzip, "gzip", &["-c"]),
            (Format::Xz, "xz", &["-c"]),
            (Format::Lzma, "xz", &["-c", "--format=lzma"]),
            (Format::Zstd, "zstd", &["-cq"]),
            (Format::Lz4, "lz4", &["-cq"]),
            (Format::Lz4Legacy, "lz4", &["-clq"]),
            (Format::Bzip2, "bzip2", &["-c"]),
            (Format::Lzo, "lzop", &["-c"]),
        ];
        for (format, tool, args) in tools {
            assert_eq!(format.row().format, format);
            // A machine need not have every packer; gzip is everywhere.
            let Some(packed) = compress(tool, args, &data) else {
                assert_ne!(format, Format::Gzip);
                continue;
            };
            assert_eq!(Format::of(&packed), Some(format));
            assert!(decompress(format, &packed).unwrap() == data, "{format:?}");
            assert!(decompress(format, &packed[..packed.len() / 2]).is_err(), "{format:?}");
        }
        assert_eq!(Format::of(b"\x7fELF"), None);
    }

    #[test]
    fn a_tool_that_hangs_up_early_says_why() {
        let error = decompress(Format::Gzip, &vec![0; 1 << 20]).unwrap_err();
        assert!(error.to_string().contains("`gzip` cannot decompress it: "), "{error}");
    }
}
