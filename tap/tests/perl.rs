//! Compares with the installed Perl: the corpus through `prove -e`, generated streams through
//! TAP::Parser, and our writer's output. Prints a notice if Perl is not installed.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use kit::{Dir, Random, collect, fields, have, samples};
use std::path::Path;

/// How many streams are generated for TAP::Parser.
const GENERATED: usize = 1500;

/// A Perl script that prints the fields of each file named, as TAP::Parser sees them up to a bail
/// out.
const REFERENCE: &str = r#"
use strict; use TAP::Parser;
open STDERR, '>', '/dev/null';
for my $file (@ARGV) {
    open my $in, '<', $file or die; binmode $in; local $/; my $text = <$in>;
    my $lines = TAP::Parser::Iterator::Array->new([split /\n/, $text]);
    my $p = TAP::Parser->new({ iterator => $lines });
    my ($run, $pass, $fail, $skip, $todo, $odd, $bail) = (0) x 7;
    while (my $r = $p->next) {
        if ($r->is_bailout) { $bail = 1; last }
        next unless $r->is_test;
        $run++; $skip++ if $r->has_skip; $todo++ if $r->has_todo; $odd++ if $r->todo_passed;
        if ($r->has_todo || $r->ok !~ /not/) { $pass++ } else { $fail++ }
    }
    my $plan = $p->tests_planned;
    print join("\t", defined $plan ? "1..$plan" : '-', $run, $pass, $fail, $skip, $todo, $odd,
        $bail, ($bail || $p->has_problems) ? 0 : 1), "\n";
}
"#;

#[test]
fn prove_agrees_with_perls_on_every_agreed_stream() {
    if !have("prove", "prove -e on the corpus") {
        return;
    }
    let dir = Dir::new();
    dir.script(
        "play",
        "cat \"$1\"; test -f \"$1.exit\" || exit 0; e=$(cat \"$1.exit\")\n\
         test $e -gt 128 && test $e -lt 200 && kill -$((e - 128)) $$\nexit $e",
    );
    let version = dir.run(Path::new("prove"), &["--version"], b"").out;
    let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let old = version.trim_start_matches('v') < "3.48";
    let seen = |ran: &kit::Ran| {
        let find = |label: &str| {
            let at = ran.out.find(label).unwrap_or_else(|| panic!("no {label}: {ran:?}"));
            ran.out[at..].split([',', '\n']).next().unwrap_or_default().to_owned()
        };
        (ran.code, find("Tests="), find("Result: "))
    };
    for sample in samples("agreed.tsv") {
        if old && is_beyond_old_perl(&sample) {
            continue;
        }
        let path = sample.path.to_str().unwrap();
        let args = ["-e", "./play", path];
        let (perl, ours) = (dir.run(Path::new("prove"), &args, b""), dir.prove(&args));
        assert_eq!(seen(&ours), seen(&perl), "{}", sample.name);
    }
}

/// Perl before 3.48 has no version 14, and joins a line that says `not` with the next one.
fn is_beyond_old_perl(sample: &kit::Sample) -> bool {
    let text = String::from_utf8_lossy(&sample.bytes);
    text.contains("TAP version 14") || text.lines().any(|line| line.trim() == "not")
}

/// A random stream of lines whose meaning is not disputed.
fn generate(random: &mut Random) -> String {
    let mut lines = Vec::new();
    let count = random.below(7);
    for number in 1..=count {
        if random.below(6) == 0 {
            lines.push(
                random
                    .pick(&[
                        "# c", "junk", "", "  junk", "OK 1", " ok 1", "    ok 1", "notok",
                        "okay 1", "# ok 2",
                    ])
                    .to_owned(),
            );
        }
        let ok = random.pick(&["ok", "ok", "ok", "not ok"]);
        let number = match random.below(12) {
            0 => String::new(),
            1 => format!(" {}", random.below(9)),
            2 => format!(" 0{number}"),
            _ => format!(" {number}"),
        };
        let text = random.pick(&[
            "",
            " - a",
            " - a \\# b",
            " b # c",
            " - d \\\\",
            " - x\u{e9}",
            ".5",
            "foo",
            " - 1..2",
        ]);
        let skip = if ok == "ok" { " # SKIP why" } else { "" };
        let directive = random.pick(&[
            "",
            "",
            "",
            " # TODO why",
            " # todo",
            " #TODO: x",
            " \\# TODO",
            " # TODOx",
            skip,
        ]);
        lines.push(format!("{ok}{number}{text}{directive}"));
    }
    let planned = if random.below(8) == 0 { random.below(9) } else { count };
    let plan = format!("1..{planned}");
    match random.below(8) {
        0 => {}
        1..=3 => lines.push(plan),
        _ => lines.insert(0, plan),
    }
    if random.below(12) == 0 {
        let at = random.below(lines.len() + 1);
        lines.insert(
            at,
            random.pick(&["Bail out!", "Bail out! why", "  Bail out! x", "Bail  out!"]).to_owned(),
        );
    }
    if random.below(3) == 0 {
        lines.insert(0, "TAP version 13".to_owned());
        if random.below(4) == 0 {
            lines.insert(1, "pragma +strict".to_owned());
        }
    }
    lines.join("\n") + "\n"
}

