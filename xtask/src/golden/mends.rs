//! Differences that are meant, from `tests/golden-mends.yaml` (its head explains the form).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use globset::{Glob, GlobMatcher};
use serde_json::Value;

use super::difference::Difference;

/// Something that is true of a case: `apiVersion/kind/namespace/name.field.path=value`, and of which service, if of one.
#[derive(Clone)]
pub(crate) struct Fact {
    pub(crate) service: Option<String>,
    pub(crate) line: String,
}

/// The list.
pub(crate) struct Mends {
    mends: Vec<Mend>,
    expected: PathBuf,
}

struct Mend {
    id: String,
    test: String,
    paths: Vec<Rule>,
    phases: Vec<Rule>,
    files: Vec<GlobMatcher>,
    wanted: Vec<GlobMatcher>,
    ours: Vec<GlobMatcher>,
    when: Vec<GlobMatcher>,
    unless: Vec<GlobMatcher>,
    except: Vec<GlobMatcher>,
}

/// A glob that remembers whether it was of use.
struct Rule {
    glob: GlobMatcher,
    used: AtomicBool,
}

impl Rule {
    fn matches(&self, text: &str) -> bool {
        self.glob.is_match(text)
    }
}

impl Mends {
    /// Reads the list and checks its form.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("tests/golden-mends.yaml");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let list = yaml::read_value(&text).with_context(|| path.display().to_string())?;
        let mut mends: Vec<Mend> = Vec::new();
        for entry in list.as_array().into_iter().flatten() {
            let mend = mend(entry).with_context(|| path.display().to_string())?;
            if mends.iter().any(|known| known.id == mend.id) {
                bail!("{}: {} is there twice", path.display(), mend.id);
            }
            mends.push(mend);
        }
        Ok(Self { mends, expected: root.join("tests/golden-mends") })
    }

    /// Whether a rule over paths names the difference. `facts` are those of its phase.
    pub(crate) fn covers(&self, difference: &Difference, facts: &[Fact]) -> bool {
        let mut covered = false;
        // Every rule that would do is noted as used, so that the order of the list does not matter.
        for mend in self.mends.iter().filter(|mend| mend.holds(difference, facts)) {
            for rule in mend.paths.iter().filter(|rule| rule.matches(&difference.path)) {
                rule.used.store(true, Ordering::Relaxed);
                covered = true;
            }
        }
        covered
    }

    /// The folder of our own expected files for a phase (`render/NAME/edit-1`) whose whole outcome is another one.
    pub(crate) fn expected(&self, phase: &str) -> Option<PathBuf> {
        let rule = self.mends.iter().flat_map(|mend| &mend.phases).find(|rule| rule.matches(phase))?;
        rule.used.store(true, Ordering::Relaxed);
        Some(self.expected.join(phase))
    }

    /// Rules that nothing needed.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = |mend: &Mend| -> Vec<String> {
            let rules = mend.paths.iter().chain(&mend.phases);
            let idle = rules.filter(|rule| !rule.used.load(Ordering::Relaxed));
            idle.map(|rule| format!("{}: {}", mend.id, rule.glob.glob().glob())).collect()
        };
        self.mends.iter().flat_map(unused).collect()
    }

    /// Mends whose test is nowhere among the sources below `root`.
    pub(crate) fn without_test(&self, root: &Path) -> Result<Vec<String>> {
        let mut sources = String::new();
        let mut folders = vec![root.join("crates")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    sources.push_str(&std::fs::read_to_string(&path)?);
                }
            }
        }
        let functions: BTreeSet<&str> = sources
            .split("fn ")
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
            .collect();
        let is_missing =
            |mend: &&Mend| !functions.contains(mend.test.rsplit("::").next().unwrap_or_default());
        Ok(self.mends.iter().filter(is_missing).map(|mend| format!("{}: {}", mend.id, mend.test)).collect())
    }
}

impl Mend {
    fn holds(&self, difference: &Difference, facts: &[Fact]) -> bool {
        let any = |globs: &[GlobMatcher], text: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob.is_match(text))
        };
        // Facts of another service than the one that differs prove nothing.
        let is_so = |glob: &GlobMatcher| {
            facts.iter().any(|fact| {
                (fact.service.is_none() || difference.service.is_none() || fact.service == difference.service)
                    && glob.is_match(&fact.line)
            })
        };
        self.paths.iter().any(|rule| rule.matches(&difference.path))
            && !self.except.iter().any(|glob| glob.is_match(&difference.path))
            && any(&self.files, &difference.file)
            && any(&self.wanted, &text(difference.wanted.as_ref()))
            && any(&self.ours, &text(difference.ours.as_ref()))
            && self.when.iter().all(is_so)
            && !self.unless.iter().any(is_so)
    }
}

