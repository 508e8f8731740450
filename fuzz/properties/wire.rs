//! What clients and engines send: the first byte says whether it is a body, a stream or a metrics text.
//!
//! Nothing may panic; a stream gives the same events however it is cut.

use wire::openai::{Api, Body};
use wire::sse::Splitter;
use wire::{metrics, prefix};

const LIMIT_BYTES: usize = 1 << 16;

pub(crate) fn hold(input: &[u8]) {
    let [what, bytes @ ..] = input else { return };
    match what % 4 {
        0 => body(*what, bytes),
        1 => stream(bytes),
        2 => {
            let load = metrics::load(bytes);
            for list in load.adapters.iter().flat_map(|adapters| [&adapters.running, &adapters.waiting]) {
                assert!(metrics::Adapters::names(list).all(|name| !name.is_empty()));
            }
            for series in metrics::series(bytes) {
                let _ = series.label("engine");
                let _ = series.label("block_size");
            }
        }
        _ => {
            if let Ok(text) = std::str::from_utf8(bytes) {
                let _ = Api::from_path(text);
            }
        }
    }
}

fn body(what: u8, bytes: &[u8]) {
    let paths = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings"];
    let Some(api) = Api::from_path(paths[usize::from(what / 4) % paths.len()]) else { return };
    let Ok(body) = Body::read(api, bytes, LIMIT_BYTES) else { return };
    for prompt in body.prompts() {
        let _ = prefix::chain_hash(&prompt, 0);
    }
    // Whatever is read as a body is JSON to everybody else, too.
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(bytes).is_ok());
}

fn stream(bytes: &[u8]) {
    let mut whole = Vec::new();
    let done = Splitter::new(LIMIT_BYTES).push(bytes, &mut whole);
    let mut events = Vec::new();
    let mut splitter = Splitter::new(LIMIT_BYTES);
    let in_pieces = bytes.chunks(3).try_for_each(|piece| splitter.push(piece, &mut events));
    assert_eq!(done, in_pieces);
    assert_eq!(whole, events);
}
