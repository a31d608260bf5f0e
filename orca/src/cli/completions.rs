//! Completions for bash, zsh and fish, built from the tables: commands, options, and the words that
//! an option takes.

use super::command::{COMMANDS, Row, Words};
use super::flag::{Flag, Takes};
use super::flags::{self, FLAGS};

/// How a value is completed.
enum Value {
    /// Not at all: the option takes none, or one that may be left out.
    None,
    /// With one of these words.
    Words(Vec<&'static str>),
    /// With a file.
    File,
    /// With a folder.
    Folder,
    /// Not at all: only the user knows it.
    Free,
}

/// The script for `shell`; `None` if it is not in [`SHELLS`](super::command::SHELLS).
pub fn script(shell: &str) -> Option<String> {
    match shell {
        "bash" => Some(bash()),
        "zsh" => Some(zsh()),
        "fish" => Some(fish()),
        _ => None,
    }
}

fn value(flag: &Flag) -> Value {
    match flag.takes {
        Takes::Nothing(_) | Takes::Optional(..) => Value::None,
        Takes::Choice(..) => Value::Words(flag.choices()),
        Takes::Value("FILE" | "PATH", _) | Takes::List("FILE", ..) => Value::File,
        Takes::Value("DIR", _) => Value::Folder,
        Takes::Value(..) | Takes::List(..) | Takes::Variable(_) => Value::Free,
    }
}

/// The words that a command takes; `None` if it takes files, or a command that may name some.
fn words(row: &Row) -> Option<String> {
    match row.words {
        Words::OneOf(words) => Some(words.join(" ")),
        Words::None if !row.command.takes_command() => Some(String::new()),
        Words::None | Words::Files | Words::Machine => None,
    }
}

fn names() -> String {
    COMMANDS.iter().map(|row| row.name).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for row in &COMMANDS {
        let long = flags::of(row.command).map(|flag| format!("--{}", flag.long));
        let options: Vec<String> = long.chain(["--help".to_owned()]).collect();
        let what = match words(row) {
            Some(words) => format!("words='{words}'"),
            None => "words=; files=1".to_owned(),
        };
        cases.push_str(&format!(
            "        {}) options='{}'; {what} ;;\n",
            row.name,
            options.join(" ")
        ));
    }
    let mut values = String::new();
    for flag in FLAGS {
        let short = flag.short.map(|letter| format!("|-{letter}")).unwrap_or_default();
        let reply = match value(flag) {
            Value::None => continue,
            Value::Words(words) => format!("compgen -W '{}' -- \"$cur\"", words.join(" ")),
            Value::File => "compgen -f -- \"$cur\"".to_owned(),
            Value::Folder => "compgen -d -- \"$cur\"".to_owned(),
            Value::Free => ":".to_owned(),
        };
        values.push_str(&format!(
            "        --{}{short}) mapfile -t COMPREPLY < <({reply}); return ;;\n",
            flag.long
        ));
    }
    format!(
        "\
# bash completions for orca, made by `orca completions bash`

_orca() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} options words files=
    COMPREPLY=()
    if [[ $COMP_CWORD -eq 1 ]]; then
        mapfile -t COMPREPLY < <(compgen -W '{} help --help --version' -- \"$cur\")
        return
    fi
    # bash takes `--flag=value` apart at the sign
    if [[ $cur == '=' ]]; then
        cur=
    elif [[ $prev == '=' && $COMP_CWORD -gt 2 ]]; then
        prev=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case $prev in
{values}    esac
    case ${{COMP_WORDS[1]}} in
{cases}        help) options=; words='{}' ;;
        *) return ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")
    elif [[ -n $files ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")
    else
        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")
    fi
}}

complete -o filenames -F _orca orca glacic-orca
",
        names(),
        names()
    )
}

