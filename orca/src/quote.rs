//! Words as a POSIX shell reads them.

/// One word, quoted for a POSIX shell where it needs to be.
pub fn shell_word(word: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_./=:,@%+".contains(b);
    let text = String::from_utf8_lossy(word);
    if !word.is_empty() && word.iter().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The same, of characters that can be shown and copied: a word with control characters or what is no UTF-8 is spelled out for
/// `printf`. Line ends at its end are lost, as in every `$(…)`.
pub fn shown_word(word: &[u8]) -> String {
    let odd = |c: char| c.is_control() || c == '\u{fffd}' || ('\u{200b}'..'\u{2070}').contains(&c);
    if !String::from_utf8_lossy(word).contains(odd) {
        return shell_word(word);
    }
    let spell = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b' ' | b'=' => {
            char::from(*byte).to_string()
        }
        other => format!("\\{other:03o}"),
    };
    let spelled: String = word.iter().map(spell).collect();
    format!("\"$(printf '{spelled}')\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(shell_word(b"plain-1.0"), "plain-1.0");
        assert_eq!(shell_word(b""), "''");
        assert_eq!(shell_word(b"it's"), r"'it'\''s'");
    }

    #[test]
    fn a_shell_reads_a_shown_word_back() {
        let words: [&[u8]; 6] = [
            b"a b",
            b"t/it's $HOME",
            b"\xff\xfe'\"",
            b"a\n\x1b[2Jb",
            b"100%\x07",
            "日本".as_bytes(),
        ];
        for word in words {
            let shown = shown_word(word);
            assert!(!shown.contains(char::is_control), "{shown:?}");
            let line = format!("printf %s {shown}");
            let ran = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(ran.stdout, word, "{shown}");
        }
    }
}
