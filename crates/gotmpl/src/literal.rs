//! Constants of the language: numbers, characters and strings, as Go's `strconv` reads and writes them.

/// A number, in each of the types that it fits.
#[derive(Debug, Clone)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) uint: Option<u64>,
    pub(crate) float: Option<f64>,
    /// Real and imaginary part.
    pub(crate) complex: Option<(f64, f64)>,
}

impl Number {
    /// A character constant with its quotes.
    pub(crate) fn from_char(text: &str) -> Result<Number, String> {
        let inner = text.get(1..).unwrap_or_default();
        let Some((c, rest)) = unquote_char(inner, '\'') else { return Err("invalid syntax".to_owned()) };
        if rest != "'" {
            return Err(format!("malformed character constant: {text}"));
        }
        let code = u32::from(c);
        Ok(Number {
            text: text.to_owned(),
            int: Some(code.into()),
            uint: Some(code.into()),
            float: Some(code.into()),
            complex: None,
        })
    }

    /// `1+2i`.
    pub(crate) fn from_complex(text: &str) -> Result<Number, String> {
        let body = text.strip_suffix('i').unwrap_or(text);
        let split = body
            .char_indices()
            .skip(1)
            .filter(|(i, c)| {
                matches!(c, '+' | '-') && !matches!(body.as_bytes()[i - 1], b'e' | b'E' | b'p' | b'P')
            })
            .map(|(i, _)| i)
            .last();
        let parts = split.and_then(|i| Some((parse_float(&body[..i])?, parse_float(&body[i..])?)));
        let Some((real, imaginary)) = parts else {
            return Err("syntax error scanning complex number".to_owned());
        };
        Ok(Number::of_complex(text, real, imaginary))
    }

    fn of_complex(text: &str, real: f64, imaginary: f64) -> Number {
        let float = (imaginary == 0.0).then_some(real);
        Number {
            text: text.to_owned(),
            int: float.filter(|f| *f as i64 as f64 == *f).map(|f| f as i64),
            uint: float.filter(|f| *f as u64 as f64 == *f).map(|f| f as u64),
            float,
            complex: Some((real, imaginary)),
        }
    }

    /// A number in Go's notation.
    pub(crate) fn from_text(text: &str) -> Result<Number, String> {
        if let Some(imaginary) = text.strip_suffix('i').and_then(parse_float) {
            return Ok(Number::of_complex(text, 0.0, imaginary));
        }
        let mut uint = if text.starts_with(['+', '-']) { None } else { parse_uint(text) };
        let int = parse_int(text);
        if int == Some(0) {
            uint = Some(0);
        }
        let mut number = Number { text: text.to_owned(), int, uint, float: None, complex: None };
        if let Some(int) = int {
            number.float = Some(int as f64);
        } else if let Some(uint) = uint {
            number.float = Some(uint as f64);
        } else if let Some(float) = parse_float(text) {
            if !text.contains(['.', 'e', 'E', 'p', 'P']) {
                return Err(format!("integer overflow: {}", quote(text)));
            }
            number.float = Some(float);
            number.int = (float as i64 as f64 == float).then_some(float as i64);
            number.uint = (float as u64 as f64 == float).then_some(float as u64);
        }
        if number.float.is_none() {
            return Err(format!("illegal number syntax: {}", quote(text)));
        }
        Ok(number)
    }

