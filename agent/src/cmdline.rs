//! The kernel's command line.

/// The words of a kernel's command line: names, some with values.
#[derive(Debug, Default)]
pub(crate) struct CommandLine(Vec<(String, Option<String>)>);

impl CommandLine {
    /// The command line of this boot; empty if `/proc` does not have it.
    pub(crate) fn of_this_boot() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default())
    }

    /// Splits at blanks that are not inside double quotes, as the kernel does.
    pub(crate) fn parse(text: &str) -> Self {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in text.trim().chars() {
            match c {
                '"' => quoted = !quoted,
                c if c.is_whitespace() && !quoted => words.push(String::new()),
                c => words.last_mut().into_iter().for_each(|word| word.push(c)),
            }
        }
        let words = words.into_iter().filter(|word| !word.is_empty());
        Self(
            words
                .map(|word| match word.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (word, None),
                })
                .collect(),
        )
    }

    /// The value of `name`, the last one if there are several.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }

    /// Whether the word `name` is there, without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, value)| n == name && value.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_values() {
        let line =
            CommandLine::parse("quiet root=/dev/vda a=1 a=2 x=\"b c=d\" ro agent_mode=true\n");
        assert_eq!(line.value("root"), Some("/dev/vda"));
        assert_eq!(line.value("a"), Some("2"));
        assert_eq!(line.value("x"), Some("b c=d"));
        assert_eq!(line.value("quiet"), None);
        assert!(line.has("ro") && line.has("quiet") && !line.has("rw") && !line.has("root"));
        assert!(!CommandLine::parse("  ").has(""));
    }
}
