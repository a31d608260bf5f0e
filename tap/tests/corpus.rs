//! Every stream of the corpus gives its agreed or decided result, and no input makes the parser
//! panic, lose a line, or depend on where the bytes were cut.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use kit::{Random, Sample, collect, fields, samples};
use tap::{Item, Kind, Parser};

/// A stream longer than this is one long line; it is cut at every byte near its ends, and in steps
/// between.
const LONG_BYTES: usize = 16 << 10;
/// How near to an end a long stream is cut at every byte.
const END_BYTES: usize = 512;
/// The step between cuts in the middle of a long stream.
const LONG_STEP: usize = 9973;
/// How many mutated streams are tried.
const MUTATIONS: usize = 20_000;

fn all() -> Vec<Sample> {
    let mut all = samples("agreed.tsv");
    all.extend(samples("decided.tsv"));
    all
}

fn check(table: &str, count: usize) {
    let samples = samples(table);
    assert_eq!(samples.len(), count);
    let wrong: Vec<String> = samples
        .iter()
        .filter_map(|s| {
            let got = fields(&collect(&[&s.bytes], s.exit));
            (got != s.fields).then(|| format!("{}: {got:?}, required {:?}", s.name, s.fields))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn agreed_streams_give_what_perl_and_node_both_give() {
    check("agreed.tsv", 254);
}

#[test]
fn disputed_streams_give_what_was_decided() {
    check("decided.tsv", 109);
}

/// The number of lines in `bytes`: its line ends, and a last line without one.
fn line_count(bytes: &[u8]) -> usize {
    let lf = bytes.iter().filter(|&&b| b == b'\n').count();
    let cr =
        bytes.iter().enumerate().filter(|&(i, &b)| b == b'\r' && bytes.get(i + 1) != Some(&b'\n'));
    lf + cr.count() + usize::from(bytes.last().is_some_and(|b| !matches!(b, b'\n' | b'\r')))
}

/// Reads `bytes` in one go and checks what must hold for any input.
fn check_invariants(bytes: &[u8]) {
    let mut parser = Parser::new();
    let (mut items, mut bailed) = (0, false);
    let mut count = |item: Item<'_>| {
        items += 1;
        bailed |= matches!(item.kind, Kind::Bail(_));
        assert_eq!(item.line, items, "a line was lost");
    };
    parser.feed(bytes, &mut count);
    parser.finish(&mut count);
    assert!(bailed || items as usize == line_count(bytes), "{items} lines of {:?}", bytes);
    let suite = collect(&[bytes], 0);
    assert_eq!(suite.passed + suite.failed, suite.run);
    assert_eq!(suite.success(), suite.reasons().is_empty());
    assert!(!suite.success() || suite.plan.is_some() || suite.version == tap::Version::Ktap1);
    assert!(!collect(&[bytes], 1).success(), "a bad exit status must fail");
}

fn cuts(len: usize) -> Vec<usize> {
    if len <= LONG_BYTES {
        return (0..=len).collect();
    }
    let middle = (END_BYTES..len - END_BYTES).step_by(LONG_STEP);
    (0..END_BYTES).chain(middle).chain(len - END_BYTES..=len).collect()
}

#[test]
fn a_stream_may_be_cut_off_at_any_byte() {
    for sample in all() {
        for cut in cuts(sample.bytes.len()) {
            check_invariants(&sample.bytes[..cut]);
        }
    }
}

#[test]
fn it_does_not_matter_where_chunks_end() {
    for sample in all() {
        for cut in cuts(sample.bytes.len()) {
            let (head, tail) = sample.bytes.split_at(cut);
            let got = fields(&collect(&[head, tail], sample.exit));
            assert_eq!(got, sample.fields, "{} cut at {cut}", sample.name);
        }
    }
}

#[test]
fn mutated_streams_break_nothing() {
    const PIECES: &[&[u8]] = &[
        b"\n",
        b"\r",
        b"\r\n",
        b"    ",
        b"  ---\n",
        b"  ...\n",
        b"# TODO",
        b" # SKIP",
        b"\\",
        b"#",
        b"1..",
        b"ok ",
        b"not ok ",
        b"Bail out!",
        b"TAP version 14\n",
        b"KTAP version 1\n",
        b"pragma +strict\n",
        b"\0",
        b"\xff",
        b"{",
        b"}",
        b"# Subtest: x\n",
        b"99999999999999999999",
        b"\t",
        b"[ 1.0] ",
    ];
    let samples: Vec<Sample> = all().into_iter().filter(|s| s.bytes.len() < 2000).collect();
    let mut random = Random(0x5eed_0f7a_9000_0001);
    for _ in 0..MUTATIONS {
        let mut bytes = samples[random.below(samples.len())].bytes.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            match random.below(4) {
                0 => drop(bytes.splice(at..at, random.pick(PIECES).iter().copied())),
                1 => drop(bytes.drain(at..(at + random.below(8)).min(bytes.len()))),
                2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
                _ => {
                    let other = &samples[random.below(samples.len())].bytes;
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
                }
            }
        }
        check_invariants(&bytes);
        let (head, tail) = bytes.split_at(random.below(bytes.len() + 1));
        assert_eq!(fields(&collect(&[head, tail], 0)), fields(&collect(&[&bytes], 0)), "{bytes:?}");
    }
}

#[test]
fn a_block_scalar_without_an_end_ends_with_the_stream() {
    let suite = collect(&[b"TAP version 13\nok 1\n  ---\n  a: >\n\n"], 0);
    assert_eq!((suite.run, suite.success()), (1, false));
    assert_eq!(suite.reasons(), ["no plan"]);
}
