//! A fast checksum of sparse files. It finds accidents, not attacks.
//!
//! A template's memory file is 512 MB, of which 400 MB are holes, and it is read before every run.
//! So holes are skipped, and the rest runs through four independent lanes of multiply and rotate. A
//! block of zeros counts as a hole, because filesystems differ in what they report.

use nix::unistd::{Whence, lseek};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: usize = 4096;
const BUFFER: usize = 256 * BLOCK;
const PRIMES: [u64; 4] =
    [0x9e37_79b1_85eb_ca87, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0x85eb_ca77_c2b2_ae63];

/// The checksum of the whole of `file`.
///
/// # Errors
/// The errors of reading the file.
pub fn of(file: &File) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let mut lanes = PRIMES;
    let mut buffer = vec![0; BUFFER];
    let mut at = 0;
    while let Some(start) = next_data(file, at, len)? {
        // Blocks are aligned, so that they are the same blocks whatever the extents are.
        at = start - start % BLOCK as u64;
        let want = (len - at).min(BUFFER as u64) as usize;
        file.read_exact_at(&mut buffer[..want], at)?;
        for block in buffer[..want].chunks(BLOCK) {
            absorb(&mut lanes, at, block);
            at += block.len() as u64;
        }
    }
    absorb(&mut lanes, u64::MAX, &len.to_le_bytes());
    Ok(lanes.iter().fold(len, |sum, lane| (sum ^ lane).wrapping_mul(PRIMES[0]).rotate_left(29)))
}

fn absorb(lanes: &mut [u64; 4], at: u64, block: &[u8]) {
    let word = |bytes: &[u8]| {
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    };
    if block.chunks(8).all(|bytes| word(bytes) == 0) {
        return;
    }
    lanes[0] = lanes[0].wrapping_add(at).wrapping_mul(PRIMES[1]);
    for quad in block.chunks(32) {
        for (lane, bytes) in quad.chunks(8).enumerate() {
            lanes[lane] = (lanes[lane] ^ word(bytes)).wrapping_mul(PRIMES[lane]).rotate_left(31);
        }
    }
}

/// The position of the next byte outside a hole, at or after `at`.
fn next_data(file: &File, at: u64, len: u64) -> io::Result<Option<u64>> {
    if at >= len {
        return Ok(None);
    }
    match lseek(file, at.cast_signed(), Whence::SeekData) {
        Ok(found) => return Ok(Some(found.cast_unsigned())),
        Err(nix::errno::Errno::ENXIO) => return Ok(None), // a hole up to the end
        Err(_) => {}                                      // no holes on this filesystem
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(write: impl Fn(&File)) -> u64 {
        let path = std::env::temp_dir().join(format!("orca-sum-{:?}", std::thread::current().id()));
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        write(&file);
        of(&file).unwrap()
    }

    #[test]
    fn holes_are_zeros_and_everything_else_counts() {
        let sparse = sum(|file| {
            file.set_len(3_000_000).unwrap();
            file.write_all_at(b"x", 2_000_001).unwrap();
        });
        let full = sum(|file| {
            let mut bytes = vec![0; 3_000_000];
            bytes[2_000_001] = b'x';
            file.write_all_at(&bytes, 0).unwrap();
        });
        assert_eq!(sparse, full);
        for (at, len) in
            [(2_000_002, 3_000_000), (2_000_001 - 4096, 3_000_000), (2_000_001, 3_000_001)]
        {
            let other = sum(|file| {
                file.set_len(len).unwrap();
                file.write_all_at(b"x", at).unwrap();
            });
            assert_ne!(sparse, other, "{at} {len}");
        }
    }

    #[test]
    fn one_flipped_bit_shows() {
        let bytes: Vec<u8> = (0..100_003u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let whole = sum(|file| file.write_all_at(&bytes, 0).unwrap());
        for at in [0, 8191, 50_000, 100_002] {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_ne!(whole, sum(|file| file.write_all_at(&other, 0).unwrap()), "{at}");
        }
    }
}
