use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// The same index in the most obvious way: a list for each endpoint, the most recently used first.
#[derive(Default)]
struct Naive {
    endpoints: BTreeMap<u64, Vec<u64>>,
}

impl Naive {
    fn add(&mut self, endpoint: u64, chain: &[u64], capacity: usize) {
        let list = self.endpoints.entry(endpoint).or_default();
        let kept = &chain[..chain.len().min(capacity)];
        list.retain(|hash| !kept.contains(hash));
        list.splice(0..0, kept.iter().copied());
        list.truncate(capacity);
    }

    fn matches(&self, chain: &[u64]) -> BTreeMap<u64, u32> {
        let count = |list: &Vec<u64>| chain.iter().take_while(|hash| list.contains(hash)).count() as u32;
        self.endpoints.iter().map(|(key, list)| (*key, count(list))).filter(|(_, count)| *count > 0).collect()
    }
}

/// Chains as prompts make them: a hash stands for all blocks up to it. Few different blocks, so that chains meet.
fn chain(blocks: &[u8]) -> Vec<u64> {
    let mut parent = 0;
    blocks
        .iter()
        .map(|block| {
            parent = wire::prefix::chain_hash(&[*block], parent);
            parent
        })
        .collect()
}

fn matches(index: &PrefixIndex, chain: &[u64]) -> BTreeMap<u64, u32> {
    index.matches(chain).into_iter().collect()
}

#[derive(Clone, Debug)]
enum Step {
    Add(u64, Vec<u8>),
    Remove(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let blocks = || proptest::collection::vec(0_u8..3, 0..12);
    let step = prop_oneof![
        9 => (0_u64..6, blocks()).prop_map(|(endpoint, blocks)| Step::Add(endpoint, blocks)),
        1 => (0_u64..6).prop_map(Step::Remove),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_index_agrees_with_the_naive_one(
        steps in steps(),
        asked in proptest::collection::vec(proptest::collection::vec(0_u8..3, 0..14), 8),
        capacity in 1_usize..20,
    ) {
        let (mut index, mut naive) = (PrefixIndex::default(), Naive::default());
        for step in steps {
            match step {
                Step::Add(endpoint, blocks) => {
                    index.add(endpoint, &chain(&blocks), capacity);
                    if !blocks.is_empty() {
                        naive.add(endpoint, &chain(&blocks), capacity);
                    }
                }
                Step::Remove(endpoint) => {
                    index.remove(endpoint);
                    naive.endpoints.remove(&endpoint);
                }
            }
            prop_assert_eq!(index.len(), naive.endpoints.values().map(Vec::len).sum::<usize>());
        }
        for blocks in asked {
            prop_assert_eq!(matches(&index, &chain(&blocks)), naive.matches(&chain(&blocks)));
        }
    }
}

#[test]
fn an_endpoint_matches_as_far_as_it_was_sent_the_prompt() {
    let mut index = PrefixIndex::default();
    index.add(1, &chain(&[1, 2, 3, 4]), 100);
    index.add(2, &chain(&[1, 2]), 100);
    index.add(3, &chain(&[9]), 100);
    assert_eq!(matches(&index, &chain(&[1, 2, 3, 5])), BTreeMap::from([(1, 3), (2, 2)]));
    assert!(index.matches(&chain(&[5])).is_empty());
    assert!(index.matches(&[]).is_empty());
}

#[test]
fn the_end_of_a_prompt_is_forgotten_before_its_beginning() {
    let mut index = PrefixIndex::default();
    index.add(1, &chain(&[1, 2, 3, 4]), 5);
    index.add(1, &chain(&[7, 8]), 5);
    assert_eq!(matches(&index, &chain(&[1, 2, 3, 4])), BTreeMap::from([(1, 3)]));
    index.add(1, &chain(&[0; 9]), 5);
    assert_eq!(
        matches(&index, &chain(&[0; 9])),
        BTreeMap::from([(1, 5)]),
        "a prompt is kept as far as it fits"
    );
    assert_eq!(index.len(), 5);
}

#[test]
fn an_endpoint_that_has_gone_leaves_nothing_behind() {
    let mut index = PrefixIndex::default();
    for endpoint in 0..10 {
        index.add(endpoint, &chain(&[1, 2, 3]), 100);
    }
    index.keep_only(&HashSet::from([4]));
    assert_eq!(matches(&index, &chain(&[1, 2, 3])), BTreeMap::from([(4, 3)]));
    index.remove(4);
    assert!(index.is_empty());
    assert_eq!(index.len(), 0);
    index.add(77, &chain(&[1]), 100);
    assert_eq!(matches(&index, &chain(&[1])), BTreeMap::from([(77, 1)]), "its place is used again");
}
