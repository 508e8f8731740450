//! YAML as Kubernetes reads and writes it, with the position of every value.
