use super::*;
use proptest::prelude::*;

const TEXT: &str = r#"# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a"} 3.0
vllm:num_requests_waiting{engine="0",model_name="a"} 7.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="a",reason="capacity"} 99.0
vllm:kv_cache_usage_perc{engine="0",model_name="a"} 0.25
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",num_gpu_blocks="512"} 1.0
vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 1.7e+09
vllm:lora_requests_info{max_lora="2",running_lora_adapters="sql, law",waiting_lora_adapters="med"} 1.7000000001e+09
process_open_fds 34.0
"#;

#[test]
fn the_load_of_an_engine_is_found() {
    let load = load(TEXT.as_bytes());
    assert_eq!(load.running, Some(3.0));
    assert_eq!(load.waiting, Some(7.0), "another name that begins alike is another series");
    assert_eq!(load.kv_used_ratio, Some(0.25));
    assert_eq!((load.cache_block_tokens, load.cache_blocks), (Some(16), Some(512)));
    let adapters = load.adapters.unwrap();
    assert_eq!(adapters.max, Some(2));
    assert_eq!(
        Adapters::names(&adapters.running).collect::<Vec<_>>(),
        ["sql", "law"],
        "the newest series counts"
    );
    assert_eq!(adapters.waiting, "med");
}

#[test]
fn what_is_missing_is_none_and_not_zero() {
    assert_eq!(load(b""), Load::default());
    assert_eq!(load(b"vllm:num_requests_waiting{engine=\"0\"} NaN\n").waiting, None);
    assert_eq!(load(b"vllm:cache_config_info{num_gpu_blocks=\"None\"} 1\n").cache_blocks, None);
}

#[test]
fn ranks_of_one_process_are_summed_and_their_cache_use_is_averaged() {
    let text = "vllm:num_requests_waiting{engine=\"0\"} 2\nvllm:num_requests_waiting{engine=\"1\"} 3\n\
                vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.4";
    let load = load(text.as_bytes());
    assert_eq!(load.waiting, Some(5.0));
    assert!((load.kv_used_ratio.unwrap() - 0.3).abs() < 1e-9);
}

#[test]
fn the_old_name_of_the_cache_use_is_read_when_the_new_one_is_absent() {
    assert_eq!(load(b"vllm:gpu_cache_usage_perc 0.5\n").kv_used_ratio, Some(0.5));
    assert_eq!(
        load(b"vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.1\n").kv_used_ratio,
        Some(0.1)
    );
}

#[test]
fn braces_commas_and_quotes_inside_a_label_do_not_mislead() {
    let text = r#"m{a="x,b=\"y\"}",b="two\nlines",c="\\"} 1.5 1700000000"#;
    let series = series(text.as_bytes()).next().unwrap();
    assert_eq!(series.label("a").unwrap(), "x,b=\"y\"}");
    assert_eq!(series.label("b").unwrap(), "two\nlines");
    assert_eq!(series.label("c").unwrap(), "\\");
    assert_eq!(series.label("d"), None);
    assert_eq!(series.value, 1.5);
}

type Row = (String, Vec<(String, String)>, f64);

/// The obvious way: everything into owned lists, character by character.
fn naive(text: &str) -> Vec<Row> {
    let mut all = Vec::new();
    for line in text.lines() {
        let mut chars = line.chars().peekable();
        let mut name = String::new();
        while let Some(char) = chars.next_if(|char| *char != '{' && *char != ' ') {
            name.push(char);
        }
        let mut labels = Vec::new();
        if chars.next_if_eq(&'{').is_some() {
            while chars.peek().is_some_and(|char| *char != '}') {
                let mut key = String::new();
                while let Some(char) = chars.next_if(|char| *char != '=') {
                    key.push(char);
                }
                chars.next();
                chars.next();
                let mut value = String::new();
                while let Some(char) = chars.next() {
                    match char {
                        '"' => break,
                        '\\' => match chars.next() {
                            Some('n') => value.push('\n'),
                            Some(other) => value.push(other),
                            None => {}
                        },
                        other => value.push(other),
                    }
                }
                labels.push((key, value));
                chars.next_if_eq(&',');
            }
            chars.next();
        }
        let value: String = chars.collect();
        all.push((name, labels, value.trim().parse().unwrap()));
    }
    all
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_a_naive_reader(
        rows in proptest::collection::vec(
            ("[a-z:_]{1,12}", proptest::collection::btree_map("[a-z_]{1,6}", "[a-z,=} {\"\\\\\n]{0,8}", 0..4), -1e6_f64..1e6),
            0..12,
        ),
    ) {
        let mut text = String::new();
        for (name, labels, value) in &rows {
            text.push_str(name);
            if !labels.is_empty() {
                let list: Vec<String> = labels
                    .iter()
                    .map(|(key, value)| {
                        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                        format!("{key}=\"{value}\"")
                    })
                    .collect();
                text.push_str(&format!("{{{}}}", list.join(",")));
            }
            text.push_str(&format!(" {value}\n"));
        }
        let expected = naive(&text);
        let found: Vec<Series<'_>> = series(text.as_bytes()).collect();
        prop_assert_eq!(found.len(), expected.len());
        for (found, (name, labels, value)) in found.iter().zip(&expected) {
            prop_assert_eq!(found.name, name);
            prop_assert_eq!(found.value, *value);
            for (key, value) in labels {
                let label = found.label(key);
                prop_assert_eq!(label.as_deref(), Some(value.as_str()));
            }
        }
    }

    #[test]
    fn no_text_makes_the_scanner_panic(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(&text);
        let with_name = [b"vllm:lora_requests_info{".as_slice(), &text].concat();
        let _ = load(&with_name);
    }
}
