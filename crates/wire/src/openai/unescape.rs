//! JSON strings without their escapes, appended to a buffer: a prompt is long, and most of it has none.

use serde_json::value::RawValue;

/// Appends what a JSON string says, as UTF-8; false, and nothing appended, if it is no string. Half of a surrogate pair
/// without the other, which Python's parser accepts, becomes U+FFFD.
pub(super) fn append_text(raw: &RawValue, out: &mut Vec<u8>) -> bool {
    let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return false;
    };
    let mut rest = inner.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = append_escape(&rest[at + 1..], out);
    }
    out.extend_from_slice(rest);
    true
}

/// Appends what stands for the escape that `rest` begins with, and returns what follows it.
fn append_escape<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((kind, after)) = rest.split_first() else { return rest };
    let byte = match kind {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 0x08,
        b'f' => 0x0c,
        b'u' => return append_unicode(after, out),
        other => *other,
    };
    out.push(byte);
    after
}

fn append_unicode<'a>(rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let Some((first, mut after)) = hex4(rest) else { return rest };
    let mut code = first;
    if (0xd800..0xdc00).contains(&first)
        && let Some((second, behind)) = after.strip_prefix(b"\\u").and_then(hex4)
        && (0xdc00..0xe000).contains(&second)
    {
        code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        after = behind;
    }
    let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
    after
}

fn hex4(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(4)?;
    let code = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    Some((code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(json: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let mut out = Vec::new();
        append_text(raw, &mut out).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(read(r#""a\"\\\/\b\f\n\r\tz""#).unwrap(), "a\"\\/\u{8}\u{c}\n\r\tz");
        assert_eq!(read(r#""\u00e9\ud83d\ude00""#).unwrap(), "é😀");
        assert_eq!(read(r#""\ud83d!\ude00""#).unwrap(), "\u{fffd}!\u{fffd}");
        assert_eq!(read("7"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_serde_reads_it(text in any::<String>(), escape_all in any::<bool>()) {
            let json = if escape_all {
                let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{units}\"")
            } else {
                serde_json::to_string(&text).unwrap()
            };
            prop_assert_eq!(read(&json), Some(text));
        }
    }
}
