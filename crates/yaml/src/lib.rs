//! YAML as Kubernetes reads and writes it, with the position of every value.
//!
//! Text goes in; JSON values, the line and column of each, and the keys that stood twice come out. Scalars get
//! their types by the YAML 1.1 rules that `sigs.k8s.io/yaml` applies (`yes` is a bool, `0644` is octal), because
//! that is what kubectl and the API server do with the same file. The writer prints what kubectl prints: keys
//! sorted, lists not indented, no line folded.
//!
//! Nothing here opens a file or knows a schema.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod read;
mod scalar;
mod write;

pub use read::{Document, Error, Marks, Position, read_documents, read_value};
pub use write::{write, write_documents};
