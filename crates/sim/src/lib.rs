//! A simulated vLLM.
