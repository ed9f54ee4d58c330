//! Pure translation between the OpenAI wire format and what providers speak; no I/O, no clock.
