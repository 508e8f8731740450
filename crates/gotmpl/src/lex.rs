//! Text into tokens, as Go's `text/template/parse` cuts it.
//!
//! The whole text is cut at once. A lexical error is the last token; the parser reports it when it gets there, so that an
//! earlier grammatical error wins, as in Go.

use std::borrow::Cow;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    fn is_keyword(self) -> bool {
        matches!(
            self,
            Kind::Block
                | Kind::Break
                | Kind::Continue
                | Kind::Define
                | Kind::Dot
                | Kind::Else
                | Kind::End
                | Kind::If
                | Kind::Nil
                | Kind::Range
                | Kind::Template
                | Kind::With
        )
    }
}

/// One token: where it begins (bytes from the start), its line from 1, and its text.
#[derive(Debug, Clone)]
pub(crate) struct Token<'t> {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
    pub(crate) line: usize,
    pub(crate) text: Cow<'t, str>,
}

/// As Go names a token in an error.
impl std::fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            Kind::Error => f.write_str(&self.text),
            kind if kind.is_keyword() => write!(f, "<{}>", self.text),
            _ if self.text.len() > 10 => {
                let cut: String = self.text.chars().take(10).collect();
                write!(f, "{}...", crate::literal::quote(&cut))
            }
            _ => f.write_str(&crate::literal::quote(&self.text)),
        }
    }
}

/// What the lexer must know: the marks around an action, and whether `break` and `continue` are words of the language
/// (they are not if the caller has functions of these names).
pub(crate) struct Syntax<'t> {
    pub(crate) left: &'t str,
    pub(crate) right: &'t str,
    pub(crate) break_is_keyword: bool,
    pub(crate) continue_is_keyword: bool,
}

/// All tokens of `input`; the last is `Eof` or `Error`.
pub(crate) fn lex<'t>(input: &'t str, syntax: &'t Syntax<'t>) -> Vec<Token<'t>> {
    let mut lexer = Lexer { input, syntax, at: 0, start: 0, start_line: 1, parens: 0, tokens: Vec::new() };
    lexer.run();
    lexer.tokens
}

const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

struct Lexer<'t> {
    input: &'t str,
    syntax: &'t Syntax<'t>,
    at: usize,
    start: usize,
    start_line: usize,
    parens: usize,
    tokens: Vec<Token<'t>>,
}

/// A lexical error has been emitted.
struct Stop;

impl<'t> Lexer<'t> {
    fn run(&mut self) {
        loop {
            match self.text() {
                Ok(true) => {}
                Ok(false) => {
                    let token =
                        Token { kind: Kind::Eof, at: self.at, line: self.start_line, text: "EOF".into() };
                    self.tokens.push(token);
                    return;
                }
                Err(Stop) => return,
            }
        }
    }