#[test]
fn generated_streams_are_read_as_tap_parser_reads_them() {
    if !have("perl", "generated streams") {
        return;
    }
    let dir = Dir::new();
    let script = dir.file("reference.pl", REFERENCE.as_bytes());
    let mut random = Random(0x7a90_0d1f_f000_0003);
    let streams: Vec<String> = (0..GENERATED).map(|_| generate(&mut random)).collect();
    let mut args = vec![script.to_str().unwrap().to_owned()];
    for (i, stream) in streams.iter().enumerate() {
        args.push(dir.file(&format!("s{i}"), stream.as_bytes()).to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let ran = dir.run(Path::new("perl"), &args, b"");
    assert_eq!(ran.out.lines().count(), GENERATED, "{}", ran.err);
    for (stream, theirs) in streams.iter().zip(ran.out.lines()) {
        let mut ours = fields(&collect(&[stream.as_bytes()], 0));
        let mut theirs: Vec<String> = theirs.split('\t').map(str::to_owned).collect();
        // An empty stream has no plan for either, and a zero plan skips all.
        if ours[0] == "1..0" && theirs[0] == "-" {
            (ours[0], theirs[0]) = (String::new(), String::new());
        }
        assert_eq!(ours, theirs, "{stream}");
    }
}

#[test]
fn perl_accepts_what_the_writer_writes() {
    if !have("perl", "writer") {
        return;
    }
    let dir = Dir::new();
    let mut text = write_everything().unwrap();
    // Perl before 3.48 reads version 13 at most; the other lines are the same.
    text = text.replacen("TAP version 14", "TAP version 13", 1);
    let script = dir.file("reference.pl", REFERENCE.as_bytes());
    let stream = dir.file("stream", text.as_bytes());
    let ran =
        dir.run(Path::new("perl"), &[script.to_str().unwrap(), stream.to_str().unwrap()], b"");
    assert_eq!(ran.out, "1..5\t5\t4\t1\t1\t1\t0\t0\t0\n", "{text}");
    let good = dir.file("good.tap", text.replace("\nnot ok 3 - net", "\nok 3 - net").as_bytes());
    let ran = dir.run(Path::new("prove"), &[good.to_str().unwrap()], b"");
    assert_eq!(ran.code, Some(0), "{}\n{text}", ran.out);
}

fn write_everything() -> std::io::Result<String> {
    use tap::{Directive, Entry};
    let mut w = tap::Writer::new(Vec::new())?;
    w.point(&Entry { ok: true, description: "a # TODO b \\ {", directive: None })?;
    w.diagnostics(&[("plain", "1"), ("quoted", "a: \"b\" \\ # c\u{1b}[0m\té"), ("empty", "")])?;
    w.point(&Entry {
        ok: false,
        description: "later",
        directive: Some((Directive::Todo, "why # not")),
    })?;
    w.subtest("net")?;
    w.point(&Entry { ok: false, description: "up", directive: None })?;
    w.diagnostics(&[
        ("got", "line 1\n  line 2\n\nok 3\nBail out! no\n"),
        ("odd", " leads\nand ends "),
    ])?;
    w.end()?;
    w.point(&Entry { ok: false, description: "net", directive: None })?;
    w.diagnostics(&[("console", "[ 0.1] one\n[ 0.2] two\n...\n---")])?;
    w.point(&Entry {
        ok: true,
        description: "no nft",
        directive: Some((Directive::Skip, "no nft")),
    })?;
    w.point(&Entry { ok: true, description: "\u{2028}\r\nBail out!\n", directive: None })?;
    Ok(String::from_utf8_lossy(&w.finish()?).into_owned())
}
