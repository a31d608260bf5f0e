//! Quoting: words for a POSIX shell, and any bytes as text from which they can be recovered.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

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

/// `bytes` as text: UTF-8 stays as it is, every other byte becomes `\xNN`. Names that differ stay
/// different, which they would not with a replacement character. [`bytes`] reverses this.
pub fn text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// A path as [`text`].
pub fn path(path: &Path) -> String {
    text(path.as_os_str().as_bytes())
}

/// `text` on one line: control characters as `\xNN` too, so that it can be shown, copied and
/// pasted.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer)
                .bytes()
                .for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
        } else {
            out.push(c);
        }
    }
    out
}

/// The bytes behind a text that [`text`] or [`line()`] made: each `\xNN` becomes its byte, all else
/// stays.
pub fn bytes(shown: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(shown.len());
    let mut rest = shown;
    while let Some((&first, behind)) = rest.split_first() {
        let digits = rest.get(2..4).filter(|_| rest.starts_with(b"\\x"));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &rest[4..];
            }
            None => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}

/// One word, quoted as by [`shell_word`] but made of characters that can be shown and copied: a
/// word with control characters or with bytes that are not UTF-8 is spelled out for `printf`.
/// Newlines at its end are lost, as in every `$(…)`.
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
    fn any_bytes_become_text_and_come_back() {
        for name in [
            &b"plain"[..],
            b"\xff",
            b"a\xfe\xffb",
            "é\n\x1b[2J\u{85}".as_bytes(),
            b"t/\\x",
            b"\\xzz",
        ] {
            let shown = line(&text(name));
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(bytes(shown.as_bytes()), name, "{shown:?}");
        }
        assert_eq!(text("é\n".as_bytes()), "é\n");
        assert_ne!(text(b"\xff"), text(b"\xfe"));
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
