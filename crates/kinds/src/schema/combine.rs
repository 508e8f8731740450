//! `allOf`, `anyOf`, `oneOf`, `not`.

use serde_json::{Value, json};

use super::path::Path;
use super::validate::Walk;
use super::{Schema, Violation};

pub(super) fn check(schema: &Schema, value: &Value, path: &Path<'_>, found: &mut Vec<Violation>) {
    let Some(combinations) = schema.combinations.as_deref().filter(|_| !value.is_null()) else { return };
    if combinations.is_int_or_string && (value.is_string() || value.is_i64() || value.is_u64()) {
        return;
    }
    let against = |schema: &Schema| {
        let mut walk = Walk::at(path);
        walk.check(schema, value, None, false);
        walk.found
    };
    let mut failed = |why: &str, details: Vec<Violation>| {
        found.push(Violation::invalid("", &json!(""), &format!("{:?} {why}", path.text())));
        found.extend(details);
    };
    let outcomes = |schemas: &[Schema]| -> Vec<Vec<Violation>> { schemas.iter().map(&against).collect() };
    let any = outcomes(&combinations.any);
    if !any.is_empty() && any.iter().all(|found| !found.is_empty()) {
        failed("must validate at least one schema (anyOf)", any.into_iter().next().unwrap_or_default());
    }
    let one = outcomes(&combinations.one);
    let valid = one.iter().filter(|found| found.is_empty()).count();
    if valid == 0 && !one.is_empty() {
        let details = one.into_iter().next().unwrap_or_default();
        failed("must validate one and only one schema (oneOf). Found none valid", details);
    } else if valid > 1 {
        let why = format!("must validate one and only one schema (oneOf). Found {valid} valid alternatives");
        failed(&why, Vec::new());
    }
    let all: Vec<Violation> = outcomes(&combinations.all).into_iter().flatten().collect();
    if !all.is_empty() {
        failed("must validate all the schemas (allOf)", all);
    }
    if combinations.not.as_ref().is_some_and(|not| against(not).is_empty()) {
        failed("must not validate the schema (not)", Vec::new());
    }
}
