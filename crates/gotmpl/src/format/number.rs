//! Numbers by their verbs.

use std::fmt::Write;

use super::verbs::Flags;
use crate::literal::is_printable;

/// Where `%g` without a precision goes over to an exponent.
const SHORTEST_DIGITS: i32 = 6;
/// More digits than any float has; what is asked for beyond them is zeros.
const MAX_DIGITS: usize = 1100;

/// `text` at the width that is asked for.
pub(super) fn pad(out: &mut String, text: &str, flags: &Flags, zero: bool) {
    let fill = flags.width.unwrap_or(0).saturating_sub(text.chars().count());
    if flags.minus {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', fill));
    } else {
        out.extend(std::iter::repeat_n(if zero { '0' } else { ' ' }, fill));
        out.push_str(text);
    }
}

/// A signed integer; `None` if the verb is not one of integers.
pub(super) fn signed(int: i64, verb: char, flags: &Flags) -> Option<String> {
    integer(int.unsigned_abs(), int < 0, verb, flags)
}

/// An unsigned integer; `None` if the verb is not one of integers.
pub(super) fn unsigned(uint: u64, verb: char, flags: &Flags) -> Option<String> {
    integer(uint, false, verb, flags)
}

fn integer(magnitude: u64, negative: bool, verb: char, flags: &Flags) -> Option<String> {
    let digits = match verb {
        'd' | 'v' => magnitude.to_string(),
        'b' => format!("{magnitude:b}"),
        'o' | 'O' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        _ => return None,
    };
    let sign = match (negative, flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let at_least = match (flags.precision, flags.width) {
        (Some(0), _) if magnitude == 0 => return Some(String::new()),
        (Some(precision), _) => precision,
        (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(sign.len()),
        _ => 0,
    };
    let zeros = at_least.saturating_sub(digits.len());
    let prefix = match verb {
        'O' if flags.sharp && zeros == 0 && !digits.starts_with('0') => "0o0",
        'O' => "0o",
        'o' if flags.sharp && zeros == 0 && !digits.starts_with('0') => "0",
        'x' if flags.sharp => "0x",
        'X' if flags.sharp => "0X",
        'b' if flags.sharp => "0b",
        _ => "",
    };
    Some(format!("{sign}{prefix}{}{digits}", "0".repeat(zeros)))
}

/// `U+4E16`, and the character behind it if that is asked for.
pub(super) fn code_point(code: u64, c: Option<char>, flags: &Flags) -> String {
    let digits = format!("{code:X}");
    let zeros = flags.precision.unwrap_or(4).max(4).saturating_sub(digits.len());
    let shown = match c.filter(|c| flags.sharp && is_printable(*c)) {
        Some(c) => format!(" '{c}'"),
        None => String::new(),
    };
    format!("U+{}{digits}{shown}", "0".repeat(zeros))
}

/// A float at its width; `None` if the verb is not one of floats.
pub(super) fn float(float: f64, verb: char, flags: &Flags) -> Option<String> {
    let (verb, default) = match verb {
        'v' => ('g', None),
        'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
        'f' | 'e' | 'E' => (verb, Some(6)),
        'F' => ('f', Some(6)),
        _ => return None,
    };
    let precision = flags.precision.or(default);
    let mut number = digits(float.abs(), verb, precision);
    let sign = match (float.is_sign_negative() && !float.is_nan(), flags.plus, flags.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    };
    let mut out = String::new();
    if !float.is_finite() {
        // Infinity always shows its sign.
        let sign = if float.is_infinite() && sign.is_empty() { "+" } else { sign };
        pad(&mut out, &format!("{sign}{number}"), flags, false);
        return Some(out);
    }
    if flags.sharp && verb != 'b' {
        number = with_point(&number, verb, precision);
    }
    // Zeros stand between the sign and the number.
    let width = flags.width.unwrap_or(0);
    if flags.zero && !flags.minus && width > sign.len() + number.len() {
        number.insert_str(0, &"0".repeat(width - sign.len() - number.len()));
    }
    pad(&mut out, &format!("{sign}{number}"), flags, false);
    Some(out)
}

/// `%#g`: always a point, and zeros up to the precision.
fn with_point(number: &str, verb: char, precision: Option<usize>) -> String {
    let is_hexadecimal = matches!(verb, 'x' | 'X');
    let mut wanted = match verb {
        'g' | 'G' | 'x' => precision.unwrap_or(6),
        _ => 0,
    };
    let ends = |c: char| matches!(c, 'p' | 'P') || !is_hexadecimal && matches!(c, 'e' | 'E');
    let (body, tail) = number.split_at(number.find(ends).unwrap_or(number.len()));
    let significant = body.chars().filter(|c| *c != '.').skip_while(|c| *c == '0').count();
    wanted = wanted.saturating_sub(significant);
    let mut out = body.to_owned();
    if !body.contains('.') {
        if body == "0" {
            wanted = wanted.saturating_sub(1);
        }
        out.push('.');
    }
    out.extend(std::iter::repeat_n('0', wanted));
    out + tail
}

/// The digits of a float that is not negative, as `strconv.FormatFloat` gives them; infinity without its sign.
fn digits(float: f64, verb: char, precision: Option<usize>) -> String {
    if float.is_nan() {
        return "NaN".to_owned();
    }
    if float.is_infinite() {
        return "Inf".to_owned();
    }
    match verb {
        'b' => binary(float),
        'x' => hexadecimal(float, precision),
        'X' => hexadecimal(float, precision).to_uppercase(),
        'e' => exponential(float, precision.unwrap_or(6)),
        'E' => exponential(float, precision.unwrap_or(6)).to_uppercase(),
        'G' => general(float, precision).to_uppercase(),
        'f' => {
            let precision = precision.unwrap_or(6);
            let mut text = format!("{float:.*}", precision.min(MAX_DIGITS));
            text.extend(std::iter::repeat_n('0', precision.saturating_sub(MAX_DIGITS)));
            text
        }
        _ => general(float, precision),
    }
}

/// Mantissa, and the exponent to the base of 2 of its bit 52.
fn parts(float: f64) -> (u64, i32) {
    let bits = float.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52 & 0x7ff) as i32 {
        0 => (fraction, -1022),
        exponent => (fraction | 1 << 52, exponent - 1023),
    }
}

/// `4503599627370496p-52`
fn binary(float: f64) -> String {
    let (mantissa, exponent) = parts(float);
    format!("{mantissa}p{:+}", exponent - 52)
}

/// `0x1.8p+00`, as many digits as needed or asked for.
fn hexadecimal(float: f64, precision: Option<usize>) -> String {
    let (mut mantissa, mut exponent) = parts(float);
    if mantissa == 0 {
        exponent = 0;
    } else {
        // The first bit goes to place 60, so that four bits make a digit and there is room for a carry.
        let shift = mantissa.leading_zeros() as i32 - 3;
        mantissa <<= shift;
        exponent -= shift - 8;
    }
    if let Some(precision @ 0..15) = precision {
        let shift = 4 * precision;
        let extra = (mantissa << shift) & ((1 << 60) - 1);
        mantissa >>= 60 - shift;
        if extra | (mantissa & 1) > 1 << 59 {
            mantissa += 1;
        }
        mantissa <<= 60 - shift;
        if mantissa & 1 << 61 != 0 {
            mantissa >>= 1;
            exponent += 1;
        }
    }
    let mut out = format!("0x{}", mantissa >> 60 & 1);
    let mut rest = mantissa << 4;
    let mut left = precision;
    if left.map_or(rest != 0, |left| left > 0) {
        out.push('.');
    }
    while left.map_or(rest != 0, |left| left > 0) {
        let _ = write!(out, "{:x}", rest >> 60);
        rest <<= 4;
        left = left.map(|left| left - 1);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "p{sign}{:02}", exponent.unsigned_abs());
    out
}

/// `1.5e+05`
fn exponential(float: f64, precision: usize) -> String {
    let text = format!("{float:.*e}", precision.min(MAX_DIGITS));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let zeros = "0".repeat(precision.saturating_sub(MAX_DIGITS));
    with_exponent(&format!("{mantissa}{zeros}"), exponent.parse().unwrap_or(0))
}

/// Rust writes `1e5`, Go `1e+05`.
fn with_exponent(mantissa: &str, exponent: i32) -> String {
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The shortest text, or as many digits as asked for; with an exponent if that is below -4 or not below the precision.
fn general(float: f64, precision: Option<usize>) -> String {
    let text = match precision {
        Some(precision) => format!("{float:.*e}", precision.clamp(1, MAX_DIGITS) - 1),
        None => format!("{float:e}"),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    let threshold = precision.map_or(SHORTEST_DIGITS, |precision| precision.clamp(1, MAX_DIGITS) as i32);
    if exponent < -4 || exponent >= threshold {
        return with_exponent(mantissa, exponent);
    }
    let digits = mantissa.chars().filter(char::is_ascii_digit).count() as i32;
    format!("{float:.*}", (digits - 1 - exponent).max(0) as usize)
}