/// A value as rules see it: text as it is, the rest as JSON, nothing as `absent`.
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        None => "absent".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn mend(entry: &Value) -> Result<Mend> {
    const FIELDS: [&str; 11] =
        ["id", "why", "test", "paths", "except", "phases", "files", "wanted", "ours", "when", "unless"];
    let id = entry["id"].as_str().unwrap_or_default().to_owned();
    for name in entry.as_object().into_iter().flat_map(|fields| fields.keys()) {
        if !FIELDS.contains(&name.as_str()) {
            bail!("{id}: {name}: unknown field; the fields are {}", FIELDS.join(", "));
        }
    }
    for field in ["id", "why", "test"] {
        if entry[field].as_str().is_none_or(|text| text.is_empty() || text.contains('\n')) {
            bail!("{id}: {field}: one line is needed");
        }
    }
    let globs = |field: &str| -> Result<Vec<GlobMatcher>> {
        let texts = match &entry[field] {
            Value::Null => Vec::new(),
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => bail!("{id}: {field}: a list of globs is needed"),
        };
        let glob = |text: &String| {
            Ok(Glob::new(text).with_context(|| format!("{id}: {field}: {text}"))?.compile_matcher())
        };
        texts.iter().map(glob).collect()
    };
    let rules = |field: &str| -> Result<Vec<Rule>> {
        Ok(globs(field)?.into_iter().map(|glob| Rule { glob, used: AtomicBool::new(false) }).collect())
    };
    let (paths, phases) = (rules("paths")?, rules("phases")?);
    if paths.is_empty() == phases.is_empty() {
        bail!("{id}: either paths or phases is needed");
    }
    Ok(Mend {
        test: entry["test"].as_str().unwrap_or_default().to_owned(),
        paths,
        phases,
        files: globs("files")?,
        wanted: globs("wanted")?,
        ours: globs("ours")?,
        when: globs("when")?,
        unless: globs("unless")?,
        except: globs("except")?,
        id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(text: &str) -> Mends {
        let entries = yaml::read_value(text).unwrap();
        let mends = entries.as_array().unwrap().iter().map(|entry| mend(entry).unwrap()).collect();
        Mends { mends, expected: PathBuf::new() }
    }

    fn label(name: &str) -> Difference {
        Difference {
            file: "want.yaml".to_owned(),
            path: format!("apps/v1/Deployment/ns/{name}.spec.selector.matchLabels.team"),
            wanted: Some(json!("a")),
            ours: None,
            service: Some(name.to_owned()),
        }
    }

    #[test]
    fn a_rule_names_paths_values_and_what_must_hold_for_the_service() {
        let mends = list(
            "[{id: a, why: w, test: t, paths: ['apps/v1/Deployment/*/*.spec.selector.*'], ours: absent, when: ['*.spec.labels.*']}]",
        );
        let facts = [Fact { service: Some("x".to_owned()), line: "k/ns/x.spec.labels.team=a".to_owned() }];
        assert!(mends.covers(&label("x"), &facts));
        assert!(!mends.covers(&label("y"), &facts), "another service's labels are no reason");
        assert!(!mends.covers(&label("x"), &[]));
        let changed = Difference { ours: Some(json!("b")), ..label("x") };
        assert!(!mends.covers(&changed, &facts));
        assert_eq!(mends.unused(), Vec::<String>::new());
    }

    #[test]
    fn a_rule_that_nothing_needs_is_told() {
        let mends = list("[{id: a, why: w, test: t, paths: ['x', 'y']}]");
        let difference = Difference { path: "x".to_owned(), ..label("x") };
        assert!(mends.covers(&difference, &[]));
        assert_eq!(mends.unused(), ["a: y"]);
    }

    #[test]
    fn a_mend_has_a_reason_a_test_and_either_paths_or_phases() {
        for entry in [
            "{id: a, test: t, paths: [x]}",
            "{id: a, why: w, paths: [x]}",
            "{id: a, why: w, test: t}",
            "{id: a, why: w, test: t, cases: [x]}",
        ] {
            assert!(mend(&yaml::read_value(entry).unwrap()).is_err(), "{entry}");
        }
    }
}
