//! What users write: LLMInferenceService and LLMInferenceServiceConfig.