    /// Whether Go takes it for a float where no type is asked for.
    pub(crate) fn is_ideal_float(&self) -> bool {
        let hex = self.text.len() > 2
            && (self.text.starts_with("0x") || self.text.starts_with("0X"))
            && !self.text.contains(['p', 'P']);
        !hex && !self.text.starts_with('\'') && self.text.contains(['.', 'e', 'E', 'p', 'P'])
    }
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i128::from(parse_uint(digits)?);
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn parse_uint(text: &str) -> Option<u64> {
    if !underscores_are_fine(text) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = if let Some(hex) = lower.strip_prefix("0x") {
        (hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (octal, 8)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (binary, 2)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()
}

/// Underscores stand between digits, or between the base prefix and a digit.
fn underscores_are_fine(text: &str) -> bool {
    let bytes = text.as_bytes();
    let prefixed = bytes.len() > 1 && bytes[0] == b'0' && bytes[1].is_ascii_alphabetic();
    bytes.iter().enumerate().all(|(i, byte)| {
        *byte != b'_'
            || (i > 0
                && i + 1 < bytes.len()
                && bytes[i + 1].is_ascii_hexdigit()
                && (bytes[i - 1].is_ascii_hexdigit() || (prefixed && i == 2) || (i == 1 && bytes[0] == b'0')))
    })
}

/// Decimal and hexadecimal floats.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    if !underscores_are_fine(text.trim_start_matches(['+', '-'])) {
        return None;
    }
    let text = text.replace('_', "").to_ascii_lowercase();
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest.to_owned()),
        None => (1.0, text.strip_prefix('+').unwrap_or(&text).to_owned()),
    };
    if let Some(hex) = magnitude.strip_prefix("0x") {
        let (mantissa, exponent) = hex.split_once('p')?;
        let exponent: i32 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let value = u64::from_str_radix(&digits, 16).ok()? as f64;
        return Some(sign * value * 2f64.powi(exponent - 4 * fraction.len() as i32));
    }
    if !magnitude.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let value: f64 = magnitude.parse().ok()?;
    value.is_finite().then_some(sign * value)
}

/// A string constant without its quotes.
pub(crate) fn unquote(text: &str) -> Result<String, String> {
    let invalid = || "invalid syntax".to_owned();
    if let Some(raw) = text.strip_prefix('`') {
        return Ok(raw.strip_suffix('`').ok_or_else(invalid)?.replace('\r', ""));
    }
    let mut rest = text.strip_prefix('"').ok_or_else(invalid)?;
    let mut bytes = Vec::new();
    loop {
        if rest == "\"" {
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        if let Some((byte, tail)) = unquote_byte(rest) {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let (c, tail) = unquote_char(rest, '"').ok_or_else(invalid)?;
        bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = tail;
    }
}

/// `\x41` and `\101` are bytes, not characters.
fn unquote_byte(text: &str) -> Option<(u8, &str)> {
    let escape = text.strip_prefix('\\')?;
    if let Some(hex) = escape.strip_prefix('x') {
        return Some((u8::from_str_radix(hex.get(..2)?, 16).ok()?, &hex[2..]));
    }
    let octal = escape.get(..3)?;
    if octal.bytes().all(|byte| (b'0'..=b'7').contains(&byte)) {
        return Some((u8::try_from(u32::from_str_radix(octal, 8).ok()?).ok()?, &escape[3..]));
    }
    None
}

/// One character of a constant in `quote`s, and what follows.
fn unquote_char(text: &str, quote: char) -> Option<(char, &str)> {
    if let Some((byte, rest)) = unquote_byte(text) {
        return Some((char::from(byte), rest));
    }
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == quote || first == '\n' {
        return None;
    }
    if first != '\\' {
        return Some((first, chars.as_str()));
    }
    let escape = chars.next()?;
    let rest = chars.as_str();
    let c = match escape {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        '\\' => '\\',
        '\'' | '"' if escape == quote => escape,
        'u' | 'U' => {
            let length = if escape == 'u' { 4 } else { 8 };
            let code = u32::from_str_radix(rest.get(..length)?, 16).ok()?;
            return Some((char::from_u32(code)?, &rest[length..]));
        }
        _ => return None,
    };
    Some((c, rest))
}

/// `text` in double quotes, as `strconv.Quote` writes it.
pub(crate) fn quote(text: &str) -> String {
    quote_with(text, '"', false)
}

/// `text` in `mark`s; `ascii` escapes everything beyond ASCII.
pub(crate) fn quote_with(text: &str, mark: char, ascii: bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(mark);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            c if c == mark => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if !is_printable(c) || (ascii && !c.is_ascii()) => {
                let code = c as u32;
                quoted.push_str(&if code < 0x10000 {
                    format!("\\u{code:04x}")
                } else {
                    format!("\\U{code:08x}")
                });
            }
            c => quoted.push(c),
        }
    }
    quoted.push(mark);
    quoted
}

/// Close to Go's `unicode.IsPrint`: no controls, no spaces but the ASCII one, no unassigned or private characters that
/// matter in practice.
pub(crate) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let code = c as u32;
    !(c.is_control()
        || c.is_whitespace()
        || matches!(code, 0xad | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff0..=0xfffb)
        || (0xe000..=0xf8ff).contains(&code)
        || code >= 0xe0000
        || code & 0xfffe == 0xfffe)
}
