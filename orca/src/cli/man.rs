//! The manual page, built from the tables, in the `man` macros that both groff and mandoc know.

use super::command::{COMMANDS, Row};
use super::flag::{Flag, Group};
use super::flags::FLAGS;

/// The section DESCRIPTION, which no table has.
const DESCRIPTION: &str = "\
orca finds the tests of a project, which are shell scripts called t/**/*_test.sh that print TAP, \
and runs each as root in a virtual machine that nobody has touched: a copy of one that was booted \
once and frozen. It runs several at a time, reads what they print, and says what passed. A test \
that panics the kernel, hangs, floods or kills everything costs that one test, never the run.";

const STATUSES: [(&str, &str); 6] = [
    ("0", "All passed, or the command did what it was asked for."),
    ("1", "A test failed. orca run and orca shell: as the command in the machine."),
    ("2", "Usage, configuration or host error; nothing was run, or not to its end."),
    ("3", "A test has no verdict because its machine was in trouble."),
    ("4", "There was nothing to run."),
    ("signal", "An interrupted run dies of the signal that interrupted it."),
];

const FILES: [(&str, &str); 5] = [
    (
        "t/NAME_test.sh",
        "A test. Its first comments may ask for a machine and limits of its own: \
         # orca: timeout=300s memory=1G.",
    ),
    (
        ".orcarc",
        "A project's settings: one --option=value per line. ORCA_* variables and the command line \
         outrank it.",
    ),
    ("build/vmlinux, build/vmlinuz, build/initramfs, build/rootfs.ext4", "The guest's image."),
    (
        "$XDG_STATE_HOME/orca/runs/PROJECT/latest",
        "The newest run: output, TAP, consoles and artifacts of each test, results.json.",
    ),
    (
        "$XDG_CACHE_HOME/orca",
        "Templates, initramfs files and disks that orca made, and what it remembers of QEMU.",
    ),
];

/// The whole page.
pub fn page(version: &str) -> String {
    let mut out = format!(
        ".TH ORCA 1 \"\" \"orca {version}\" \"User Commands\"\n\
         .SH NAME\n\
         orca \\- run tests that need a kernel of their own, each in a VM nobody has touched\n\
         .SH SYNOPSIS\n"
    );
    for row in &COMMANDS {
        let usage = text(row.usage);
        let arguments = if usage.is_empty() { usage } else { usage + "\n" };
        out.push_str(&format!(".B orca {}\n{arguments}.br\n", row.name));
    }
    out.push_str(".SH DESCRIPTION\n");
    paragraph(&mut out, DESCRIPTION);
    out.push_str(".SH COMMANDS\n");
    COMMANDS.iter().for_each(|row| command(&mut out, row));
    out.push_str(".SH OPTIONS\n");
    paragraph(&mut out, "The commands that take an option follow it in parentheses.");
    for group in Group::ALL {
        out.push_str(&format!(".SS {}\n", group.title()));
        FLAGS.iter().filter(|flag| flag.group == group).for_each(|flag| option(&mut out, flag));
    }
    out.push_str(".SS General\n");
    item(&mut out, "\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Explain a command, in short or in full.");
    item(&mut out, "\\fB\\-V\\fR, \\fB\\-\\-version\\fR", "Print the version.");
    out.push_str(".SH ENVIRONMENT\n");
    let variables = "Every option can be set by a variable, --fail-fast by ORCA_FAIL_FAST; an \
                     option without a value is on for 1, true and yes. NO_COLOR turns colours off. \
                     TMPDIR is where sockets and disks are during a run.";
    paragraph(&mut out, variables);
    out.push_str(".SH FILES\n");
    FILES.iter().for_each(|(name, what)| item(&mut out, &bold(name), what));
    out.push_str(".SH EXIT STATUS\n");
    STATUSES.iter().for_each(|(status, what)| item(&mut out, &bold(status), what));
    out.push_str(".SH SEE ALSO\n.BR qemu (1),\n.BR prove (1)\n");
    out
}

fn command(out: &mut String, row: &Row) {
    let heading = format!("orca {} {}", row.name, text(row.usage));
    out.push_str(&format!(".SS {}\n", heading.trim_end()));
    row.doc.split("\n\n").for_each(|part| paragraph(out, part));
    for (example, meaning) in row.examples {
        item(out, &bold(example), meaning);
    }
}

fn option(out: &mut String, flag: &Flag) {
    let long = format!("{}{}", bold(&format!("--{}", flag.long)), text(&flag.form()));
    let name = match flag.short {
        Some(letter) => format!("{}, {long}", bold(&format!("-{letter}"))),
        None => long,
    };
    let commands: Vec<&str> =
        COMMANDS.iter().filter(|row| flag.is_on(row.command)).map(|row| row.name).collect();
    let help = format!("{} ({}.)", super::help::paragraph(flag), commands.join(", "));
    item(out, &name, &help);
}

fn item(out: &mut String, name: &str, what: &str) {
    out.push_str(&format!(".TP\n{name}\n{}\n", text(what)));
}

fn paragraph(out: &mut String, what: &str) {
    out.push_str(&format!(".PP\n{}\n", text(what)));
}

fn bold(word: &str) -> String {
    format!("\\fB{}\\fR", text(word))
}

/// Text that troff takes literally: no escapes, no request at the beginning of a line, and dashes
/// that can be copied.
fn text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            '…' => out.push_str("..."),
            c => out.push(c),
        }
    }
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_flag_has_its_place() {
        let page = page("1.0");
        for row in &COMMANDS {
            assert!(page.contains(&format!(".SS orca {}", row.name)), "{}", row.name);
        }
        for flag in FLAGS {
            let name = format!("\\-\\-{}\\fR", flag.long.replace('-', "\\-"));
            assert!(page.contains(&name), "--{}", flag.long);
        }
    }

    #[test]
    fn nothing_is_taken_for_a_request() {
        assert_eq!(text(".orcarc's \\n -x"), "\\&.orcarc\\(aqs \\en \\-x");
        assert!(page("1").lines().all(|line| !line.starts_with('\'') && line.is_ascii()));
        assert!(page("1").lines().all(|line| !line.is_empty() && !line.ends_with(' ')));
    }
}
