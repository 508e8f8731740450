//! `printf`, as Go's `fmt` does it.

mod number;
mod verbs;

use self::verbs::{Flags, Writer};
use crate::print::MAX_BYTES;
use crate::value::Value;

/// The most that a width or precision may ask for, as in Go.
const MAX_NUMBER: usize = 1_000_000;

/// A value as `%v` prints it.
pub(crate) fn write_plain(out: &mut String, value: &Value<'_>) {
    Writer { out, flags: Flags::default(), erroring: false }.arg(value, 'v');
}

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
                        write_plain(&mut self.out, &arg);
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
        while let Some(c) = self.peek() {
            match c {
                '+' => flags.plus = true,
                '-' => flags.minus = true,
                '#' => flags.sharp = true,
                ' ' => flags.space = true,
                '0' => flags.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut after_index = self.index(&mut good_index);
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
            flags.width = self.number(self.chars.len());
            good_index &= !(after_index && flags.width.is_some());
        }
        // A point that ends the text is a verb.
        if self.peek() == Some('.') && self.at + 1 < self.chars.len() {
            self.at += 1;
            good_index &= !after_index;
            after_index = self.index(&mut good_index);
            if self.peek() == Some('*') {
                self.at += 1;
                flags.precision = self.int_arg().and_then(|precision| usize::try_from(precision).ok());
                if flags.precision.is_none() {
                    self.out.push_str("%!(BADPREC)");
                }
                after_index = false;
            } else {
                flags.precision = Some(self.number(self.chars.len()).unwrap_or(0));
            }
        }
        if !after_index {
            self.index(&mut good_index);
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
            if matches!(verb, 'v' | 'w') {
                flags.sharp_v = std::mem::take(&mut flags.sharp);
                flags.plus_v = std::mem::take(&mut flags.plus);
            }
            let arg = &self.args[self.arg];
            self.arg += 1;
            Writer { out: &mut self.out, flags, erroring: false }.arg(arg, verb);
        }
    }

    /// Digits before `end`. What is too large is none, and everything before `end` is taken for it.
    fn number(&mut self, end: usize) -> Option<usize> {
        let mut number = None;
        while let Some(digit) = self.peek().filter(|_| self.at < end).and_then(|c| c.to_digit(10)) {
            let before = number.unwrap_or(0);
            if before > MAX_NUMBER {
                self.at = end;
                return None;
            }
            number = Some(before * 10 + digit as usize);
            self.at += 1;
        }
        number
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

    /// `[n]` chooses the next argument. Whether there was a number between brackets.
    fn index(&mut self, good: &mut bool) -> bool {
        if self.peek() != Some('[') {
            return false;
        }
        self.reordered = true;
        let Some(close) = self.chars[self.at..].iter().position(|c| *c == ']').filter(|close| *close > 1)
        else {
            *good = false;
            // Of `[]` with something behind it both are taken.
            let is_empty = self.chars.get(self.at + 1) == Some(&']') && self.at + 2 < self.chars.len();
            self.at += if is_empty { 2 } else { 1 };
            return false;
        };
        let close = self.at + close;
        self.at += 1;
        let number = self.number(close).filter(|_| self.at == close);
        self.at = close + 1;
        match number {
            Some(number) if (1..=self.args.len()).contains(&number) => self.arg = number - 1,
            _ => *good = false,
        }
        number.is_some()
    }
}
