//! `printf`, as Go's `fmt` does it.

use crate::literal::{is_printable, quote_with};
use crate::print::{MAX_BYTES, Style, write_plain};
use crate::value::Value;

#[derive(Debug, Default, Clone)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// Where `%v` and `%g` without a precision go over to an exponent.
const SHORTEST_DIGITS: i32 = 6;

/// The most that a width or precision may ask for, as in Go.
const MAX_NUMBER: usize = 1_000_000;

/// `format` with its verbs replaced.
pub(crate) fn sprintf(format: &str, args: &[Value<'_>]) -> String {
    let mut printer = Printer {
        chars: format.chars().collect(),
        at: 0,
        args,
        arg: 0,
        reordered: false,
        out: String::new(),
    };
    printer.run();
    printer.out
}

struct Printer<'p, 'a> {
    chars: Vec<char>,
    at: usize,
    args: &'p [Value<'a>],
    arg: usize,
    reordered: bool,
    out: String,
}

impl Printer<'_, '_> {
    fn run(&mut self) {
        while self.at < self.chars.len() && self.out.len() <= MAX_BYTES {
            let c = self.chars[self.at];
            self.at += 1;
            if c == '%' {
                self.verb();
            } else {
                self.out.push(c);
            }
        }
        if !self.reordered && self.arg < self.args.len() {
            self.out.push_str("%!(EXTRA ");
            for (i, arg) in self.args[self.arg..].iter().enumerate() {
                if i > 0 {
                    self.out.push_str(", ");
                }
                match arg.concrete() {
                    Value::Nothing => self.out.push_str("<nil>"),
                    arg => {
                        self.out.push_str(&arg.type_name());
                        self.out.push('=');
                        write_plain(&mut self.out, &arg, Style::Plain, 0);
                    }
                }
            }
            self.out.push(')');
        }
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn verb(&mut self) {
        let mut flags = Flags::default();
        let mut good_index = true;
        let mut after_index = false;
        self.reordered = false;
        while let Some(c) = self.peek() {
            match c {
                '+' => flags.plus = true,
                '-' => {
                    flags.minus = true;
                    flags.zero = false;
                }
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = !flags.minus,
                _ => break,
            }
            self.at += 1;
        }
        self.index(&mut good_index, &mut after_index);
        if self.peek() == Some('*') {
            self.at += 1;
            match self.int_arg() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.zero &= width >= 0;
                    flags.width = Some(width.unsigned_abs() as usize);
                }
                None => self.out.push_str("%!(BADWIDTH)"),
            }
            after_index = false;
        } else {
            flags.width = self.number();
            if after_index && flags.width.is_some() {
                good_index = false;
            }
        }
        if self.peek() == Some('.') {
            self.at += 1;
            if after_index {
                good_index = false;
            }
            self.index(&mut good_index, &mut after_index);
            if self.peek() == Some('*') {
                self.at += 1;
                match self.int_arg() {
                    Some(precision) if precision >= 0 => flags.precision = Some(precision as usize),
                    Some(_) => {}
                    None => self.out.push_str("%!(BADPREC)"),
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number().unwrap_or(0));
            }
        }
        if !after_index {
            self.index(&mut good_index, &mut after_index);
        }
        let Some(verb) = self.peek() else {
            self.out.push_str("%!(NOVERB)");
            return;
        };
        self.at += 1;
        if verb == '%' {
            self.out.push('%');
        } else if !good_index {
            self.out.push_str(&format!("%!{verb}(BADINDEX)"));
        } else if self.arg >= self.args.len() {
            self.out.push_str(&format!("%!{verb}(MISSING)"));
        } else {
            let arg = self.args[self.arg].concrete();
            self.arg += 1;
            let text = format_arg(&arg, verb, &flags, 0);
            self.out.push_str(&text);
        }
    }

    fn number(&mut self) -> Option<usize> {
        let start = self.at;
        let mut number = 0usize;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            number = (number * 10 + digit as usize).min(MAX_NUMBER + 1);
            self.at += 1;
        }
        (self.at > start && number <= MAX_NUMBER).then_some(number)
    }

    fn int_arg(&mut self) -> Option<i64> {
        let arg = self.args.get(self.arg)?.concrete();
        self.arg += 1;
        match arg {
            Value::Int(int) if int.unsigned_abs() <= MAX_NUMBER as u64 => Some(int),
            Value::Uint(uint) if uint <= MAX_NUMBER as u64 => Some(uint as i64),
            _ => None,
        }
    }

    /// `[n]` chooses the next argument.
    fn index(&mut self, good: &mut bool, after: &mut bool) {
        if self.peek() != Some('[') {
            return;
        }
        self.reordered = true;
        let Some(close) = self.chars[self.at..].iter().position(|c| *c == ']') else {
            *good = false;
            self.at += 1;
            return;
        };
        let text: String = self.chars[self.at + 1..self.at + close].iter().collect();
        self.at += close + 1;
        *after = true;
        match text.parse::<usize>() {
            Ok(number) if (1..=self.args.len()).contains(&number) => self.arg = number - 1,
            _ => *good = false,
        }
    }
}

