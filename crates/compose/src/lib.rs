//! Presets, baseRefs and service become one merged spec.
