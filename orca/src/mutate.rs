//! Seeded mutations of byte streams, for the tests of parsers that read untrusted input.
#![cfg(test)]

/// The most changes that one mutation makes.
const CHANGES_MAX: u64 = 6;

/// `bytes` with a few changes that depend on `seed`: bits flipped, bytes overwritten, pieces
/// dropped, doubled or filled with 0xff, the end cut off.
pub fn mutation(bytes: &[u8], seed: u64) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..1 + dice.below(CHANGES_MAX) {
        if out.is_empty() {
            break;
        }
        let at = dice.below(out.len() as u64) as usize;
        let end = (at + 1 + dice.below(40) as usize).min(out.len());
        match dice.below(6) {
            0 => out[at] ^= 1 << dice.below(8),
            1 => out[at] = dice.below(256) as u8,
            2 => drop(out.drain(at..end)),
            3 => {
                let piece = out[at..end].to_vec();
                out.splice(at..at, piece);
            }
            4 => out[at..end].fill(0xff),
            _ => out.truncate(end),
        }
    }
    out
}

/// xorshift64: the same numbers for the same seed, everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}
