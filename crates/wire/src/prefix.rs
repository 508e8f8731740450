//! Hashes of prompt prefixes, as llm-d's approximate prefix index computes them.
//!
//! A prompt is bytes of which every four count as one token: text as it is (llm-d's estimate mode), token ids as
//! little-endian `u32`. Block `i` has the hash `xxh64(LE8(xxh64(block i)) ‖ LE8(hash of block i − 1))`; the hash before
//! the first block is `xxh64(model ‖ cache_salt)`. The last block may be partial; its last token is padded with zeros.
//! So two prompts share their first `n` hashes exactly when they share model, salt and the first `n` blocks.

use xxhash_rust::xxh64::xxh64;

/// Bytes of text that count as one token.
pub const BYTES_PER_TOKEN: usize = 4;

/// The smallest block, in tokens, that llm-d's index uses; smaller settings are raised to it.
pub const MIN_BLOCK_TOKENS: u32 = 64;

/// The chain of block hashes of one prompt, at most `max_blocks` of them. `block_tokens` of 0 counts as 1. An empty
/// prompt has no block.
pub fn block_hashes(
    model: &str,
    cache_salt: Option<&str>,
    prompt: &[u8],
    block_tokens: u32,
    max_blocks: usize,
) -> Vec<u64> {
    let block_bytes = block_tokens.max(1) as usize * BYTES_PER_TOKEN;
    let blocks = prompt.len().div_ceil(block_bytes).min(max_blocks);
    let mut hashes = Vec::with_capacity(blocks);
    let mut parent = root_hash(model, cache_salt);
    for block in prompt.chunks(block_bytes).take(blocks) {
        parent = link(content_hash(block), parent);
        hashes.push(parent);
    }
    hashes
}

/// Hash of a block that follows another one; for caches that choose their own blocks.
pub fn chain_hash(block: &[u8], parent: u64) -> u64 {
    link(xxh64(block, 0), parent)
}

fn root_hash(model: &str, cache_salt: Option<&str>) -> u64 {
    match cache_salt {
        None => xxh64(model.as_bytes(), 0),
        Some(salt) => xxh64([model, salt].concat().as_bytes(), 0),
    }
}

fn content_hash(block: &[u8]) -> u64 {
    if block.len().is_multiple_of(BYTES_PER_TOKEN) {
        return xxh64(block, 0);
    }
    let mut padded = block.to_vec();
    padded.resize(block.len().next_multiple_of(BYTES_PER_TOKEN), 0);
    xxh64(&padded, 0)
}

fn link(content: u64, parent: u64) -> u64 {
    let mut both = [0_u8; 16];
    both[..8].copy_from_slice(&content.to_le_bytes());
    both[8..].copy_from_slice(&parent.to_le_bytes());
    xxh64(&both, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_share_hashes_exactly_as_far_as_they_share_blocks() {
        let long = "the same words again and again ".repeat(40);
        let first = block_hashes("m", None, format!("{long}first").as_bytes(), 16, 100);
        let second = block_hashes("m", None, format!("{long}other").as_bytes(), 16, 100);
        let shared = long.len() / 64;
        assert_eq!(first[..shared], second[..shared]);
        assert_ne!(first[shared], second[shared]);
    }

    #[test]
    fn model_and_salt_separate_equal_prompts() {
        let plain = block_hashes("m", None, b"hello", 64, 9);
        assert_eq!(plain.len(), 1, "the partial block counts");
        assert_ne!(plain, block_hashes("n", None, b"hello", 64, 9));
        assert_ne!(plain, block_hashes("m", Some("tenant"), b"hello", 64, 9));
        assert!(block_hashes("m", None, b"", 64, 9).is_empty());
    }

    #[test]
    fn the_hashes_are_those_of_llm_d() {
        assert_eq!(block_hashes("m", None, b"Hello, world!", 64, 2048), [16_039_940_334_689_601_500]);
    }

    #[test]
    fn a_block_is_hashed_from_its_content_and_its_parent() {
        let root = xxh64(b"m", 0);
        let mut bytes = xxh64(b"hello\0\0\0", 0).to_le_bytes().to_vec();
        bytes.extend(root.to_le_bytes());
        assert_eq!(block_hashes("m", None, b"hello", 64, 9), [xxh64(&bytes, 0)]);
    }

    #[test]
    fn no_more_blocks_are_hashed_than_asked_for() {
        assert_eq!(block_hashes("m", None, &[1; 10_000], 16, 3).len(), 3);
    }
}
