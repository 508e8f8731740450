//! What travels: OpenAI bodies, SSE, headers, engine metrics, hashes.