fn pad(text: String, flags: &Flags) -> String {
    let length = text.chars().count();
    match flags.width {
        Some(width) if width > length => {
            let fill = width - length;
            if flags.minus {
                text + &" ".repeat(fill)
            } else if flags.zero {
                "0".repeat(fill) + &text
            } else {
                " ".repeat(fill) + &text
            }
        }
        _ => text,
    }
}

fn pad_with_spaces(text: String, flags: &Flags) -> String {
    pad(text, &Flags { zero: false, ..flags.clone() })
}

fn bad(arg: &Value<'_>, verb: char, flags: &Flags) -> String {
    match arg {
        Value::Nothing => format!("%!{verb}(<nil>)"),
        arg => format!("%!{verb}({}={})", arg.type_name(), format_arg(arg, 'v', flags, 0)),
    }
}

fn format_arg(arg: &Value<'_>, verb: char, flags: &Flags, depth: usize) -> String {
    if verb == 'T' {
        return pad_with_spaces(arg.type_name().into_owned(), flags);
    }
    match arg {
        Value::Nothing | Value::Any(None) => match verb {
            'v' => pad_with_spaces("<nil>".to_owned(), flags),
            verb => bad(&Value::Nothing, verb, flags),
        },
        Value::Any(Some(inner)) => format_arg(inner, verb, flags, depth),
        Value::Bool(truth) => match verb {
            't' | 'v' => pad_with_spaces(truth.to_string(), flags),
            _ => bad(arg, verb, flags),
        },
        Value::Int(int) => integer(arg, int.unsigned_abs(), *int < 0, verb, flags),
        Value::Uint(uint) => integer(arg, *uint, false, verb, flags),
        Value::Float(float) => float_verb(*float, verb, flags).unwrap_or_else(|| bad(arg, verb, flags)),
        Value::Complex(real, imaginary) => match (float_verb(*real, verb, flags), verb) {
            (Some(real), _) => {
                let with_sign = Flags { plus: true, ..flags.clone() };
                format!("({real}{}i)", float_verb(*imaginary, verb, &with_sign).unwrap_or_default())
            }
            (None, _) => bad(arg, verb, flags),
        },
        Value::String(text) => string(arg, text, verb, flags),
        Value::Struct(data) if data.text().is_some() => {
            let text = data.text().unwrap_or_default();
            string(arg, &text, verb, flags)
        }
        Value::Pointer(pointer) => match (&pointer.target, verb) {
            (None, 'v') => pad_with_spaces("<nil>".to_owned(), flags),
            (None, verb) => format!("%!{verb}({}=<nil>)", pointer.type_name),
            (Some(Value::Struct(data)), verb) if data.text().is_some() => {
                let text = data.text().unwrap_or_default();
                string(arg, &text, verb, flags)
            }
            (Some(target @ (Value::Struct(_) | Value::Map(_) | Value::List(_))), verb)
                if depth == 0 && verb != 'p' =>
            {
                format!("&{}", format_arg(target, verb, flags, depth + 1))
            }
            _ => "0xc000000000".to_owned(),
        },
        Value::List(list) => {
            let items = list.items.iter().map(|item| format_arg(item, verb, flags, depth + 1));
            format!("[{}]", spaced(items))
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, item)| {
                let key = string(&Value::String(key.clone()), key, verb, flags);
                format!("{key}:{}", format_arg(item, verb, flags, depth + 1))
            });
            format!("map[{}]", spaced(entries))
        }
        Value::Struct(data) => {
            let fields = data.field_names().into_iter().map(|name| {
                let value = format_arg(&data.field(&name).unwrap_or_default(), verb, flags, depth + 1);
                if flags.plus && verb == 'v' { format!("{name}:{value}") } else { value }
            });
            format!("{{{}}}", spaced(fields))
        }
        Value::Function(_) => "0x1000000".to_owned(),
    }
}

