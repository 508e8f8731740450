//! Server-sent events: writing one, and splitting a stream that arrives in arbitrary pieces.
//!
//! Splitting follows the HTML standard as far as engines use it: lines end in LF, CRLF or CR, `data` lines of one event
//! are joined with LF, comments and `id`/`retry` are dropped, an event without data is no event. What is not finished
//! when the stream ends is not an event.

use bytes::{BufMut, Bytes, BytesMut};

/// The event with which an OpenAI stream ends, ready to send.
pub const DONE: &[u8] = b"data: [DONE]\n\n";

/// One `data:` event, framed as vLLM frames it. `json` must not contain a line end.
pub fn data(json: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(json.len() + 8);
    bytes.put_slice(b"data: ");
    bytes.put_slice(json);
    bytes.put_slice(b"\n\n");
    bytes.freeze()
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The `event:` field; `None` if the stream gave none.
    pub name: Option<String>,
    /// The `data:` lines, joined with LF.
    pub data: Vec<u8>,
}

impl Event {
    /// Whether it is the end mark of an OpenAI stream.
    pub fn is_done(&self) -> bool {
        self.data == b"[DONE]"
    }
}

/// An event grew beyond what the splitter may hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an event of the stream is longer than {limit_bytes} bytes")]
pub struct TooLong {
    /// The limit that was given to [`Splitter::new`].
    pub limit_bytes: usize,
}

/// Splits a byte stream into events, however it is cut.
#[derive(Debug)]
pub struct Splitter {
    limit_bytes: usize,
    /// The line that has begun.
    line: Vec<u8>,
    /// The last byte was CR: an LF that follows belongs to it.
    after_cr: bool,
    /// The data of the event that has begun; `None` before its first `data` line.
    data: Option<Vec<u8>>,
    name: Option<String>,
    first_line: bool,
}

impl Splitter {
    /// A splitter that holds at most `limit_bytes` of one unfinished event.
    pub fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, line: Vec::new(), after_cr: false, data: None, name: None, first_line: true }
    }

    /// Takes the next piece of the stream and appends the events that it finishes to `events`.
    ///
    /// # Errors
    /// If an event is longer than the limit. The splitter is of no use after that.
    pub fn push(&mut self, mut piece: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        while !piece.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if piece[0] == b'\n' {
                    piece = &piece[1..];
                    continue;
                }
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', piece) else {
                self.line.extend_from_slice(piece);
                return self.check_length();
            };
            self.line.extend_from_slice(&piece[..end]);
            self.check_length()?;
            self.after_cr = piece[end] == b'\r';
            piece = &piece[end + 1..];
            self.end_line(events);
        }
        Ok(())
    }

    fn check_length(&self) -> Result<(), TooLong> {
        let held = self.line.len() + self.data.as_ref().map_or(0, Vec::len);
        if held > self.limit_bytes { Err(TooLong { limit_bytes: self.limit_bytes }) } else { Ok(()) }
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        let mut text: &[u8] = &line;
        if self.first_line {
            self.first_line = false;
            text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        }
        if text.is_empty() {
            let name = self.name.take();
            if let Some(data) = self.data.take() {
                events.push(Event { name, data });
            }
        } else {
            let (field, value) = match memchr::memchr(b':', text) {
                Some(colon) => (&text[..colon], &text[colon + 1..]),
                None => (text, &text[text.len()..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" => match &mut self.data {
                    Some(data) => {
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                    None => self.data = Some(value.to_vec()),
                },
                b"event" => self.name = Some(String::from_utf8_lossy(value).into_owned()),
                _ => {}
            }
        }
        self.line = line;
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(pieces: &[&[u8]]) -> Vec<Event> {
        let mut splitter = Splitter::new(1 << 16);
        let mut events = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut events).unwrap();
        }
        events
    }

    fn datas(pieces: &[&[u8]]) -> Vec<String> {
        split(pieces).into_iter().map(|event| String::from_utf8_lossy(&event.data).into_owned()).collect()
    }

    #[test]
    fn a_stream_of_an_engine_is_split_into_its_events() {
        let stream = [&data(b"{\"a\":1}")[..], DONE].concat();
        let events = split(&[&stream]);
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].data, b"{\"a\":1}");
        assert!(events[1].is_done());
    }

    #[test]
    fn comments_names_and_data_of_several_lines_are_understood() {
        let events =
            split(&[b"\xef\xbb\xbf: hi\n\nevent: delta\ndata:a\ndata:  b\r\nid: 7\r\rdata\n\ndata: lost"]);
        assert_eq!(events[0], Event { name: Some("delta".into()), data: b"a\n b".to_vec() });
        assert_eq!(events[1], Event { name: None, data: Vec::new() });
        assert_eq!(events.len(), 2, "an unfinished event is none");
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_fills_the_memory() {
        let mut splitter = Splitter::new(100);
        let mut events = Vec::new();
        splitter.push(b"data: ", &mut events).unwrap();
        let error = splitter.push(&[b'x'; 200], &mut events).unwrap_err();
        assert_eq!(error.to_string(), "an event of the stream is longer than 100 bytes");
    }

    proptest! {
        #[test]
        fn where_the_stream_is_cut_makes_no_difference(
            lines in proptest::collection::vec(
                prop_oneof!["data: [a-z:]{0,5}", "event: [a-z]{1,3}", ":[a-z]{0,3}", "id: 1", "data", Just(String::new())],
                0..30,
            ),
            ends in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], 30),
            cuts in proptest::collection::vec(0_usize..300, 0..12),
        ) {
            let stream: String = lines.iter().zip(&ends).map(|(line, end)| format!("{line}{end}")).collect();
            let bytes = stream.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(datas(&pieces), datas(&[bytes]));
        }
    }
}
