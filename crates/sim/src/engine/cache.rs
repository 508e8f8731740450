//! The paged KV cache: blocks with reference counts, found again by the hash of all tokens up to their end.
//!
//! Free blocks keep their content until they are taken for something else, the least recently freed first; a job's
//! blocks are freed from the last to the first, so that the ends of prompts go before their beginnings (as in vLLM).

use std::collections::{BTreeMap, HashMap};

use wire::prefix::chain_hash;

/// Names a block.
pub(super) type BlockId = u32;

/// Hashes of the full blocks of a sequence that is given in parts.
pub fn block_hashes(cache_key: &str, parts: &[&[u32]], block_tokens: u32) -> Vec<u64> {
    let block_bytes = block_tokens.max(1) as usize * 4;
    let mut parent = chain_hash(cache_key.as_bytes(), 0);
    let mut hashes = Vec::new();
    let mut block = Vec::with_capacity(block_bytes);
    for token in parts.iter().copied().flatten() {
        block.extend_from_slice(&token.to_le_bytes());
        if block.len() == block_bytes {
            parent = chain_hash(&block, parent);
            hashes.push(parent);
            block.clear();
        }
    }
    hashes
}

#[derive(Debug)]
pub(super) struct Cache {
    total: u32,
    reuse: bool,
    /// Blocks that were used at least once. The others are free and empty and cost no memory.
    blocks: Vec<Block>,
    /// Used blocks that are free, by the turn in which they were freed.
    free: BTreeMap<u64, BlockId>,
    by_hash: HashMap<u64, BlockId>,
    turn: u64,
}

#[derive(Debug, Default)]
struct Block {
    users: u32,
    hash: Option<u64>,
    freed_turn: u64,
}

impl Cache {
    pub(super) fn new(total: u32, reuse: bool) -> Self {
        Self { total, reuse, blocks: Vec::new(), free: BTreeMap::new(), by_hash: HashMap::new(), turn: 0 }
    }

    pub(super) fn total(&self) -> u32 {
        self.total
    }

    fn free_blocks(&self) -> usize {
        self.total as usize - self.blocks.len() + self.free.len()
    }

    pub(super) fn used_ratio(&self) -> f64 {
        (self.total as usize - self.free_blocks()) as f64 / f64::from(self.total)
    }

    /// The cached blocks of a chain, from its beginning, taken for one more user.
    pub(super) fn take_prefix(&mut self, hashes: &[u64]) -> Vec<BlockId> {
        let found: Vec<BlockId> = hashes.iter().map_while(|hash| self.by_hash.get(hash).copied()).collect();
        for id in &found {
            let block = &mut self.blocks[*id as usize];
            if block.users == 0 {
                self.free.remove(&block.freed_turn);
            }
            block.users += 1;
        }
        found
    }

    /// Appends `count` empty blocks to `blocks`; false, and nothing appended, if there are not so many.
    pub(super) fn allocate(&mut self, count: usize, blocks: &mut Vec<BlockId>) -> bool {
        if count > self.free_blocks() {
            return false;
        }
        for _ in 0..count {
            // Empty blocks first, so that no content is lost without need.
            let id = if self.blocks.len() < self.total as usize {
                self.blocks.push(Block::default());
                (self.blocks.len() - 1) as BlockId
            } else {
                let Some((_, id)) = self.free.pop_first() else { return false };
                id
            };
            let block = &mut self.blocks[id as usize];
            block.users = 1;
            if let Some(hash) = block.hash.take() {
                self.by_hash.remove(&hash);
            }
            blocks.push(id);
        }
        true
    }

    /// The block is full: later jobs may find it.
    pub(super) fn publish(&mut self, id: BlockId, hash: u64) {
        if self.reuse && !self.by_hash.contains_key(&hash) {
            self.by_hash.insert(hash, id);
            self.blocks[id as usize].hash = Some(hash);
        }
    }

    /// Gives back a job's blocks.
    pub(super) fn release(&mut self, blocks: &mut Vec<BlockId>) {
        while let Some(id) = blocks.pop() {
            let block = &mut self.blocks[id as usize];
            block.users -= 1;
            if block.users == 0 {
                self.turn += 1;
                block.freed_turn = self.turn;
                self.free.insert(self.turn, id);
            }
        }
    }

    /// Forgets the content of all free blocks.
    pub(super) fn forget_free(&mut self) {
        for id in self.free.values() {
            if let Some(hash) = self.blocks[*id as usize].hash.take() {
                self.by_hash.remove(&hash);
            }
        }
    }
}
