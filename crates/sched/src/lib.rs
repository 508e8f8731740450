//! Request and fleet snapshot become a pick, and why.
