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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(shell_word(b"plain-1.0"), "plain-1.0");
        assert_eq!(shell_word(b""), "''");
        assert_eq!(shell_word(b"it's"), r"'it'\''s'");
    }
}
