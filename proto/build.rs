//! Compiles `mesh/v1/*.proto` without protoc.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["types", "history", "store", "survey", "agent", "operator", "internal"];
    let files: Vec<String> = names.iter().map(|name| format!("mesh/v1/{name}.proto")).collect();
    for file in &files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(&files, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost_encode(&descriptors))?;
    // BTreeMap: equal messages must have equal bytes, for hashes.
    let with_grpc = "#[cfg(feature = \"grpc\")]";
    tonic_prost_build::configure()
        .btree_map(".")
        .client_mod_attribute(".", with_grpc)
        .server_mod_attribute(".", with_grpc)
        .compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