    fn rest(&self) -> &'t str {
        &self.input[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.peek().is_some_and(|c| valid.contains(c));
        if accepted {
            self.next();
        }
        accepted
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn skip(&mut self) {
        self.start_line += self.input[self.start..self.at].matches('\n').count();
        self.start = self.at;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.input[self.start..self.at].into();
        self.tokens.push(Token { kind, at: self.start, line: self.start_line, text });
        self.skip();
    }

    fn fail<T>(&mut self, message: impl Into<String>) -> Result<T, Stop> {
        self.tokens.push(Token {
            kind: Kind::Error,
            at: self.start,
            line: self.start_line,
            text: Cow::Owned(message.into()),
        });
        Err(Stop)
    }

    /// Text up to the next action, and that action. `false` at the end.
    fn text(&mut self) -> Result<bool, Stop> {
        let Some(found) = self.rest().find(self.syntax.left) else {
            self.at = self.input.len();
            if self.at > self.start {
                self.emit(Kind::Text);
            }
            return Ok(false);
        };
        if found > 0 {
            let end = self.at + found;
            let text = &self.input[self.start..end];
            let trimmed = if has_left_trim(&self.input[end + self.syntax.left.len()..]) {
                text.trim_end_matches(SPACES).len()
            } else {
                text.len()
            };
            self.at = self.start + trimmed;
            if trimmed > 0 {
                self.emit(Kind::Text);
            }
            self.at = end;
            self.skip();
        }
        self.left_delim()?;
        Ok(true)
    }

    fn left_delim(&mut self) -> Result<(), Stop> {
        self.at += self.syntax.left.len();
        let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.input[self.at + marker..].starts_with("/*") {
            self.at += marker;
            self.skip();
            return self.comment();
        }
        self.emit(Kind::LeftDelim);
        self.at += marker;
        self.skip();
        self.parens = 0;
        while self.inside_action()? {}
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Stop> {
        self.at += 2;
        let Some(end) = self.rest().find("*/") else { return self.fail("unclosed comment") };
        self.at += end + 2;
        let Some(trim) = self.at_right_delim() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.right_marks(trim);
        self.skip();
        Ok(())
    }

    /// Whether the closing mark is next, and whether it trims.
    fn at_right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim(rest) && rest[2..].starts_with(self.syntax.right) {
            Some(true)
        } else if rest.starts_with(self.syntax.right) {
            Some(false)
        } else {
            None
        }
    }

    fn right_marks(&mut self, trim: bool) {
        if trim {
            self.at += 2;
        }
        self.at += self.syntax.right.len();
        if trim {
            self.at += self.rest().len() - self.rest().trim_start_matches(SPACES).len();
        }
    }

    fn right_delim(&mut self, trim: bool) {
        if trim {
            self.at += 2;
            self.skip();
        }
        self.at += self.syntax.right.len();
        self.emit(Kind::RightDelim);
        if trim {
            self.at += self.rest().len() - self.rest().trim_start_matches(SPACES).len();
            self.skip();
        }
    }

    /// One token of an action; `false` once it is closed.
    fn inside_action(&mut self) -> Result<bool, Stop> {
        if let Some(trim) = self.at_right_delim() {
            if self.parens > 0 {
                return self.fail("unclosed left paren");
            }
            self.right_delim(trim);
            return Ok(false);
        }
        let Some(c) = self.next() else { return self.fail("unclosed action") };
        match c {
            ' ' | '\t' | '\r' | '\n' => return self.space(),
            '=' => self.emit(Kind::Assign),
            ':' => {
                if self.next() != Some('=') {
                    return self.fail("expected :=");
                }
                self.emit(Kind::Declare);
            }
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant")?,
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.at += end + 1;
                    self.emit(Kind::RawString);
                }
                None => return self.fail("unterminated raw quoted string"),
            },
            '$' => self.field_or_variable(Kind::Variable)?,
            '.' if !self.rest().is_empty() && !self.rest().as_bytes()[0].is_ascii_digit() => {
                self.field_or_variable(Kind::Field)?;
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()?;
            }
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen);
            }
            ')' => {
                if self.parens == 0 {
                    return self.fail("unexpected right paren");
                }
                self.parens -= 1;
                self.emit(Kind::RightParen);
            }
            c if is_alphanumeric(c) => self.identifier()?,
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => return self.fail(format!("unrecognized character in action: {}", code_point(c))),
        }
        Ok(true)
    }

    fn space(&mut self) -> Result<bool, Stop> {
        while self.accept(" \t\r\n") {}
        let spaces = self.at - self.start;
        let last = &self.input[self.at - 1..];
        if has_right_trim(last) && last[2..].starts_with(self.syntax.right) {
            self.at -= 1;
            if spaces == 1 {
                // The space belongs to the trim marker. Go leaves an open parenthesis to the parser here.
                self.right_delim(true);
                return Ok(false);
            }
        }
        self.emit(Kind::Space);
        Ok(true)
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), Stop> {
        loop {
            match self.next() {
                Some('\\') => match self.next() {
                    None | Some('\n') => return self.fail(unterminated),
                    Some(_) => {}
                },
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == quote => {
                    self.emit(kind);
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn identifier(&mut self) -> Result<(), Stop> {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.expect_terminator()?;
        let kind = match &self.input[self.start..self.at] {
            "block" => Kind::Block,
            "break" if self.syntax.break_is_keyword => Kind::Break,
            "continue" if self.syntax.continue_is_keyword => Kind::Continue,
            "define" => Kind::Define,
            "else" => Kind::Else,
            "end" => Kind::End,
            "if" => Kind::If,
            "range" => Kind::Range,
            "nil" => Kind::Nil,
            "template" => Kind::Template,
            "with" => Kind::With,
            "true" | "false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.emit(kind);
        Ok(())
    }

    fn field_or_variable(&mut self, kind: Kind) -> Result<(), Stop> {
        if self.at_terminator() {
            self.emit(if kind == Kind::Variable { Kind::Variable } else { Kind::Dot });
            return Ok(());
        }
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        self.expect_terminator()?;
        self.emit(kind);
        Ok(())
    }

    fn expect_terminator(&mut self) -> Result<(), Stop> {
        if self.at_terminator() {
            return Ok(());
        }
        let bad = self.peek().map(code_point).unwrap_or_default();
        self.fail(format!("bad character {bad}"))
    }

    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(self.syntax.right),
        }
    }

    fn number(&mut self) -> Result<(), Stop> {
        let good = self.scan_number();
        if good && matches!(self.peek(), Some('+' | '-')) {
            if self.scan_number() && self.input[..self.at].ends_with('i') {
                self.emit(Kind::Complex);
                return Ok(());
            }
        } else if good {
            self.emit(Kind::Number);
            return Ok(());
        }
        let text = crate::literal::quote(&self.input[self.start..self.at]);
        self.fail(format!("bad number syntax: {text}"))
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if !exponent.is_empty() && self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

fn has_left_trim(text: &str) -> bool {
    matches!(text.as_bytes(), [b'-', space, ..] if is_space(*space))
}

fn has_right_trim(text: &str) -> bool {
    matches!(text.as_bytes(), [space, b'-', ..] if is_space(*space))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

/// As Go's `%#U` prints a character.
fn code_point(c: char) -> String {
    if crate::literal::is_printable(c) {
        format!("U+{:04X} '{c}'", c as u32)
    } else {
        format!("U+{:04X}", c as u32)
    }
}
