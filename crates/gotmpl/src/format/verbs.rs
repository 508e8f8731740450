//! One value by one verb.

use super::number;
use crate::literal::quote_with;
use crate::print::MAX_BYTES;
use crate::value::Value;

/// What stands between `%` and the verb.
#[derive(Debug, Default, Clone)]
pub(super) struct Flags {
    pub(super) plus: bool,
    pub(super) minus: bool,
    pub(super) sharp: bool,
    pub(super) space: bool,
    pub(super) zero: bool,
    /// `%+v`: with the names of fields. [`Flags::plus`] is then off.
    pub(super) plus_v: bool,
    /// `%#v`: as Go source. [`Flags::sharp`] is then off.
    pub(super) sharp_v: bool,
    pub(super) width: Option<usize>,
    pub(super) precision: Option<usize>,
}

/// What stands for the address of anything but a function: nobody can rely on addresses.
const ADDRESS: u64 = 0xc0_0000_0000;
/// What stands for the address of a function.
const FUNCTION_ADDRESS: u64 = 0x100_0000;

/// Prints values one behind the other.
pub(super) struct Writer<'o> {
    pub(super) out: &'o mut String,
    pub(super) flags: Flags,
    /// Inside of `%!d(…)`, where methods are not asked.
    pub(super) erroring: bool,
}

