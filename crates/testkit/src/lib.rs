//! Fixtures, fake clock and golden files for tests.
