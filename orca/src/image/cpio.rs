//! The archive that an initramfs is: cpio in the `newc` format (the kernel's
//! Documentation/driver-api/early-userspace/buffer-format).
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
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory. Directories on the way to anything are there by themselves, with mode
    /// 0755.
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

    /// An entry as it reads back: path, mode, device and data.
    type Seen = (String, u32, (u32, u32), Vec<u8>);

    /// What a reader of the format makes of `bytes`.
    fn read_back(mut bytes: &[u8]) -> Vec<Seen> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (mode, size, name) = (field(1), field(6) as usize, field(11) as usize);
            let device = (field(9), field(10));
            let path = String::from_utf8(bytes[110..110 + name - 1].to_vec()).unwrap();
            if path == "TRAILER!!!" {
                return entries;
            }
            let data = (110 + name).next_multiple_of(4);
            entries.push((path, mode, device, bytes[data..data + size].to_vec()));
            bytes = &bytes[(data + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn every_entry_reads_back() {
        let entries = read_back(&sample().bytes().unwrap());
        let find = |path: &str| entries.iter().find(|entry| entry.0 == path).unwrap();
        assert_eq!(entries.len(), 8);
        assert_eq!(find("dev/console").1, 0o020_600);
        assert_eq!(find("dev/console").2, (5, 1));
        assert_eq!((find("init").1, &find("init").3[..]), (0o100_755, &b"#!"[..]));
        assert_eq!(find("lib/modules/6.1/a.ko").3, vec![7; 13]);
        assert_eq!((find("tmp").1, find("lib").1), (0o041_777, 0o040_755));
    }
}
