//! AWS: where keys come from, in the order of AWS's own tools, and requests signed with them.

mod chain;
mod metadata;
mod profile;
mod sign;
mod sts;

pub(super) use chain::Chain;
pub(super) use sign::Signer;
