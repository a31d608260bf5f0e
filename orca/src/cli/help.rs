//! Help texts, built from the tables.

use super::command::{COMMANDS, Command, Row};
use super::flag::{Flag, Group};
use super::flags;

/// The width of paragraphs, in columns.
const WIDTH: usize = 80;
/// The column at which the text beside a name begins.
const GUTTER: usize = 28;

/// `orca --help`: fits a screen.
pub fn overview() -> String {
    let mut out = String::from(
        "orca runs shell tests that need a kernel of their own, each in a pristine VM.\n\n\
         usage: orca COMMAND [options] [arguments]\n\n",
    );
    for row in &COMMANDS {
        out.push_str(&format!("  {:12}{}\n", row.name, row.help));
    }
    out.push_str(
        "\nEvery option can be set in the environment (ORCA_JOBS=2 for --jobs 2) and in the\n\
         project's .orcarc (--jobs=2, one per line). `orca COMMAND --help` explains each,\n\
         `orca man` all of them.\n",
    );
    out
}

/// `orca COMMAND -h` (a line per option) or `--help` (a paragraph per option).
pub fn command(command: Command, long: bool) -> String {
    let row = command.row();
    let mut out =
        format!("orca {}: {}\n\nusage: orca {} {}", row.name, row.help, row.name, row.usage);
    out.truncate(out.trim_end().len()); // a command without arguments
    out.push('\n');
    if long {
        for paragraph in row.doc.split("\n\n") {
            out.push('\n');
            wrap(&mut out, paragraph, 0);
        }
    }
    for group in Group::ALL {
        let flags: Vec<&Flag> = flags::of(command).filter(|flag| flag.group == group).collect();
        if !flags.is_empty() {
            out.push_str(&format!("\n{}:\n", group.title()));
            flags.into_iter().for_each(|flag| describe(&mut out, flag, long));
        }
    }
    out.push_str("\nGeneral:\n");
    beside(&mut out, "  -h, --help", "print this help, in short (-h) or in full (--help)");
    beside(&mut out, "  -V, --version", "print the version");
    examples(&mut out, row);
    out
}

fn examples(out: &mut String, row: &Row) {
    if row.examples.is_empty() {
        return;
    }
    out.push_str("\nexamples:\n");
    let widest = row.examples.iter().map(|(example, _)| example.len()).max().unwrap_or_default();
    for (example, meaning) in row.examples {
        out.push_str(&format!("  {example:<widest$}  {meaning}\n"));
    }
}

fn describe(out: &mut String, flag: &Flag, long: bool) {
    let short = flag.short.map_or_else(|| "    ".to_owned(), |letter| format!("-{letter}, "));
    let name = format!("  {short}--{}{}", flag.long, flag.form());
    if !long {
        return beside(out, &name, &flag.summary());
    }
    out.push_str(&name);
    out.push('\n');
    wrap(out, &paragraph(flag), 10);
}

/// The whole text about a flag.
pub(super) fn paragraph(flag: &Flag) -> String {
    format!("{} {}", sentence(&flag.summary()), flag.doc)
}

fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

fn beside(out: &mut String, name: &str, text: &str) {
    if name.len() >= GUTTER {
        out.push_str(&format!("{name}\n{:GUTTER$}{text}\n", ""));
    } else {
        out.push_str(&format!("{name:GUTTER$}{text}\n"));
    }
}

fn wrap(out: &mut String, text: &str, indent: usize) {
    let mut column = 0;
    for word in text.split_ascii_whitespace() {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_overview_fits_a_screen() {
        let text = overview();
        assert!(text.lines().count() <= 24, "{} lines", text.lines().count());
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn every_flag_of_a_command_is_in_both_of_its_helps() {
        for row in &COMMANDS {
            let (short, long) = (command(row.command, false), command(row.command, true));
            for flag in flags::of(row.command) {
                let name = format!("--{}", flag.long);
                assert!(short.contains(&name) && long.contains(&name), "{} {name}", row.name);
            }
            assert!(short.lines().all(|line| line.chars().count() <= 90), "{short}");
            assert!(!long.lines().any(|line| line.ends_with(' ')), "{long}");
        }
    }
}
