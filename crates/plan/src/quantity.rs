//! Sums of Kubernetes quantities, as far as sizes of storage need them.

/// Suffixes with powers of two, largest first, and of ten.
const BINARY: [(&str, u128); 6] =
    [("Ei", 1 << 60), ("Pi", 1 << 50), ("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
const DECIMAL: [(&str, u128); 6] = [
    ("E", 1_000_000_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("k", 1_000),
];

/// `a + b` in the format of `a`; `b` if either is not a whole number of bytes.
pub(crate) fn sum(a: &str, b: &str) -> String {
    match (bytes(a), bytes(b)) {
        (Some(first), Some(second)) => print(first + second, is_binary(a)),
        _ => b.to_owned(),
    }
}

fn is_binary(text: &str) -> bool {
    BINARY.iter().any(|(suffix, _)| text.ends_with(suffix))
}

fn bytes(text: &str) -> Option<u128> {
    let text = text.trim();
    let (number, factor) = BINARY
        .iter()
        .chain(&DECIMAL)
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1));
    match number.split_once('.') {
        None => Some(number.parse::<u128>().ok()? * factor),
        Some((whole, fraction)) => {
            let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let parts = fraction.parse::<u128>().ok()? * factor;
            if parts % scale != 0 {
                return None;
            }
            Some(whole.parse::<u128>().ok()? * factor + parts / scale)
        }
    }
}

/// The largest suffix that leaves a whole number, as Kubernetes prints quantities.
fn print(bytes: u128, binary: bool) -> String {
    let units = if binary { &BINARY } else { &DECIMAL };
    units
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| bytes.to_string(), |(suffix, factor)| format!("{}{suffix}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn sizes_add_up_in_the_format_of_the_first() {
        assert_eq!(sum("1Gi", "2Gi"), "3Gi");
        assert_eq!(sum("512Mi", "1Gi"), "1536Mi");
        assert_eq!(sum("1G", "500M"), "1500M");
        assert_eq!(sum("1.5Gi", "512Mi"), "2Gi");
    }
}
