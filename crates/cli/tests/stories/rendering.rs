//! What `render` prints for every example, held against files that were read by a person. `UPDATE_GOLDEN=1` writes them
//! anew; then read the difference.

use std::path::{Path, PathBuf};

use crate::process::llmisvc;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every file below `examples/`, by its path from there.
fn examples() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("examples")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "yaml") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Output, talk and exit code of one render, in one text.
fn rendered(example: &Path, show: &str) -> String {
    let output = llmisvc()
        .current_dir(root())
        .args(["render", "--show", show, "--now", "2026-01-02T03:04:05Z"])
        .arg(example)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    // Some documents that the seeds were taken from are wrong; examples of our own are not.
    let may_be_wrong = example.starts_with("examples/seeds");
    assert!(code == 0 || code == 2 && may_be_wrong, "{}: exit code {code}", example.display());
    let mut text = String::new();
    if code != 0 {
        text.push_str(&format!("# exit code {code}\n"));
    }
    for line in String::from_utf8(output.stderr).unwrap().lines() {
        text.push_str(&format!("# {line}\n"));
    }
    text + &String::from_utf8(output.stdout).unwrap()
}

fn compare(example: &Path, show: &str, differing: &mut Vec<String>) {
    let name =
        example.strip_prefix("examples").unwrap().with_extension("").to_string_lossy().replace('/', "-");
    let golden = root().join("tests/golden").join(show).join(format!("{name}.yaml"));
    let made = rendered(example, show);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
        std::fs::write(&golden, &made).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
    if made != wanted {
        let line = made.lines().zip(wanted.lines()).position(|(a, b)| a != b).unwrap_or(made.lines().count());
        differing.push(format!("{}: line {} differs", golden.display(), line + 1));
    }
}

#[test]
fn the_children_of_every_example_are_as_recorded() {
    let mut differing = Vec::new();
    let examples = examples();
    assert!(examples.len() > 10, "{examples:?}");
    for example in &examples {
        compare(example, "children", &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn merged_spec_and_origins_of_the_first_example_are_as_recorded() {
    let mut differing = Vec::new();
    for show in ["merged", "origins", "status", "stored", "events", "changes"] {
        compare(Path::new("examples/qwen2-7b.yaml"), show, &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

#[test]
fn json_is_the_same_document_as_yaml() {
    let run = |format: &str| {
        let output = llmisvc()
            .current_dir(root())
            .args(["render", "examples/qwen2-7b.yaml", "--show", "merged", "-o", format])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let json: serde_json::Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(yaml::read_value(&run("yaml")).unwrap(), json);
}
