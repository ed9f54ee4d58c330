//! Compiles the `.proto` file to tonic code, without protoc.

use std::error::Error;

const PROTO: &str = "proto/ext_proc.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={PROTO}");
    let files = protox::compile([PROTO], ["proto"])?;
    let mut config = prost_build::Config::new();
    // Bodies and header values stay slices of what came off the socket.
    config.bytes(["."]);
    tonic_prost_build::configure().build_client(true).compile_fds_with_config(files, config)?;
    Ok(())
}
