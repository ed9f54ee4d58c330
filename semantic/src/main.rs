//! Measures the semantic cache on files of pairs.
fn main() {}
