//! Kubernetes quantities: read, compared, and written in their canonical form.
//!
//! A decoded quantity forgets how it was written, so `1024Mi` comes back as `1Gi` and `0.5` as `500m`. Whoever compares
//! with what an API server stores has to write it the same way. Precision is one billionth; finer amounts round away
//! from zero, as in Kubernetes.

use std::fmt;

/// An amount, in billionths, and the family of suffixes it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    /// The amount times 10⁹.
    nanos: i128,
    format: Format,
}

/// Families of suffixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// n, u, m, k, M, G, T, P, E
    Decimal,
    /// Ki, Mi, Gi, Ti, Pi, Ei
    Binary,
    /// e3, E6
    Exponent,
}

/// The text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a quantity; write a number with a suffix such as m, k, M, G, Ki, Mi or Gi")]
pub struct NotAQuantity(pub String);

const NANOS: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
/// From 10⁻⁹ up, in steps of 10³.
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Self, NotAQuantity> {
        read(text).ok_or_else(|| NotAQuantity(text.to_owned()))
    }

    /// The amount in whole units, rounded up. For memory: bytes.
    pub fn ceil(&self) -> i128 {
        self.nanos.div_euclid(NANOS) + i128::from(self.nanos.rem_euclid(NANOS) != 0)
    }

    /// The amount in thousandths, rounded up. For processors: millicores.
    pub fn ceil_milli(&self) -> i128 {
        self.nanos.div_euclid(1_000_000) + i128::from(self.nanos.rem_euclid(1_000_000) != 0)
    }

    /// Whether the amount is nothing.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }
}

/// Rewrites `text` in canonical form.
pub fn canonical(text: &str) -> Result<String, NotAQuantity> {
    Quantity::parse(text).map(|quantity| quantity.to_string())
}

fn read(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(digits_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let (format, factor, power) = scale(suffix)?;
    // mantissa × factor × 10^power, with the point moved to the end of the fraction.
    let mantissa: i128 = format!("{whole}{fraction}").parse().ok()?;
    let mut scaled = mantissa.checked_mul(factor)?;
    let power = power + 9 - i32::try_from(fraction.len()).ok()?;
    scaled = if power >= 0 {
        scaled.checked_mul(10i128.checked_pow(power.unsigned_abs())?)?
    } else {
        match 10i128.checked_pow(power.unsigned_abs()) {
            Some(divisor) => scaled / divisor + i128::from(scaled % divisor != 0),
            None => i128::from(scaled != 0),
        }
    };
    Some(Quantity { nanos: if negative { -scaled } else { scaled }, format })
}

fn scale(suffix: &str) -> Option<(Format, i128, i32)> {
    if let Some(index) = BINARY.iter().position(|known| *known == suffix).filter(|index| *index > 0) {
        return Some((Format::Binary, 1i128 << (10 * index), 0));
    }
    if let Some(index) = DECIMAL.iter().position(|known| *known == suffix) {
        return Some((Format::Decimal, 1, 3 * (i32::try_from(index).ok()? - 3)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?;
    let power: i32 = exponent.parse().ok().filter(|power: &i32| power.abs() <= 30)?;
    Some((Format::Exponent, 1, power))
}

/// The canonical form: no fraction, the largest suffix that leaves a whole number.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let is_whole = self.nanos % NANOS == 0;
        if self.format == Format::Binary && is_whole && self.nanos.abs() >= 1024 * NANOS {
            let mut number = self.nanos / NANOS;
            let mut step = 0;
            while number % 1024 == 0 && step + 1 < BINARY.len() {
                number /= 1024;
                step += 1;
            }
            return write!(f, "{number}{}", BINARY[step]);
        }
        let mut number = self.nanos;
        let mut step = 0;
        while number % 1000 == 0 && step + 1 < DECIMAL.len() {
            number /= 1000;
            step += 1;
        }
        match (self.format, 3 * step as i32 - 9) {
            (Format::Exponent, 0) => write!(f, "{number}"),
            (Format::Exponent, power) => write!(f, "{number}e{power}"),
            _ => write!(f, "{number}{}", DECIMAL[step]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Quantity, canonical};

    #[test]
    fn quantities_come_back_in_their_canonical_form() {
        let cases = [
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("1000m", "1"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("512Ki", "512Ki"),
            ("1023", "1023"),
            ("0.1Gi", "107374182400m"),
            ("1Ki", "1Ki"),
            ("0", "0"),
            ("0Gi", "0"),
            ("-2", "-2"),
            ("1e3", "1e3"),
            ("100e1", "1e3"),
            (".5", "500m"),
            ("1e0", "1"),
        ];
        for (written, stored) in cases {
            assert_eq!(canonical(written).as_deref(), Ok(stored), "{written}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_without_panic() {
        for text in [
            "",
            "-",
            ".",
            "1.2.3",
            "1gb",
            "abc",
            "1e99999",
            "999999999999999999999999999999999999999999E",
            "é",
        ] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_round_up() {
        let quantity = |text| Quantity::parse(text).unwrap();
        assert_eq!(quantity("10Gi").ceil(), 10 << 30);
        assert_eq!(quantity("1500m").ceil(), 2);
        assert_eq!(quantity("0.25").ceil_milli(), 250);
        assert!(quantity("0Mi").is_zero());
    }
}
