//! Envoy's external processing protocol (`envoy.service.ext_proc.v3`) as tonic code: the messages and fields that
//! Sluice uses, made from `proto/ext_proc.proto` when the crate is built. Bodies are [`bytes::Bytes`].

/// The generated messages, server and client.
#[expect(missing_docs, unused_qualifications, clippy::pedantic, clippy::allow_attributes, reason = "generated code")]
mod generated {
    tonic::include_proto!("envoy.service.ext_proc.v3");
}

pub use generated::*;
pub use prost_types::{Duration, ListValue, Struct, Value, value};