/// The words with a space between them, as far as a text may go.
fn spaced(words: impl Iterator<Item = String>) -> String {
    let mut out = String::new();
    for (i, word) in words.enumerate() {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(&word);
        if out.len() > MAX_BYTES {
            break;
        }
    }
    out
}

fn string(arg: &Value<'_>, text: &str, verb: char, flags: &Flags) -> String {
    let cut: String = match flags.precision {
        Some(precision) if matches!(verb, 'v' | 's' | 'q') => text.chars().take(precision).collect(),
        _ => text.to_owned(),
    };
    match verb {
        'v' if flags.sharp => pad(quote_with(&cut, '"', false), flags),
        'v' | 's' => pad(cut, flags),
        'q' if flags.sharp && !cut.contains('`') && cut.chars().all(|c| c == '\t' || !c.is_control()) => {
            pad(format!("`{cut}`"), flags)
        }
        'q' => pad(quote_with(&cut, '"', flags.plus), flags),
        'x' | 'X' => {
            let bytes = text.as_bytes();
            let bytes = &bytes[..flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
            let hex: Vec<String> = bytes
                .iter()
                .map(|byte| if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") })
                .collect();
            let prefix = if flags.sharp && !hex.is_empty() { format!("0{verb}") } else { String::new() };
            let joined = if flags.space { hex.join(&format!(" {prefix}")) } else { hex.concat() };
            pad(prefix + &joined, flags)
        }
        verb => bad(arg, verb, flags),
    }
}

fn integer(arg: &Value<'_>, magnitude: u64, negative: bool, verb: char, flags: &Flags) -> String {
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        'c' | 'q' | 'U' => {
            let c = u32::try_from(magnitude)
                .ok()
                .filter(|_| !negative)
                .and_then(char::from_u32)
                .unwrap_or('\u{fffd}');
            return match verb {
                'c' => pad(c.to_string(), flags),
                'q' => pad(quote_with(&c.to_string(), '\'', flags.plus), flags),
                _ => {
                    let width = flags.precision.unwrap_or(4).max(4);
                    let code = format!("U+{magnitude:0width$X}");
                    let shown = if flags.sharp && is_printable(c) { format!("{code} '{c}'") } else { code };
                    pad_with_spaces(shown, flags)
                }
            };
        }
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 's' | 't' => return bad(arg, verb, flags),
        verb => return bad(arg, verb, flags),
    };
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let mut prefix = match verb {
        'O' => "0o",
        'x' if flags.sharp => "0x",
        'X' if flags.sharp => "0X",
        'b' if flags.sharp => "0b",
        _ => "",
    };
    let mut digits = digits;
    match (flags.precision, flags.width) {
        (Some(0), _) if magnitude == 0 => return pad_with_spaces(String::new(), flags),
        (Some(precision), _) => digits = format!("{digits:0>precision$}"),
        (None, Some(width)) if flags.zero && !flags.minus => {
            let width = width.saturating_sub(usize::from(!sign.is_empty()));
            digits = format!("{digits:0>width$}");
        }
        _ => {}
    }
    if verb == 'o' && flags.sharp && !digits.starts_with('0') {
        prefix = "0";
    }
    pad_with_spaces(format!("{sign}{prefix}{digits}"), flags)
}

fn float_verb(float: f64, verb: char, flags: &Flags) -> Option<String> {
    let magnitude = float.abs();
    let body = match verb {
        'v' => float_g(magnitude, flags.precision),
        'g' => float_g(magnitude, flags.precision),
        'G' => float_g(magnitude, flags.precision).to_uppercase(),
        'e' => float_e(magnitude, flags.precision.unwrap_or(6)),
        'E' => float_e(magnitude, flags.precision.unwrap_or(6)).to_uppercase(),
        'f' | 'F' => fixed(magnitude, flags.precision.unwrap_or(6)),
        'x' | 'X' if magnitude.is_finite() && flags.precision.is_none() => {
            let hex = hexadecimal(magnitude);
            if verb == 'X' { hex.to_uppercase() } else { hex }
        }
        _ => return None,
    };
    let finite = float.is_finite();
    let sign = match (float.is_sign_negative() && !float.is_nan(), flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    if flags.zero && !flags.minus && finite {
        let width = flags.width.unwrap_or(0).saturating_sub(sign.len());
        return Some(format!("{sign}{body:0>width$}"));
    }
    let sign = if float.is_infinite() && sign.is_empty() { "+" } else { sign };
    Some(pad_with_spaces(format!("{sign}{body}"), flags))
}

/// `0x1.8p+00`, as many digits as needed.
fn hexadecimal(float: f64) -> String {
    if float == 0.0 {
        return "0x0p+00".to_owned();
    }
    let bits = float.to_bits();
    let mut exponent = (bits >> 52 & 0x7ff) as i32 - 1023;
    let mut fraction = bits & ((1 << 52) - 1);
    if exponent == -1023 {
        // Denormal: move the first bit in front of the point.
        let shift = fraction.leading_zeros() as i32 - 11;
        fraction = (fraction << shift) & ((1 << 52) - 1);
        exponent = -1022 - shift;
    }
    let digits = format!("{fraction:013x}");
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("0x1{point}{digits}p{sign}{:02}", exponent.abs())
}

fn fixed(float: f64, precision: usize) -> String {
    if float.is_finite() { format!("{float:.precision$}") } else { not_finite(float) }
}

fn not_finite(float: f64) -> String {
    match float {
        float if float.is_nan() => "NaN".to_owned(),
        float if float < 0.0 => "-Inf".to_owned(),
        _ => "Inf".to_owned(),
    }
}

fn float_e(float: f64, precision: usize) -> String {
    if float.is_finite() { go_exponent(&format!("{float:.precision$e}")) } else { not_finite(float) }
}

/// Rust writes `1e5`, Go `1e+05`.
fn go_exponent(text: &str) -> String {
    let Some((mantissa, exponent)) = text.split_once('e') else { return text.to_owned() };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The shortest text, or as many digits as asked for; with an exponent if that is below -4 or not below the precision
/// (6 for the shortest text).
pub(crate) fn float_g(float: f64, precision: Option<usize>) -> String {
    let threshold = precision.map_or(SHORTEST_DIGITS, |precision| precision.max(1) as i32);
    if !float.is_finite() {
        return if float.is_infinite() && float > 0.0 { "+Inf".to_owned() } else { not_finite(float) };
    }
    let scientific = match precision {
        Some(precision) => format!("{float:.*e}", precision.max(1) - 1),
        None => format!("{float:e}"),
    };
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa = if precision.is_some() && mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    if exponent < -4 || exponent >= threshold {
        return go_exponent(&format!("{mantissa}e{exponent}"));
    }
    let digits = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
    let decimals = (digits - 1 - exponent).max(0) as usize;
    format!("{float:.decimals$}")
}
