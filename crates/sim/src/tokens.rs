//! A stand-in for a tokenizer: text to pieces of about four characters, pieces to numbers.
//!
//! It needs no vocabulary, and texts with the same beginning have the same first tokens, which is what a prefix cache
//! lives on. A piece is at most one white-space character and up to six letters or digits of a word, or one other
//! character.

/// Numbers of tokens are below this.
const VOCABULARY: u64 = 128_000;

/// Letters or digits in a piece at most.
const WORD_CHARS: usize = 6;

/// The pieces of a text; joined they are the text.
pub fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices().peekable();
        let (_, first) = chars.next()?;
        if first.is_whitespace() && !chars.peek().is_some_and(|(_, next)| next.is_alphanumeric()) {
            return Some(split_off(&mut rest, first.len_utf8()));
        }
        if !first.is_whitespace() && !first.is_alphanumeric() {
            return Some(split_off(&mut rest, first.len_utf8()));
        }
        let mut letters = usize::from(first.is_alphanumeric());
        let mut end = first.len_utf8();
        while let Some((at, char)) = chars.next_if(|(_, char)| char.is_alphanumeric() && letters < WORD_CHARS)
        {
            end = at + char.len_utf8();
            letters += 1;
        }
        Some(split_off(&mut rest, end))
    })
}

fn split_off<'a>(rest: &mut &'a str, at: usize) -> &'a str {
    let (head, tail) = rest.split_at(at);
    *rest = tail;
    head
}

/// The number of a piece.
pub fn number(piece: &str) -> u32 {
    (wire::prefix::chain_hash(piece.as_bytes(), 0) % VOCABULARY) as u32
}

/// The tokens of a text.
pub fn encode(text: &str) -> Vec<u32> {
    pieces(text).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_and_signs_are_pieces() {
        let list: Vec<&str> = pieces("Hello, controllers  42!\n").collect();
        assert_eq!(list, ["Hello", ",", " contro", "llers", " ", " 42", "!", "\n"]);
    }

    proptest! {
        #[test]
        fn pieces_joined_are_the_text(text in ".{0,60}") {
            prop_assert_eq!(pieces(&text).collect::<String>(), text);
        }

        #[test]
        fn texts_that_begin_alike_have_the_same_first_tokens(head in "([a-z]{1,9} ){3,9}", tail in "[a-z ]{0,9}") {
            let (short, long) = (encode(&head), encode(&format!("{head}{tail}")));
            let certain = short.len() - 1;
            prop_assert_eq!(&short[..certain], &long[..certain]);
        }
    }
}
