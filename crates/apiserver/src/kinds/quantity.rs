//! Quantities (`500m`, `1Gi`) in the one form in which the original prints them.

/// A quantity as a number of nano units and the family of its suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quantity {
    nano: i128,
    family: Family,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// What the original says of a text that is no quantity.
pub(crate) const SYNTAX: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// The canonical form; `None` if the text is no quantity.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let quantity = parse(text)?;
    Some(print(quantity))
}

/// `true` if `a` is more than `b`; `false` also if one of them is no quantity.
pub(crate) fn exceeds(a: &str, b: &str) -> bool {
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a.nano > b.nano)
}

fn parse(text: &str) -> Option<Quantity> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = i32::try_from(fraction.len()).ok()?;
    let (nano, family) = if let Some((_, power)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        let scaled = digits.checked_mul(1i128 << power)?;
        (shift(scaled, 9 - scale)?, Family::Binary)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        (shift(digits, 9 - scale + power)?, Family::Decimal)
    } else {
        let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        (shift(digits, 9 - scale + exponent)?, Family::Exponent)
    };
    Some(Quantity { nano: nano * sign, family })
}

/// `value × 10^power`, rounded up, as the original does with what is finer than a nano unit.
fn shift(value: i128, power: i32) -> Option<i128> {
    if power >= 0 {
        return value.checked_mul(10i128.checked_pow(power.unsigned_abs())?);
    }
    let divisor = 10i128.checked_pow(power.unsigned_abs())?;
    Some(value.div_euclid(divisor) + i128::from(value.rem_euclid(divisor) != 0))
}

fn print(quantity: Quantity) -> String {
    let Quantity { nano, family } = quantity;
    if nano == 0 {
        return "0".into();
    }
    if family == Family::Binary && nano % NANO == 0 {
        let whole = nano / NANO;
        // Below 1Ki the original prints such a value in decimal form.
        if whole.abs() >= 1024 {
            for (suffix, power) in BINARY.iter().rev() {
                if whole % (1i128 << power) == 0 {
                    return format!("{}{suffix}", whole >> power);
                }
            }
            return whole.to_string();
        }
    }
    for (suffix, power) in DECIMAL.iter().rev() {
        let Some(unit) = shift(NANO, *power).filter(|unit| *unit > 0) else { continue };
        if nano % unit == 0 {
            return match (family, *power) {
                (Family::Exponent, 0) => (nano / unit).to_string(),
                (Family::Exponent, power) => format!("{}e{power}", nano / unit),
                _ => format!("{}{suffix}", nano / unit),
            };
        }
    }
    nano.to_string()
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn quantities_take_the_largest_suffix_that_fits_their_family() {
        for (text, wanted) in [
            ("1000m", "1"),
            ("1024Mi", "1Gi"),
            ("1500Mi", "1500Mi"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1e3"),
            ("2000", "2k"),
            ("0Gi", "0"),
            ("512", "512"),
            ("512Ki", "512Ki"),
            ("1000Ki", "1000Ki"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(wanted), "{text}");
        }
        for text in ["abc", "", "1.2.3", "1Xi"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
