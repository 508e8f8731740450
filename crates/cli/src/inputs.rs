//! Files and folders to documents, each knowing where it came from.

use std::path::{Path, PathBuf};

use yaml::Document;

use crate::problem::Problem;

/// One document of one file.
#[derive(Debug)]
pub(crate) struct Input {
    /// The file as the user would name it.
    pub(crate) file: PathBuf,
    /// The document with its positions.
    pub(crate) document: Document,
}

/// Endings of the files that a folder contributes.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// The largest file that is read; an API server takes no object over 3 MiB, and a file may hold many.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// All documents of `paths` in order; of a folder, those of its files in the order of their names.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Vec<Input>, Vec<Problem>> {
    let mut inputs = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match files(path) {
            Err(problem) => problems.push(problem),
            Ok(files) => {
                for file in files {
                    match documents(&file) {
                        Ok(documents) => {
                            inputs.extend(
                                documents.into_iter().map(|document| Input { file: file.clone(), document }),
                            );
                        }
                        Err(problem) => problems.push(problem),
                    }
                }
            }
        }
    }
    if problems.is_empty() { Ok(inputs) } else { Err(problems) }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, Problem> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.is_file())
        .filter(|file| file.extension().and_then(|e| e.to_str()).is_some_and(|e| ENDINGS.contains(&e)))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(Problem::new("the folder holds no .yaml, .yml or .json file").in_file(path));
    }
    Ok(files)
}

fn documents(file: &Path) -> Result<Vec<Document>, Problem> {
    let size = std::fs::metadata(file).map_err(|error| unreadable(file, &error))?.len();
    if size > MAX_FILE_BYTES {
        return Err(Problem::new(format!("{size} bytes are more than the {MAX_FILE_BYTES} that are read"))
            .in_file(file));
    }
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        Problem::new(format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to()))
            .in_file(file)
            .hint("give a YAML file; model weights are named by spec.model.uri")
    })?;
    let documents = yaml::read_documents(&text).map_err(|error| {
        Problem::new(error.to_string())
            .in_file(file)
            .at(error.position())
            .hint("check indentation, brackets and quotes at that line")
    })?;
    for document in &documents {
        if let Some((pointer, position)) = document.duplicates.first() {
            let mut problem =
                Problem::new("the key stands twice in this mapping").in_file(file).at(Some(*position));
            problem.field = Some(field_path(pointer));
            return Err(problem.hint("keep one of the two; only the last would count"));
        }
    }
    Ok(documents)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let problem = Problem::new(format!("cannot be read: {error}")).in_file(path);
    match error.kind() {
        std::io::ErrorKind::NotFound => problem.hint("check the path"),
        std::io::ErrorKind::PermissionDenied => problem.hint("make the file readable for this user"),
        _ => problem,
    }
}

/// `/spec/template/containers/0/name` as Kubernetes writes it: `spec.template.containers[0].name`.
pub(crate) fn field_path(pointer: &str) -> String {
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let is_index = !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
        if is_index || name.contains(['.', '/']) {
            path.push_str(&format!("[{name}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&name);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_reads_as_kubernetes_writes_fields() {
        assert_eq!(field_path("/spec/template/containers/0/name"), "spec.template.containers[0].name");
        assert_eq!(field_path("/metadata/labels/a.b~1c"), "metadata.labels[a.b/c]");
    }

    #[test]
    fn a_folder_gives_its_files_by_name_and_an_empty_one_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&[dir.path().to_owned()]).unwrap_err()[0].text().contains("holds no .yaml"));
        std::fs::write(dir.path().join("b.yaml"), "kind: B\n").unwrap();
        std::fs::write(dir.path().join("a.json"), "{\"kind\": \"A\"}\n").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "no").unwrap();
        let kinds: Vec<_> = read(&[dir.path().to_owned()])
            .unwrap()
            .iter()
            .map(|i| i.document.value["kind"].clone())
            .collect();
        assert_eq!(kinds, ["A", "B"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_line_and_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.yaml");
        assert!(read(std::slice::from_ref(&file)).unwrap_err()[0].text().contains("hint: check the path"));
        std::fs::write(&file, "a: [\nb: 1\n").unwrap();
        let text = read(std::slice::from_ref(&file)).unwrap_err()[0].text();
        assert!(text.contains("x.yaml:") && text.contains("not YAML"), "{text}");
        std::fs::write(&file, "a:\n  b: 1\n  b: 2\n").unwrap();
        let text = read(&[file]).unwrap_err()[0].text();
        assert!(text.contains("x.yaml:3:3: a.b: the key stands twice"), "{text}");
    }
}
