//! A mock LLM provider that speaks the true OpenAI wire format, with faults on demand.