/// Text between single quotes for zsh's `_arguments`, to which brackets and colons are special.
fn zsh_text(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            '[' | ']' | ':' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn zsh() -> String {
    let mut commands = String::new();
    let mut cases = String::new();
    for row in &COMMANDS {
        commands.push_str(&format!("        '{}:{}'\n", row.name, zsh_text(row.help)));
        cases.push_str(&format!("        {})\n            _arguments -s \\\n", row.name));
        for flag in flags::of(row.command) {
            let (help, equals) =
                (zsh_text(&flag.summary()), if flag.value().is_some() { "=" } else { "" });
            let tail = match value(flag) {
                Value::None => String::new(),
                Value::Words(words) => format!(":{}:({})", flag.long, words.join(" ")),
                Value::File => format!(":{}:_files", flag.long),
                Value::Folder => format!(":{}:_files -/", flag.long),
                Value::Free => format!(":{}: ", flag.long),
            };
            let equals = if flag.is_optional() { "=-" } else { equals };
            let tail = if flag.is_optional() { format!("::{}: ", flag.long) } else { tail };
            cases.push_str(&format!(
                "                '*--{}{equals}[{help}]{tail}' \\\n",
                flag.long
            ));
            if let Some(letter) = flag.short {
                let plus = if flag.value().is_some() { "+" } else { "" };
                cases.push_str(&format!("                '*-{letter}{plus}[{help}]{tail}' \\\n"));
            }
        }
        let rest = match words(row) {
            Some(words) if words.is_empty() => "'(-)--help[explain the options]'".to_owned(),
            Some(words) => format!("'(-)--help[explain the options]' '*:word:({words})'"),
            None => "'(-)--help[explain the options]' '*:file:_files'".to_owned(),
        };
        cases.push_str(&format!("                {rest}\n            ;;\n"));
    }
    format!(
        "\
#compdef orca glacic-orca
# zsh completions for orca, made by `orca completions zsh`

_orca() {{
    local -a commands
    commands=(
{commands}    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command=${{words[2]}}
    shift words
    (( CURRENT-- ))
    case $command in
{cases}    esac
}}

if [ \"$funcstack[1]\" = _orca ]; then _orca \"$@\"; else compdef _orca orca glacic-orca; fi
"
    )
}

/// Text between single quotes for fish.
fn fish_text(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish() -> String {
    let mut out = String::from(
        "# fish completions for orca, made by `orca completions fish`\n\n\
         complete -c orca -f\n",
    );
    for row in &COMMANDS {
        out.push_str(&format!(
            "complete -c orca -n __fish_use_subcommand -a {} -d '{}'\n",
            row.name,
            fish_text(row.help)
        ));
        let here = format!("complete -c orca -n '__fish_seen_subcommand_from {}'", row.name);
        match words(row) {
            Some(words) if words.is_empty() => {}
            Some(words) => out.push_str(&format!("{here} -a '{words}'\n")),
            None => out.push_str(&format!("{here} -F\n")),
        }
        for flag in flags::of(row.command) {
            let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
            let tail = match value(flag) {
                Value::None => String::new(),
                Value::Words(words) => format!(" -x -a '{}'", words.join(" ")),
                Value::File => " -r -F".to_owned(),
                Value::Folder => " -x -a '(__fish_complete_directories)'".to_owned(),
                Value::Free => " -x".to_owned(),
            };
            let (long, help) = (flag.long, fish_text(&flag.summary()));
            out.push_str(&format!("{here} -l {long}{short}{tail} -d '{help}'\n"));
        }
        out.push_str(&format!("{here} -s h -l help -d 'explain the options'\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::command::SHELLS;
    use super::*;

    #[test]
    fn every_flag_of_every_command_is_in_every_script() {
        for shell in SHELLS {
            let text = script(shell).unwrap();
            for row in &COMMANDS {
                assert!(text.contains(row.name), "{shell}: {}", row.name);
            }
            for flag in FLAGS {
                let spelt = if shell == "fish" { "-l " } else { "--" };
                assert!(text.contains(&format!("{spelt}{}", flag.long)), "{shell}: {}", flag.long);
            }
            assert!(text.contains("auto") && text.contains("tcg"), "{shell}: no words for --accel");
        }
        assert!(script("tcsh").is_none());
    }
}
