//! The table of descriptions is what the types' documentation says.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const SOURCES: [&str; 9] = [
    include_str!("../conditions.rs"),
    include_str!("../v1alpha2.rs"),
    include_str!("../v1alpha2/router.rs"),
    include_str!("../v1alpha2/scaling.rs"),
    include_str!("../v1alpha2/status.rs"),
    include_str!("../v1alpha2/workload.rs"),
    include_str!("../../../kinds/src/gateway.rs"),
    include_str!("../../../kinds/src/inference.rs"),
    include_str!("../../../kinds/src/keda.rs"),
];

struct Struct {
    name: String,
    /// JSON name (`*` if flattened), Rust type without wrappers, documentation.
    fields: Vec<(String, String, String)>,
}

fn structs(source: &str) -> Vec<Struct> {
    let mut found = Vec::new();
    let (mut docs, mut attributes) = (String::new(), String::new());
    let mut open: Option<(Struct, bool)> = None;
    for line in source.lines() {
        let text = line.trim();
        if let Some(doc) = text.strip_prefix("///") {
            docs.push_str(doc);
        } else if text.starts_with("#[") {
            attributes.push_str(text);
        } else if let Some(name) = text.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            let is_camel = attributes.contains("camelCase");
            open = (!attributes.contains("transparent"))
                .then(|| (Struct { name: name.to_owned(), fields: Vec::new() }, is_camel));
            (docs, attributes) = (String::new(), String::new());
        } else if line == "}" {
            found.extend(open.take().map(|(done, _)| done));
        } else {
            let field = text.strip_prefix("pub ").and_then(|rest| rest.strip_suffix(',')?.split_once(": "));
            if let (Some((type_, is_camel)), Some((name, of))) = (&mut open, field) {
                let renamed = attributes.split_once("rename = \"").and_then(|(_, rest)| rest.split_once('"'));
                let json = match renamed {
                    _ if attributes.contains("flatten") => "*".to_owned(),
                    Some((json, _)) => json.to_owned(),
                    None if *is_camel => camel(name),
                    None => name.to_owned(),
                };
                let of = of.rsplit(['<', ' ', ':']).next().unwrap().trim_end_matches('>').to_owned();
                type_.fields.push((json, of, sentence(&docs)));
            }
            (docs, attributes) = (String::new(), String::new());
        }
    }
    found
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut camel = words.next().unwrap().to_owned();
    for word in words.filter(|word| !word.is_empty()) {
        camel.push_str(&word[..1].to_uppercase());
        camel.push_str(&word[1..]);
    }
    camel
}

fn sentence(docs: &str) -> String {
    let text =
        docs.trim().replace("`None`", "absent").replace("[`", "`").replace("`]", "`").replace("crate::", "");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    let mut sentence = text[..end].to_owned();
    // A pointer into the code is of no use to somebody with kubectl.
    if let Some(at) = sentence.find("; see `") {
        sentence.replace_range(at.., ".");
    }
    let first = sentence.chars().next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    sentence.replace_range(..first.len().min(sentence.len()), &first);
    sentence
}

/// Types that a service or a config holds, in the order of the sources. Of two with one name ours counts.
fn table() -> String {
    let structs: Vec<Struct> = SOURCES.iter().flat_map(|source| structs(source)).collect();
    let find = |name: &str| structs.iter().find(|found| found.name == name);
    let mut reached = BTreeSet::new();
    let mut open = vec!["LLMInferenceService", "LLMInferenceServiceConfig"];
    while let Some(found) = open.pop().and_then(find) {
        if reached.insert(found.name.as_str()) {
            open.extend(found.fields.iter().map(|(_, of, _)| of.as_str()).filter(|of| find(of).is_some()));
        }
    }
    let mut table = String::new();
    for found in &structs {
        // The second of one name has been taken out by then.
        if !reached.remove(found.name.as_str()) {
            continue;
        }
        let _ = writeln!(table, "{}", found.name);
        for (json, of, text) in &found.fields {
            let is_known = find(of).is_some();
            match json.as_str() {
                "apiVersion" | "kind" | "metadata" if found.name.starts_with("LLMInferenceService") => {}
                "*" if is_known => _ = writeln!(table, "  *:{of}"),
                "*" => {}
                json if is_known => _ = writeln!(table, "  {json}:{of} {text}"),
                json => _ = writeln!(table, "  {json} {text}"),
            }
        }
    }
    table
}

#[test]
fn the_table_of_descriptions_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/crd/descriptions.txt");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap_or_default(), table(), "run with UPDATE_GENERATED=1");
}
