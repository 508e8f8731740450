//! What the simulated engine says: text that anyone sees to be simulated, the same for the same prompt.

use crate::tokens;

/// An answer, decided before its first token is "computed".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// All visible text.
    pub(crate) text: String,
    /// Where in `text` each token ends; a token that is cut off by a stop string ends where the text ends.
    pub(crate) ends: Vec<usize>,
    /// The tokens' numbers.
    pub(crate) numbers: Vec<u32>,
    /// The stop string that ended it; `None` if it ended otherwise.
    pub(crate) stop_string: Option<String>,
    /// It ended at its limit.
    pub(crate) reached_limit: bool,
}

impl Answer {
    /// What the tokens from `from` to before `to` show.
    pub(crate) fn shown(&self, from: usize, to: usize) -> &str {
        let at = |count: usize| if count == 0 { 0 } else { self.ends[count.min(self.ends.len()) - 1] };
        &self.text[at(from)..at(to)]
    }
}

/// What ends an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Tokens at most; at least 1.
    pub(crate) most: usize,
    /// Tokens before which it does not end by itself or at a stop string.
    pub(crate) least: usize,
    /// Whether it goes on until `most`.
    pub(crate) ignore_end: bool,
    /// Strings at whose first occurrence it ends.
    pub(crate) stops: Vec<String>,
    /// Whether the stop string itself is shown.
    pub(crate) show_stop: bool,
}

const SENTENCES: [&str; 12] = [
    " The queue is short and the cache is warm.",
    " A block of keys and values is kept for later.",
    " Requests with the same beginning meet on the same engine.",
    " Nothing was computed to write this sentence.",
    " The step took as long as a real step would have taken.",
    " Each word arrives when its token would have been ready.",
    " The scheduler looked at every engine and chose this one.",
    " A longer prompt would have taken longer to begin.",
    " The batch is shared with whoever asks at the same time.",
    " What you read is filler, and the metrics beside it are not.",
    " With a real engine this would be an answer.",
    " The numbers on the metrics page follow the same model.",
];

/// Shortest and longest answer that ends by itself, in tokens.
const NATURAL_TOKENS: (u64, u64) = (40, 160);

/// The answer to a prompt. `last_words` is what the user said last; `variant` tells several answers to one prompt apart.
pub(crate) fn answer(last_words: &str, prompt_hash: u64, variant: u64, limits: &Limits) -> Answer {
    let mut random = prompt_hash ^ variant.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        wire::prefix::chain_hash(&random.to_le_bytes(), 0)
    };
    let (shortest, longest) = NATURAL_TOKENS;
    let natural = (shortest + next() % (longest - shortest)) as usize;
    let most = limits.most.max(1);
    let wanted = if limits.ignore_end { most } else { natural.max(limits.least).min(most) };

    let mut text = String::from("[simulated] No model is loaded; this text stands in for an answer.");
    let words: Vec<&str> = last_words.split_whitespace().take(12).collect();
    if !words.is_empty() {
        text.push_str(" You said: ");
        text.push_str(&words.join(" "));
        text.push('.');
    }
    let mut count = tokens::pieces(&text).count();
    while count < wanted {
        let sentence = SENTENCES[(next() % SENTENCES.len() as u64) as usize];
        count += tokens::pieces(sentence).count();
        text.push_str(sentence);
    }
    cut(text, wanted, wanted == most && (limits.ignore_end || natural > most || limits.least >= most), limits)
}

fn cut(text: String, wanted: usize, reached_limit: bool, limits: &Limits) -> Answer {
    let mut ends = Vec::with_capacity(wanted);
    let mut numbers = Vec::with_capacity(wanted);
    let mut end = 0;
    for piece in tokens::pieces(&text).take(wanted) {
        end += piece.len();
        ends.push(end);
        numbers.push(tokens::number(piece));
    }
    let mut answer = Answer { text, ends, numbers, stop_string: None, reached_limit };
    answer.text.truncate(end);
    // A stop string counts once the tokens that may not stop are out.
    let from = limits.least.checked_sub(1).and_then(|last| answer.ends.get(last)).copied().unwrap_or(0);
    let earliest = limits
        .stops
        .iter()
        .filter_map(|stop| {
            let at = answer.text.match_indices(stop.as_str()).find(|(at, _)| at + stop.len() > from)?.0;
            Some((at + stop.len(), at, stop))
        })
        .min_by_key(|(end, at, _)| (*end, *at));
    if let Some((end, at, stop)) = earliest {
        let count = answer.ends.partition_point(|token_end| *token_end < end) + 1;
        answer.ends.truncate(count);
        answer.numbers.truncate(count);
        let shown = if limits.show_stop { end } else { at };
        answer.text.truncate(shown);
        for token_end in &mut answer.ends {
            *token_end = (*token_end).min(shown);
        }
        answer.stop_string = Some(stop.clone());
        answer.reached_limit = false;
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(most: usize) -> Limits {
        Limits { most, ..Limits::default() }
    }

    #[test]
    fn the_same_prompt_gets_the_same_answer_and_says_that_it_is_simulated() {
        let one = answer("Why is the sky blue?", 7, 0, &limits(1000));
        assert_eq!(one, answer("Why is the sky blue?", 7, 0, &limits(1000)));
        assert!(one.text.starts_with("[simulated] No model is loaded"));
        assert!(one.text.contains("You said: Why is the sky blue?"));
        assert!(!one.reached_limit);
        assert_ne!(one.text, answer("Why is the sky blue?", 7, 1, &limits(1000)).text);
    }

    #[test]
    fn a_limit_cuts_the_answer_at_a_token() {
        let short = answer("x", 7, 0, &limits(5));
        assert_eq!(short.ends.len(), 5);
        assert!(short.reached_limit);
        assert_eq!(short.shown(0, 5), short.text);
        let whole: String = (0..5).map(|token| short.shown(token, token + 1)).collect();
        assert_eq!(whole, short.text);
    }

    #[test]
    fn an_answer_that_may_not_end_goes_on_to_its_limit() {
        let long = answer("x", 7, 0, &Limits { ignore_end: true, ..limits(700) });
        assert_eq!(long.ends.len(), 700);
        assert!(long.reached_limit);
    }

    #[test]
    fn a_stop_string_ends_the_answer_before_itself() {
        let stops = vec!["model".to_owned(), "nothing like this".to_owned()];
        let stopped = answer("x", 7, 0, &Limits { stops: stops.clone(), ..limits(100) });
        assert_eq!(stopped.text, "[simulated] No ");
        assert_eq!(stopped.stop_string.as_deref(), Some("model"));
        let shown = answer("x", 7, 0, &Limits { stops: stops.clone(), show_stop: true, ..limits(100) });
        assert_eq!(shown.text, "[simulated] No model");
        let later = answer("model", 7, 0, &Limits { stops, least: 8, ..limits(100) });
        assert!(later.ends.len() > 8);
    }
}
