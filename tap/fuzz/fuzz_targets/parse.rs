//! Feeds any bytes, cut anywhere: no panic, no lost line, and the same result for every cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tap::{Collector, ExitStatus, Parser};

fn fields(chunks: &[&[u8]]) -> (u64, u64, u64, u64, bool, Vec<String>) {
    let mut collector = Collector::default();
    chunks.iter().for_each(|chunk| collector.feed(chunk));
    let s = collector.finish(ExitStatus::SUCCESS);
    (s.run, s.passed, s.failed, s.lines, s.success(), s.reasons())
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, bytes)) = data.split_first() else { return };
    let cut = bytes.len() * usize::from(first) / 256;
    let (head, tail) = bytes.split_at(cut);
    let whole = fields(&[bytes]);
    assert_eq!(fields(&[head, tail]), whole);
    assert_eq!(whole.0, whole.1 + whole.2);
    let mut parser = Parser::new();
    let mut lines = 0;
    let mut count = |item: tap::Item<'_>| {
        lines += 1;
        assert_eq!(item.line, lines);
    };
    parser.feed(bytes, &mut count);
    parser.finish(&mut count);
    assert_eq!(lines, whole.3);
});
