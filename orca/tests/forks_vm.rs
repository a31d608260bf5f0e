//! Tests that fork, in real machines: each case goes on where the machine was frozen, and has its
//! own result. Built with `--features vm`; needs the Debian image in `build/`.

#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

#[path = "kit/image.rs"]
mod image;
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod kit;
#[path = "kit/ko.rs"]
mod ko;
#[path = "kit/lab.rs"]
#[expect(dead_code, reason = "not every file uses all of the kit")]
mod lab;

use ko::KO;
use lab::{CHECKS, Lab};
use std::collections::HashSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// Everything that is there before a fork, and the same after it.
const STATE: &str = r##"
mkdir /run/m; mount -t tmpfs none /run/m; echo kept >/run/m/file; ip link set lo up
perl -MIO::Socket::INET -e '$all = IO::Socket::INET->new(LocalPort => 80, Listen => 5);
    open F, ">/run/up"; while ($one = $all->accept) { print $one ++$n; close $one }' & pid=$!
until [ -e /run/up ]; do :; done
get() { perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new("127.0.0.1:80"); print <$s>'; }
is "$(get)" 1 'a server'
exec 3<t/lines; read -r first <&3; cat /usr/bin/perl >/dev/null
head -c 3000000 /dev/zero >written; sum=$(cksum <written)
cached() { awk '/^Cached/ { print int($2 / 1024) }' /proc/meminfo; }; before=$(cached)
echo 'said on stderr' >&2
case=$(orca-fork a b c)
is "$(get)" 2 'goes on counting'
read -r second <&3; is "$first $second" 'one two' 'an open file'
is "$(cat /run/m/file) $(cksum <written)" "kept $sum" 'file systems'
is "$(kill -0 $pid && cat /proc/$pid/comm)" perl 'a process'
is "$(($(cached) - before >= -2))" 1 'the page cache'
is "$ORCA_VM $(basename "$TMPDIR")" "$vm $tmp" 'the environment'
echo "# id $(hostname) $(cat /etc/machine-id) $(head -c 16 /dev/urandom | od -An -tx4 | tr -d ' ')"
echo "# $case clock $(date +%s%N)"
echo 'not of b' >/run/$case; is "$(ls /run/[abc])" /run/$case 'no other case is seen'
end
"##;

fn text(lab: &Lab, entry: &str, name: &str) -> String {
    String::from_utf8(lab.log(entry, name)).unwrap()
}

#[test]
fn each_case_finds_all_as_it_was_and_is_itself() {
    let lab = Lab::new();
    lab.test("state", &format!("vm=$ORCA_VM tmp=$(basename \"$TMPDIR\"); {CHECKS}{STATE}"));
    lab.file("t/lines", "one\ntwo\n");
    let nested = "echo 1..1; x=$(echo x | orca-fork a b | cat); { orca-fork c >/run/y; } & wait
        orca-fork e f >/run/z1 & orca-fork g >/run/z2 & wait; echo ok 1 - $x $(cat /run/[yz]*)";
    lab.test("nested", nested);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let began = now();
    let (ran, report) = lab.orca(&["-j1"]);
    let ended = now();
    ran.exits(0).says("7 tests, ");
    assert!(report.of("t/state_test.sh").is_empty(), "a test that forks has no result");
    let (mut ids, mut clocks) = (HashSet::new(), Vec::new());
    for case in ["a", "b", "c"] {
        report.one(&format!("t/state_test.sh [{case}]"), "pass");
        let log = text(&lab, &format!("t/state_test.sh.case-{case}"), "output.log");
        let (before, after) = log.split_once(&format!("[orca: forked here: {case}]\n")).unwrap();
        assert_eq!(before, "ok 1 - a server\nsaid on stderr\n");
        let line = |word: &str| after.lines().find_map(|line| line.strip_prefix(word)).unwrap();
        ids.extend(line("# id ").split(' ').map(str::to_owned));
        clocks.push(line(&format!("# {case} clock ")).parse::<u128>().unwrap());
    }
    assert_eq!(ids.len(), 9, "names, ids and random numbers of their own: {ids:?}");
    let slack = 50_000_000; // 50 ms
    assert!(began < clocks[0] && clocks.is_sorted() && clocks[2] < ended + slack, "{clocks:?}");
    let ends = |path: &String| path.starts_with("t/nested_test.sh [");
    assert_eq!(report.paths().iter().filter(|path| ends(path)).count(), 4);
    for path in report.paths().iter().filter(|path| ends(path)) {
        let one = report.one(path, "pass");
        let cases: Vec<&str> =
            one["case"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
        let mut said: Vec<&str> =
            one["points"][0]["description"].as_str().unwrap().split(' ').collect();
        said.sort_unstable();
        let mut sorted = cases.clone();
        sorted.sort_unstable();
        assert_eq!(said, sorted, "{one:#}");
    }
}

#[test]
fn no_byte_of_a_writer_at_full_speed_is_lost_or_doubled() {
    let lab = Lab::new();
    // Each number is 4 bytes in one of them, which is garbage to a parser.
    let body = |write: &str| {
        format!(
            "more() {{ rm -f /run/more; until [ -e /run/more ]; do :; done; }}
             echo 1..1
             perl -e '$| = 1; while (1) {{ {write}; open F, \">/run/more\" if $i % 2000 == 0 }}' &
             more; orca-fork a b c >/dev/null; more
             kill $!; wait $! 2>/dev/null; echo; echo ok 1"
        )
    };
    lab.test("lines", &body(r##"print "# ", $i++, "\n""##));
    lab.test("bytes", &body(r#"print pack "N", $i++"#));
    lab.orca(&["-j2"]).0.exits(0).says("6 passed");
    for case in ["a", "b", "c"] {
        let log = lab.log(&format!("t/bytes_test.sh.case-{case}"), "stdout.tap");
        let numbers = log.strip_prefix(b"1..1\n").unwrap().strip_suffix(b"\nok 1\n").unwrap();
        assert!(numbers.len() > 8000 && numbers.len().is_multiple_of(4), "{}", numbers.len());
        let found = numbers.chunks(4).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
        let wrong = (0..).zip(found).find(|(expected, found)| expected != found);
        assert_eq!(wrong, None, "bytes of {case}");
        let log = text(&lab, &format!("t/lines_test.sh.case-{case}"), "stdout.tap");
        let lines = log.strip_prefix("1..1\n").unwrap().strip_suffix("\nok 1\n").unwrap();
        assert!(lines.lines().count() > 2000);
        let wrong = (0..).zip(lines.lines()).find(|(number, line)| *line != format!("# {number}"));
        assert_eq!(wrong, None, "lines of {case}");
    }
}

#[test]
fn a_case_is_cut_tried_again_and_chosen_for_itself() {
    let lab = Lab::new();
    // What the test used before the fork is gone for every case.
    lab.test(
        "time",
        "# orca: timeout=6s\necho 1..1; sleep 4; [ $(orca-fork slow quick) = quick ] || sleep 1000
         echo ok 1",
    );
    lab.test("fails", "echo 1..1; echo \"# once\"; [ $(orca-fork a b) = a ] && echo ok 1");
    lab.test("warns", &format!("echo 1..1; {KO}ko 31c0c3; orca-fork a b; echo ok 1"));
    lab.test(
        "refused",
        "echo 1..1; for name in '' 'a[b' ' a' \"$(printf 'a\\nb')\" \"$(printf '\\377')\" -x; do
         orca-fork \"$name\" && exit 1; done; orca-fork a a && exit 1; orca-fork && exit 1
         seq 5000 | orca-fork --lines - && exit 1
         printf '# none\\nw x\\n\\n../y\\n' >names; echo ok 1 - \"$(orca-fork --lines names)\"",
    );
    let (ran, report) =
        lab.orca(&["-j2", "--timeout-factor", "1", "--retries", "1", "--fail-on-warn"]);
    ran.exits(1).says("4 passed, 2 failed, 1 timed out");
    let cut = report.of("t/time_test.sh [slow]");
    let seconds = |value: &serde_json::Value| value["seconds"]["test"].as_f64().unwrap();
    for attempt in &cut {
        assert_eq!((&attempt["why"], cut.len()), (&"timeout".into(), 2), "{attempt:#}");
        assert!(seconds(attempt) < 5.0, "not the whole timeout again: {attempt:#}");
    }
    report.one("t/time_test.sh [quick]", "pass");
    report.one("t/fails_test.sh [a]", "pass");
    assert_eq!(report.of("t/fails_test.sh [b]").len(), 2);
    for folder in ["case-b", "case-b.attempt-2"] {
        let log = text(&lab, &format!("t/fails_test.sh.{folder}"), "output.log");
        assert_eq!(log, "1..1\n# once\n[orca: forked here: b]\n");
    }
    for attempt in report.of("t/warns_test.sh") {
        let why = attempt["why"].as_str().unwrap();
        assert!(why.starts_with("the kernel complained: ") && why.ends_with("no case was run"));
    }
    assert!(!report.paths().iter().any(|path| path.starts_with("t/warns_test.sh [")));
    for name in ["w x", "../y"] {
        let one = report.one(&format!("t/refused_test.sh [{name}]"), "pass");
        assert_eq!(one["points"][0]["description"], name);
    }
    let (ran, report) = lab.orca(&["t/fails_test.sh [a]", "t/refused_test.sh [../y]"]);
    ran.exits(0).says("2 passed");
    assert_eq!(report.paths(), ["t/fails_test.sh [a]", "t/refused_test.sh [../y]"]);
    let (_, report) = lab.orca(&["--failed", "-k", "fails"]);
    assert_eq!(report.paths(), ["t/fails_test.sh [b]"]);
    let (ran, report) = lab.orca(&["t/fails_test.sh [z]"]);
    ran.exits(1).says("there is no case `z`");
    assert_eq!(report.paths(), ["t/fails_test.sh"]);
}

#[test]
fn a_fork_works_in_every_kind_of_machine() {
    let lab = Lab::new();
    let body = "echo 1..1; date +%N >made; sum=$(cat made); case=$(orca-fork a b)
                echo \"# made $sum\"; [ $(cat made) = $sum ] && echo ok 1";
    lab.test("x", body);
    lab.test(
        "nodes",
        "# orca: nodes=one,two\necho 1..1; on two sh -c 'date +%N >/run/two'
         sum=$(on two cat /run/two); case=$(orca-fork a b); echo \"# made $sum\"
         [ \"$(on two cat /run/two)\" = $sum ] && echo ok 1",
    );
    let made = |test: &str| {
        let made = ["a", "b"].map(|case| {
            let log = text(&lab, &format!("t/{test}_test.sh.case-{case}"), "stdout.tap");
            log.lines().find_map(|line| line.strip_prefix("# made ").map(str::to_owned)).unwrap()
        });
        made[0] == made[1]
    };
    let other = ["-m", "1G", "--cpus", "2", "--net", "user"];
    for (args, is_frozen) in [
        (&["--cold"][..], false),
        (&["--share", "overlay"], false),
        (&["--reuse"], true),
        (&other, true),
    ] {
        let (ran, _) = lab.orca(&[&["t/x_test.sh"], args].concat());
        ran.exits(0).says("2 passed");
        assert_eq!(made("x"), is_frozen, "{args:?}");
        let again = "t/x_test.sh is run again for each case: this machine cannot be frozen";
        assert_eq!(ran.out.contains(again), !is_frozen, "{args:?}: {}", ran.out);
    }
    lab.orca(&["t/nodes_test.sh"]).0.exits(0).says("2 passed");
    assert!(made("nodes"));
}
