//! `--help`, made from the flag table.

use super::flags::{FLAGS, Flag, Group};

/// Columns of a help line.
const WIDTH: usize = 84;
/// Columns of the flags before their help.
const FLAG_WIDTH: usize = 20;

const INTRO: &str = "\
prove runs test files, reads the TAP they print, and says which failed and why.

usage: prove [options] [files, directories or -] [:: arguments for the tests]

  prove                    run t/*.t
  prove -r -j4 --ext .sh t run all *.sh below t, four at a time
  prove -v t/dns.t         show every line of one test
  prove -e 'sh -e' t       run each file with `sh -e`
  prove --state=failed,save  run again what failed last time
  prove saved.tap          judge TAP that was written to a file
  ls t/*.t | prove -       take the names from standard input

A file runs by its #! line; binaries run as they are, files without a #! line with perl (.t, .pl)
or sh. A test fails if a point fails, the plan does not fit, or it exits with anything but 0.
";

const OUTRO: &str = "
exit status: 0 all passed, or nothing to run · 1 a test failed · 2 usage or host error ·
after a bail out that of the test that bailed out, or 255 if that is 0

`prove --json -` reads TAP from standard input, its producer's exit status from $TAP_EXIT (above
128 a signal), and prints one object: plan, run, passed, failed, skipped, todo, todo_passed, bail,
good, and the reasons when it is not good. It exits 0 if good, 1 if not, 255 after a bail out.

Arguments are also read from ~/.proverc and ./.proverc, and HARNESS_OPTIONS (jN:c) is obeyed.
";

/// The whole text.
pub(super) fn text() -> String {
    let mut out = String::from(INTRO);
    for (group, title) in Group::ALL {
        out.push_str(&format!("\n{title}:\n"));
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            entry(flag, &mut out);
        }
    }
    out.push_str(OUTRO);
    out
}

fn entry(flag: &Flag, out: &mut String) {
    let short = flag
        .short
        .map_or("   ".into(), |c| format!("-{c}{}", if flag.long.is_empty() { " " } else { "," }));
    let no = if flag.negatable { "[no]" } else { "" };
    let long = flag.long.first().map_or(String::new(), |long| format!("--{no}{long}"));
    let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
    let name = format!("  {short} {long}{value}");
    let margin = FLAG_WIDTH + 6;
    out.push_str(&format!("{name:margin$}"));
    if name.len() >= margin {
        out.push_str(&format!("\n{:margin$}", ""));
    }
    let mut column = margin;
    for word in flag.help.split_whitespace() {
        if column + word.chars().count() > WIDTH {
            out.truncate(out.trim_end_matches(' ').len());
            out.push_str(&format!("\n{:margin$}", ""));
            column = margin;
        }
        out.push_str(word);
        out.push(' ');
        column += word.chars().count() + 1;
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_is_explained_in_lines_that_fit() {
        let text = text();
        for long in FLAGS.iter().filter_map(|flag| flag.long.first()) {
            assert!(text.contains(long), "--{long}");
        }
        let long = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None);
    }
}
