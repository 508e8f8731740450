//! Merged spec and facts become objects; objects seen become status.