impl Writer<'_> {
    /// An argument of `printf`.
    pub(super) fn arg(&mut self, arg: &Value<'_>, verb: char) {
        match (arg, verb) {
            (Value::Any(Some(inner)), _) => self.arg(inner, verb),
            (Value::Nothing | Value::Any(None), 'T' | 'v') => self.pad("<nil>"),
            (Value::Nothing | Value::Any(None), _) => self.bad(arg, verb),
            (_, 'T') => self.string(&arg.type_name(), 's', arg),
            (_, 'p') => self.pointer(arg, verb),
            _ => self.value(arg, verb, 0),
        }
    }

    /// A value at some depth of an argument.
    fn value(&mut self, value: &Value<'_>, verb: char, depth: usize) {
        if self.out.len() > MAX_BYTES {
            return;
        }
        if verb == 'w' && !self.erroring {
            return self.bad(value, verb);
        }
        if let Some(text) = self.own_text(value, verb) {
            return self.string(&text, verb, value);
        }
        match value {
            Value::Any(Some(inner)) => self.value(inner, verb, depth + 1),
            Value::Nothing | Value::Any(None) => {
                self.out.push_str(if self.flags.sharp_v { "interface {}(nil)" } else { "<nil>" });
            }
            Value::Bool(truth) => match verb {
                't' | 'v' => self.pad(if *truth { "true" } else { "false" }),
                _ => self.bad(value, verb),
            },
            Value::Int(int) => match number::signed(*int, verb, &self.flags) {
                Some(text) => self.pad_number(&text),
                None => self.character(value, int.cast_unsigned(), verb),
            },
            Value::Uint(uint) => self.unsigned(value, *uint, verb),
            Value::Float(float) => match number::float(*float, verb, &self.flags) {
                Some(text) => self.out.push_str(&text),
                None => self.bad(value, verb),
            },
            Value::Complex(real, imaginary) => {
                let with_sign = Flags { plus: true, ..self.flags.clone() };
                let parts =
                    number::float(*real, verb, &self.flags).zip(number::float(*imaginary, verb, &with_sign));
                match parts {
                    Some((real, imaginary)) => self.out.push_str(&format!("({real}{imaginary}i)")),
                    None => self.bad(value, verb),
                }
            }
            Value::String(text) => self.string(text, verb, value),
            Value::List(list) => {
                let items = list.items.iter().map(|item| (None, item));
                self.collection(("[", "]"), (&list.type_name, list.is_nil), items, verb, depth);
            }
            Value::Map(map) => {
                let items = map.entries.iter().map(|(key, item)| (Some(key.as_ref()), item));
                self.collection(("map[", "]"), (&map.type_name, map.is_nil), items, verb, depth);
            }
            Value::Struct(data) => {
                if self.flags.sharp_v {
                    self.out.push_str(&data.type_name());
                }
                self.out.push('{');
                for (i, name) in data.field_names().iter().enumerate() {
                    self.separate(i);
                    if self.flags.plus_v || self.flags.sharp_v {
                        self.out.push_str(name);
                        self.out.push(':');
                    }
                    self.value(&data.field(name).unwrap_or_default(), verb, depth + 1);
                }
                self.out.push('}');
            }
            // What a pointer leads to is printed at the top alone, since there may be a loop.
            Value::Pointer(pointer) => match &pointer.target {
                Some(target @ (Value::Struct(_) | Value::Map(_) | Value::List(_))) if depth == 0 => {
                    self.out.push('&');
                    self.value(target, verb, depth + 1);
                }
                _ => self.pointer(value, verb),
            },
            Value::Function(_) => self.pointer(value, verb),
        }
    }

    /// What a `String` or `Error` method says, where it is asked.
    fn own_text(&self, value: &Value<'_>, verb: char) -> Option<String> {
        if self.erroring || self.flags.sharp_v || !matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') {
            return None;
        }
        match value {
            Value::Struct(data) => data.text(),
            Value::Pointer(pointer) => match &pointer.target {
                Some(Value::Struct(data)) => data.text(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Items with their keys, between brackets or as Go source.
    fn collection<'v, 'a: 'v>(
        &mut self,
        (open, close): (&str, &str),
        (type_name, is_nil): (&str, bool),
        items: impl Iterator<Item = (Option<&'v str>, &'v Value<'a>)>,
        verb: char,
        depth: usize,
    ) {
        if self.flags.sharp_v {
            self.out.push_str(type_name);
            if is_nil {
                return self.out.push_str("(nil)");
            }
        }
        self.out.push_str(if self.flags.sharp_v { "{" } else { open });
        for (i, (key, item)) in items.enumerate() {
            if self.out.len() > MAX_BYTES {
                break;
            }
            self.separate(i);
            if let Some(key) = key {
                self.value(&Value::string(key), verb, depth + 1);
                self.out.push(':');
            }
            self.value(item, verb, depth + 1);
        }
        self.out.push_str(if self.flags.sharp_v { "}" } else { close });
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.out.push_str(if self.flags.sharp_v { ", " } else { " " });
        }
    }

    /// `%!d(string=a)`
    fn bad(&mut self, value: &Value<'_>, verb: char) {
        self.erroring = true;
        self.out.push_str(&format!("%!{verb}("));
        match value.concrete() {
            Value::Nothing => self.out.push_str("<nil>"),
            value => {
                self.out.push_str(&value.type_name());
                self.out.push('=');
                self.value(&value, 'v', 0);
            }
        }
        self.out.push(')');
        self.erroring = false;
    }

    fn pointer(&mut self, value: &Value<'_>, verb: char) {
        let address = match value {
            Value::List(list) if list.is_nil => 0,
            Value::Map(map) if map.is_nil => 0,
            Value::Pointer(pointer) if pointer.target.is_none() => 0,
            Value::List(_) | Value::Map(_) | Value::Pointer(_) => ADDRESS,
            Value::Function(_) => FUNCTION_ADDRESS,
            _ => return self.bad(value, verb),
        };
        let with_prefix = Flags { sharp: !self.flags.sharp, ..self.flags.clone() };
        match verb {
            'v' if self.flags.sharp_v => {
                let address = if address == 0 { "nil".to_owned() } else { format!("{address:#x}") };
                self.out.push_str(&format!("({})({address})", value.type_name()));
            }
            'v' if address == 0 => self.pad("<nil>"),
            'v' | 'p' => {
                if let Some(text) = number::unsigned(address, 'x', &with_prefix) {
                    self.pad_number(&text);
                }
            }
            'b' | 'o' | 'd' | 'x' | 'X' => self.unsigned(value, address, verb),
            _ => self.bad(value, verb),
        }
    }

    fn unsigned(&mut self, value: &Value<'_>, uint: u64, verb: char) {
        let text = match verb {
            'v' if self.flags.sharp_v => {
                number::unsigned(uint, 'x', &Flags { sharp: true, ..self.flags.clone() })
            }
            verb => number::unsigned(uint, verb, &self.flags),
        };
        match text {
            Some(text) => self.pad_number(&text),
            None => self.character(value, uint, verb),
        }
    }

    /// An integer as a character. A negative one is far beyond the last.
    fn character(&mut self, value: &Value<'_>, code: u64, verb: char) {
        let c = u32::try_from(code).ok().and_then(char::from_u32);
        let shown = c.unwrap_or(char::REPLACEMENT_CHARACTER).to_string();
        match verb {
            'c' => self.pad(&shown),
            'q' => self.pad(&quote_with(&shown, '\'', self.flags.plus)),
            'U' => self.pad_number(&number::code_point(code, c, &self.flags)),
            _ => self.bad(value, verb),
        }
    }

    /// `value` is blamed for a verb that does not fit.
    fn string(&mut self, text: &str, verb: char, value: &Value<'_>) {
        let cut = match self.flags.precision {
            Some(characters) => text.char_indices().nth(characters).map_or(text, |(end, _)| &text[..end]),
            None => text,
        };
        match verb {
            'v' if self.flags.sharp_v => self.pad(&quote_with(cut, '"', false)),
            'v' | 's' => self.pad(cut),
            'q' if self.flags.sharp && can_backquote(cut) => self.pad(&format!("`{cut}`")),
            'q' => self.pad(&quote_with(cut, '"', self.flags.plus)),
            'x' | 'X' => self.hexadecimal(text, verb),
            verb => self.bad(value, verb),
        }
    }

    fn hexadecimal(&mut self, text: &str, verb: char) {
        let bytes = text.as_bytes();
        let bytes = &bytes[..self.flags.precision.unwrap_or(bytes.len()).min(bytes.len())];
        let prefix = if self.flags.sharp { format!("0{verb}") } else { String::new() };
        let mut hex = String::with_capacity(2 * bytes.len());
        for (i, byte) in bytes.iter().enumerate() {
            if i > 0 && self.flags.space {
                hex.push(' ');
            }
            if i == 0 || self.flags.space {
                hex.push_str(&prefix);
            }
            hex.push_str(&if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") });
        }
        self.pad(&hex);
    }

    fn pad(&mut self, text: &str) {
        number::pad(self.out, text, &self.flags, self.flags.zero);
    }

    /// Zeros in front of a number are digits of it already.
    fn pad_number(&mut self, text: &str) {
        number::pad(self.out, text, &self.flags, false);
    }
}

/// Whether the text can stand between back quotes on one line.
fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' => true,
        '`' | '\u{7f}' | '\u{feff}' => false,
        c => c >= ' ',
    })
}
