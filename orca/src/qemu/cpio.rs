//! The archive that an initramfs is: cpio in the `newc` format (the kernel's Documentation/driver-api/early-userspace/buffer-format).
//!
//! The same entries make the same bytes: sorted by path, owned by root, dated 0, numbered in order.

use std::collections::BTreeMap;

/// An archive in the making, by path.
#[derive(Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    mode: u32,
    device: (u32, u32),
    data: Vec<u8>,
}

/// Archives end on such a boundary, by convention, in bytes.
const ARCHIVE_BLOCK: usize = 512;
/// The bits of a mode that say what kind of file it is.
const KIND: u32 = 0o170_000;
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    /// An empty archive.
    pub fn new() -> Archive {
        Archive::default()
    }

    /// Adds a directory. Directories on the way to anything are there by themselves, with mode 0755.
    pub fn dir(&mut self, path: &str, mode: u32) {
        self.add(path, DIRECTORY | mode, (0, 0), Vec::new());
    }

    /// Adds a file of less than 4 GiB.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.add(path, REGULAR | mode, (0, 0), data);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.add(path, CHARACTER_DEVICE | mode, (major, minor), Vec::new());
    }

    fn add(&mut self, path: &str, mode: u32, device: (u32, u32), data: Vec<u8>) {
        let path = path.trim_matches('/');
        for (slash, _) in path.match_indices('/') {
            self.entries.entry(path[..slash].to_owned()).or_insert(Entry {
                mode: DIRECTORY | 0o755,
                device: (0, 0),
                data: Vec::new(),
            });
        }
        self.entries.insert(path.to_owned(), Entry { mode, device, data });
    }

    /// The archive's bytes. `None` if a file is too large for the format.
    pub fn bytes(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            write_entry(&mut out, number, path, entry)?;
        }
        let trailer = Entry { mode: 0, device: (0, 0), data: Vec::new() };
        write_entry(&mut out, 0, "TRAILER!!!", &trailer)?;
        pad(&mut out, ARCHIVE_BLOCK);
        Some(out)
    }
}

fn write_entry(out: &mut Vec<u8>, number: u32, path: &str, entry: &Entry) -> Option<()> {
    let links = if entry.mode & KIND == DIRECTORY { 2 } else { 1 };
    let fields = [
        number,
        entry.mode,
        0, // owner
        0, // group
        links,
        0, // modification time
        u32::try_from(entry.data.len()).ok()?,
        0, // the device that the file is on: major
        0, // and minor
        entry.device.0,
        entry.device.1,
        u32::try_from(path.len() + 1).ok()?,
        0, // checksum: not in this format
    ];
    out.extend_from_slice(b"070701");
    for field in fields {
        out.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    out.extend_from_slice(path.as_bytes());
    out.push(0);
    pad(out, 4);
    out.extend_from_slice(&entry.data);
    pad(out, 4);
    Some(())
}

fn pad(out: &mut Vec<u8>, multiple: usize) {
    out.resize(out.len().next_multiple_of(multiple), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::{Command, Stdio};

    fn sample() -> Archive {
        let mut archive = Archive::new();
        archive.file("init", 0o755, b"#!".to_vec());
        archive.file("/lib/modules/6.1/a.ko", 0o644, vec![7; 13]);
        archive.dir("tmp", 0o1777);
        archive.device("dev/console", 0o600, 5, 1);
        archive
    }

    #[test]
    fn a_header_is_byte_for_byte_as_specified() {
        let mut archive = Archive::new();
        archive.file("a", 0o644, b"xyz".to_vec());
        let expected = [
            "070701", "00000001", "000081A4", "00000000", "00000000", "00000001", "00000000",
            "00000003", "00000000", "00000000", "00000000", "00000000", "00000002", "00000000",
            "a\0",
        ]
        .concat();
        let bytes = archive.bytes().unwrap();
        assert_eq!(&bytes[..112], expected.as_bytes());
        assert_eq!(&bytes[112..116], b"xyz\0");
        assert_eq!(&bytes[116..122], b"070701");
        assert_eq!(bytes.len() % 512, 0);
    }

    #[test]
    fn entries_come_sorted_and_after_their_folders() {
        let archive = sample();
        let paths: Vec<_> = archive.entries.keys().map(String::as_str).collect();
        let expected = [
            "dev",
            "dev/console",
            "init",
            "lib",
            "lib/modules",
            "lib/modules/6.1",
            "lib/modules/6.1/a.ko",
            "tmp",
        ];
        assert_eq!(paths, expected);
        assert_eq!(archive.bytes(), sample().bytes());
    }

    #[test]
    fn cpio_reads_it_back() {
        let list = Command::new("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .env("TZ", "UTC")
            .spawn();
        // cpio is not everywhere; the kernel, which every boot test asks, is the other reader.
        let Ok(mut list) = list else { return };
        list.stdin.take().unwrap().write_all(&sample().bytes().unwrap()).unwrap();
        let output = list.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<_> = text.lines().map(words).collect();
        assert_eq!(lines[0], "drwxr-xr-x 2 0 0 0 Jan 1 1970 dev");
        assert_eq!(lines[1], "crw------- 1 0 0 5, 1 Jan 1 1970 dev/console");
        assert_eq!(lines[2], "-rwxr-xr-x 1 0 0 2 Jan 1 1970 init");
        assert_eq!(lines[7], "drwxrwxrwt 2 0 0 0 Jan 1 1970 tmp");
    }
}
