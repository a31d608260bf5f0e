//! The streaming parser: bytes in, [`Item`]s out, in constant memory, whatever the bytes are.
//!
//! It tracks what gives a line its meaning: the version in force, the open YAML block, the depth of
//! subtests, and a bail out, after which nothing counts. It counts nothing and gives no verdict;
//! [`crate::Collector`] and [`crate::Suite`] do.

use crate::ktap::{DEPTH_MAX, Nest};
use crate::line::{self, PlanLine, Point, Token, Version};
use crate::marker::{self, Marker};
use crate::split::Splitter;
use crate::text::{is_space, trim, trim_start};

/// Spaces per level of a TAP subtest.
const INDENT: usize = 4;

/// One line of a stream and what it is.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Its number, from 1.
    pub line: u64,
    /// How many subtests the line lies in; 0 is the stream itself.
    pub depth: u32,
    /// The line as it came, without its line end.
    pub raw: &'a [u8],
    /// What it is.
    pub kind: Kind<'a>,
}

/// What a line is, given the lines before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A version line: the dialect, and whether the line is in order.
    Version(Version, Standing),
    /// A plan.
    Plan(PlanLine<'a>),
    /// A test point.
    Point(Point<'a>),
    /// `# text`, without the hash.
    Comment(&'a [u8]),
    /// `# Subtest: name`, which announces a subtest.
    Subtest(&'a [u8]),
    /// `Bail out!`: the reason, escapes included. The last item of its stream, unless
    /// [`Options::past_bail`] is set.
    Bail(&'a [u8]),
    /// The list of a pragma line.
    Pragma(&'a [u8]),
    /// `  ---`: a YAML block about the last point at this depth begins.
    YamlOpen,
    /// A line of a YAML block, without the block's indentation.
    YamlLine(&'a [u8]),
    /// `  ...`: the YAML block ends.
    YamlClose,
    /// `{` on its own: a buffered subtest begins after its point's YAML.
    BraceOpen,
    /// `}` on its own: a buffered subtest ends.
    BraceClose,
    /// One of orca's markers; only if [`Options::markers`] is set.
    Marker(Marker<'a>),
    /// White space only.
    Blank,
    /// Anything else.
    Junk,
}

/// What a parser does besides reading TAP; nothing by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Recognise orca's `TAP_START` and `TAP_END` lines, for logs of the text protocol. Never set
    /// it for a framed stream: there a test could forge them.
    pub markers: bool,
    /// Go on after a bail out, as Perl's `prove` does. The verdict stays the same.
    pub past_bail: bool,
}

/// Whether a version line is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A known version in the right place.
    Good,
    /// Later than 14; read as 14.
    Newer,
    /// 12 or less; those versions have no version line.
    TooOld,
    /// Not a plain number: `013`, for example.
    Unreadable,
    /// After a plan, a point or another version line.
    Late,
}

/// The streaming parser of one stream.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    splitter: Splitter,
    state: State,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser at the start of a stream, with `options`.
    pub fn with(options: Options) -> Self {
        Self { state: State { options, ..State::default() }, ..Self::default() }
    }

    /// Takes the next bytes, cut anywhere, and calls `sink` for every line they complete.
    pub fn feed(&mut self, bytes: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        if self.state.stopped {
            return;
        }
        let state = &mut self.state;
        self.splitter.feed(bytes, |line, hash| state.line(line, hash, sink));
    }

    /// Ends the stream: a last line without a line end is a line too.
    pub fn finish(&mut self, sink: &mut impl FnMut(Item<'_>)) {
        let state = &mut self.state;
        self.splitter.finish(|line, hash| state.line(line, hash, sink));
    }

    /// The dialect in force.
    pub const fn version(&self) -> Version {
        self.state.version
    }

    /// Whether a `Bail out!` has ended the stream; everything after it is ignored.
    pub const fn stopped(&self) -> bool {
        self.state.stopped
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    line: u64,
    version: Version,
    /// A version, plan or point has been seen at depth 0: a version line is late from here on.
    begun: bool,
    stopped: bool,
    options: Options,
    /// The depth of the innermost open subtest.
    open: u32,
    yaml: Option<Yaml>,
    /// Nothing but comments, junk and YAML has come since the last test point.
    after_point: bool,
    nest: Option<Nest>,
}

/// An open YAML block.
#[derive(Clone, Copy, Debug)]
struct Yaml {
    pad: usize,
    depth: u32,
}

impl State {
    #[inline(always)]
    fn line(&mut self, raw: &[u8], hash: bool, sink: &mut impl FnMut(Item<'_>)) {
        if self.stopped {
            return;
        }
        self.line += 1;
        let plain = self.yaml.is_none() && self.nest.is_none() && !self.options.markers;
        if plain
            && let Some(b'o' | b'n') = raw.first()
            && let Some(point) = line::point(raw, self.version, hash)
        {
            (self.begun, self.open, self.after_point) = (true, 0, true);
            return self.emit(0, raw, Kind::Point(point), sink);
        }
        self.other(raw, hash, sink);
    }

    #[inline(never)]
    fn other(&mut self, raw: &[u8], hash: bool, sink: &mut impl FnMut(Item<'_>)) {
        if let Some(yaml) = self.yaml
            && self.in_yaml(yaml, raw, sink)
        {
            return;
        }
        if self.options.markers
            && let Some(found) = marker::parse(raw)
        {
            return self.emit(0, raw, Kind::Marker(found), sink);
        }
        if !self.begun && self.nest.is_none() && may_be_ktap(raw) {
            self.nest = Nest::detect(raw);
            if self.nest.is_some() {
                self.begun = true;
                self.version = Version::Ktap1;
                return self.emit(0, raw, Kind::Version(self.version, Standing::Good), sink);
            }
        }
        if self.nest.is_some() {
            return self.nested(raw, sink);
        }
        match raw.first() {
            Some(&first) if is_space(first) => self.indented(raw, hash, sink),
            _ => self.top(raw, hash, sink),
        }
    }

    fn top(&mut self, raw: &[u8], hash: bool, sink: &mut impl FnMut(Item<'_>)) {
        let token = line::classify(raw, self.version, hash);
        self.token(token, 0, raw, raw, sink);
    }

    /// A line that begins with white space: part of a subtest, a YAML block, a comment or junk.
    fn indented(&mut self, raw: &[u8], hash: bool, sink: &mut impl FnMut(Item<'_>)) {
        let content = trim_start(raw);
        let pad = raw.len() - content.len();
        if content.is_empty() {
            return self.emit(0, raw, Kind::Blank, sink);
        }
        if let Some(reason) = line::bail(content) {
            return self.token(Token::Bail(reason), 0, raw, content, sink);
        }
        let spaces = raw.iter().take_while(|&&b| b == b' ').count();
        let level = u32::try_from(spaces / INDENT).unwrap_or(u32::MAX);
        if self.opens_yaml(content) {
            let owner = if spaces % INDENT == 0 { level.saturating_sub(1) } else { level };
            return self.open_yaml(pad, owner.min(self.open), raw, sink);
        }
        if spaces == pad && spaces % INDENT == 0 && level <= DEPTH_MAX {
            let token = line::classify(content, self.version, hash);
            return self.token(token, level, raw, content, sink);
        }
        let kind = content.strip_prefix(b"#").map_or(Kind::Junk, Kind::Comment);
        self.emit(level.min(self.open), raw, kind, sink);
    }

    /// Whether `content` begins a YAML block. TAP 12 has none, but programs that print TAP 12 write
    /// them; there the `---` must stand alone and follow a point.
    fn opens_yaml(&self, content: &[u8]) -> bool {
        let Some(rest) = content.strip_prefix(b"---") else { return false };
        match self.version {
            Version::Tap12 => rest.is_empty() && self.after_point,
            _ => rest.first().is_none_or(|&b| is_space(b)),
        }
    }

    fn nested(&mut self, raw: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        let Some(nest) = self.nest.as_mut() else { return };
        let line = nest.strip(raw);
        let content = trim_start(line);
        if content.is_empty() {
            return self.emit(0, raw, Kind::Blank, sink);
        }
        if let Some(reason) = line::bail(content) {
            return self.token(Token::Bail(reason), 0, raw, content, sink);
        }
        if line::ktap_line(content).is_some() {
            let depth = nest.open(line).min(DEPTH_MAX);
            return self.emit(depth, raw, Kind::Version(Version::Ktap1, Standing::Good), sink);
        }
        let (deepest, level) = (nest.deepest(), nest.level(line));
        let Some(depth) = level else {
            if content == b"---" && nest.after_point {
                let pad = raw.len() - content.len();
                return self.open_yaml(pad, deepest, raw, sink);
            }
            let kind = content.strip_prefix(b"#").map_or(Kind::Junk, Kind::Comment);
            return self.emit(deepest, raw, kind, sink);
        };
        let token = line::classify(content, Version::Ktap1, content.contains(&b'#'));
        nest.after_point = matches!(token, Token::Point(_));
        if nest.after_point {
            nest.close_below(depth);
        }
        self.token(token, depth, raw, content, sink);
    }

    fn token<'a>(
        &mut self,
        token: Token<'a>,
        depth: u32,
        raw: &'a [u8],
        content: &'a [u8],
        sink: &mut impl FnMut(Item<'_>),
    ) {
        let (opens, kind) = match token {
            Token::Point(point) => {
                self.begun |= depth == 0;
                self.open = depth;
                (true, Kind::Point(point))
            }
            Token::Plan(plan) => {
                self.begun |= depth == 0;
                (true, Kind::Plan(plan))
            }
            Token::Comment(text) => match subtest_name(text) {
                Some(name) => (true, Kind::Subtest(name)),
                None => (false, Kind::Comment(text)),
            },
            Token::Version(_) if self.nest.is_some() => (false, Kind::Junk),
            Token::Version(digits) if depth == 0 => (false, self.declare(digits)),
            Token::Version(_) => (true, Kind::Version(self.version, Standing::Good)),
            Token::Bail(reason) => {
                self.stopped = !self.options.past_bail;
                (false, Kind::Bail(reason))
            }
            Token::Pragma(list) => (true, Kind::Pragma(list)),
            Token::Blank => (false, Kind::Blank),
            Token::Ktap(_) => (false, Kind::Junk),
            Token::Junk => match trim(content) {
                b"{" => (false, Kind::BraceOpen),
                b"}" => (false, Kind::BraceClose),
                _ => (false, Kind::Junk),
            },
        };
        let brace = matches!(kind, Kind::BraceOpen | Kind::BraceClose);
        let depth = if opens || brace { depth } else { depth.min(self.open) };
        if opens {
            self.open = self.open.max(depth);
            self.after_point = matches!(kind, Kind::Point(_));
        }
        self.emit(depth, raw, kind, sink);
    }

    fn declare(&mut self, digits: &[u8]) -> Kind<'static> {
        if std::mem::replace(&mut self.begun, true) {
            return Kind::Version(self.version, Standing::Late);
        }
        let value = digits
            .iter()
            .fold(0u32, |v, d| v.saturating_mul(10).saturating_add(u32::from(d - b'0')));
        let (version, standing) = match value {
            _ if digits.starts_with(b"0") => (Version::Tap12, Standing::Unreadable),
            0..=12 => (Version::Tap12, Standing::TooOld),
            13 => (Version::Tap13, Standing::Good),
            14 => (Version::Tap14, Standing::Good),
            _ => (Version::Tap14, Standing::Newer),
        };
        self.version = version;
        Kind::Version(version, standing)
    }

    fn open_yaml(&mut self, pad: usize, depth: u32, raw: &[u8], sink: &mut impl FnMut(Item<'_>)) {
        self.yaml = Some(Yaml { pad, depth });
        self.emit(depth, raw, Kind::YamlOpen, sink);
    }

    /// Whether `raw` belongs to the open block; a line with too little indentation ends the block.
    fn in_yaml(&mut self, yaml: Yaml, raw: &[u8], sink: &mut impl FnMut(Item<'_>)) -> bool {
        if trim(raw).is_empty() {
            let line = raw.get(yaml.pad..).unwrap_or_default();
            self.emit(yaml.depth, raw, Kind::YamlLine(line), sink);
            return true;
        }
        if raw.len() < yaml.pad || !raw[..yaml.pad].iter().all(|&b| is_space(b)) {
            self.yaml = None;
            return false;
        }
        let line = &raw[yaml.pad..];
        if line.starts_with(b"...") && trim(&line[3..]).is_empty() {
            self.yaml = None;
            self.emit(yaml.depth, raw, Kind::YamlClose, sink);
        } else {
            self.emit(yaml.depth, raw, Kind::YamlLine(line), sink);
        }
        true
    }

    #[inline(always)]
    fn emit(&self, depth: u32, raw: &[u8], kind: Kind<'_>, sink: &mut impl FnMut(Item<'_>)) {
        sink(Item { line: self.line, depth, raw, kind });
    }
}

/// Whether `raw` may hold a KTAP version line: a cheap look, before [`Nest::detect`].
fn may_be_ktap(raw: &[u8]) -> bool {
    memchr::memmem::find(raw, b"KTAP").is_some()
}

/// The name in `Subtest: name`.
fn subtest_name(comment: &[u8]) -> Option<&[u8]> {
    let rest = trim_start(comment).strip_prefix(b"Subtest")?;
    match rest {
        [b':', name @ ..] => Some(trim(name)),
        _ => trim(rest).is_empty().then_some(&[]),
    }
}
