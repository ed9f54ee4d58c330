//! Open-loop load generator and side-by-side measurements of the gateway.
fn main() {}
