//! Quotes words for a POSIX shell.

/// Appends `word` to `text` so that a shell reads it back as one word, whatever bytes it has.
pub(crate) fn quote(text: &mut Vec<u8>, word: &[u8]) {
    text.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' => text.extend_from_slice(b"'\\''"),
            _ => text.push(byte),
        }
    }
    text.push(b'\'');
}
