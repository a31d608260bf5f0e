//! The expressions of `-k` and `--not`: words, `and`, `or`, `not` and parentheses, about a test's
//! path and tags.
//!
//! A word is true if the test's path or one of its tags contains it; case does not matter. `not`
//! binds tighter than `and`, which binds tighter than `or`. Quotes make plain words of `and`, `or`
//! and `not`.

/// How deep an expression may be nested.
const DEPTH_MAX: usize = 50;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// True if the path or a tag contains this word, which is in lower case.
    Word(String),
    /// True if the inner expression is false.
    Not(Box<Self>),
    /// True if both are.
    And(Box<Self>, Box<Self>),
    /// True if at least one is.
    Or(Box<Self>, Box<Self>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Word(String),
}

impl Filter {
    /// Parses an expression.
    ///
    /// # Errors
    /// A message that says what is wrong and in which column, counted from 1.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, end: text.chars().count() + 1 };
        let expr = parser.any(0)?;
        match parser.tokens.get(parser.at) {
            None => Ok(expr),
            Some((column, Token::Close)) => Err(format!("`)` without a `(` at column {column}")),
            Some((column, _)) => Err(format!("`and` or `or` is missing at column {column}")),
        }
    }

    /// Whether the expression is true of a test with this path and these tags.
    pub fn matches(&self, path: &str, tags: &[String]) -> bool {
        match self {
            Self::Word(word) => {
                let has = |text: &str| text.to_lowercase().contains(word.as_str());
                has(path) || tags.iter().any(|tag| has(tag))
            }
            Self::Not(inner) => !inner.matches(path, tags),
            Self::And(a, b) => a.matches(path, tags) && b.matches(path, tags),
            Self::Or(a, b) => a.matches(path, tags) || b.matches(path, tags),
        }
    }
}

/// The tokens, each with its column.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut found = Vec::new();
    let mut chars = text.chars().zip(1..).peekable();
    while let Some((c, column)) = chars.next() {
        let token = match c {
            c if c.is_whitespace() => continue,
            '(' => Token::Open,
            ')' => Token::Close,
            '"' | '\'' => {
                let mut word = String::new();
                loop {
                    match chars.next() {
                        Some((end, _)) if end == c => break,
                        Some((inside, _)) => word.push(inside),
                        None => return Err(format!("a quote is not closed at column {column}")),
                    }
                }
                Token::Word(word.to_lowercase())
            }
            c => {
                let mut word = String::from(c);
                let part = |c: &char| !c.is_whitespace() && !"()\"'".contains(*c);
                while let Some((c, _)) = chars.next_if(|(c, _)| part(c)) {
                    word.push(c);
                }
                match word.as_str() {
                    "and" => Token::And,
                    "or" => Token::Or,
                    "not" => Token::Not,
                    _ => Token::Word(word.to_lowercase()),
                }
            }
        };
        found.push((column, token));
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    /// The column after the text's last one.
    end: usize,
}

impl Parser {
    fn take(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|(_, token)| token == wanted);
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.all(depth)?;
        while self.take(&Token::Or) {
            left = Filter::Or(Box::new(left), Box::new(self.all(depth)?));
        }
        Ok(left)
    }

    fn all(&mut self, depth: usize) -> Result<Filter, String> {
        let mut left = self.one(depth)?;
        while self.take(&Token::And) {
            left = Filter::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Filter, String> {
        let (column, token) = match self.tokens.get(self.at) {
            Some((column, token)) => (*column, Some(token.clone())),
            None => (self.end, None),
        };
        if depth > DEPTH_MAX {
            return Err(format!("it is nested too deep at column {column}"));
        }
        self.at += 1;
        match token {
            Some(Token::Word(word)) => Ok(Filter::Word(word)),
            Some(Token::Not) => Ok(Filter::Not(Box::new(self.one(depth + 1)?))),
            Some(Token::Open) => {
                let inner = self.any(depth + 1)?;
                if self.take(&Token::Close) {
                    return Ok(inner);
                }
                Err(format!("the `(` at column {column} is not closed"))
            }
            _ => Err(format!("a word is missing at column {column}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_names_and_tags() {
        let check = |text: &str, expected: bool| {
            let tags = ["slow".to_owned(), "net".to_owned()];
            let expr = Filter::parse(text).unwrap();
            assert_eq!(expr.matches("t/25-dns/Cache_test.sh", &tags), expected, "{text}");
        };
        check("dns", true);
        check("CACHE", true);
        check("slo", true);
        check("dhcp", false);
        check("not dhcp", true);
        check("dns and not slow", false);
        check("dhcp or dns and slow", true);
        check("(dhcp or dns) and fast", false);
        check("not (dhcp or fast)", true);
        check("not not dns", true);
        check("25-dns/cache", true);
        check("'and'", false);
        check("\"dns/c\"", true);
    }

    #[test]
    fn mistakes_have_a_column() {
        let check = |text: &str, why: &str| assert_eq!(Filter::parse(text), Err(why.to_owned()));
        check("", "a word is missing at column 1");
        check("dns and", "a word is missing at column 8");
        check("and dns", "a word is missing at column 1");
        check("dns dhcp", "`and` or `or` is missing at column 5");
        check("(dns", "the `(` at column 1 is not closed");
        check("dns)", "`)` without a `(` at column 4");
        check("ä or 'x", "a quote is not closed at column 6");
        assert!(Filter::parse(&"(".repeat(100_000)).unwrap_err().contains("nested too deep"));
        assert!(Filter::parse(&"not ".repeat(100_000)).unwrap_err().contains("nested too deep"));
    }
}
