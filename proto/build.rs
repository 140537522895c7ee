//! Compiles the proto files in pure Rust: no protoc is needed.

use std::path::PathBuf;

use prost::Message;

const FILES: [&str; 10] = [
    "xbook/peer/v1/peer.proto",
    "xbook/v1/trading.proto",
    "xbook/v1/market_data.proto",
    "xbook/v1/subscribe.proto",
    "xbook/v1/cluster.proto",
    "xbook/record/v1/enums.proto",
    "xbook/record/v1/terms.proto",
    "xbook/record/v1/record.proto",
    "xbook/record/v1/store.proto",
    "xbook/record/v1/history.proto",
];

fn main() -> anyhow::Result<()> {
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    // A message knows its name in the descriptors: this is how `xcli` prints any message as JSON.
    config.enable_type_names();
    let services = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    tonic_prost_build::configure()
        .build_client(services)
        .build_server(services)
        .bytes(".xbook.record.v1")
        .bytes(".xbook.peer.v1")
        .compile_fds_with_config(descriptors, config)?;
    println!("cargo:rerun-if-changed=xbook");
    Ok(())
}
