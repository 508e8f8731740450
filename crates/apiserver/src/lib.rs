//! The Kubernetes API in a process.
