//! Manifests: YAML from people. What is accepted can be sent, stored, planned with and read back.

use std::fs;
use std::path::Path;

use mesh_core::manifest::Manifest;
use mesh_manifest::parse;
use mesh_proto::v1;
use prost::Message;

use super::mesh::EXAMPLES;
use crate::target::{Shape, Target};

pub fn target() -> Target {
    let reads = "manifests, as people write them: YAML, keys, values, and rules about several keys";
    let target = Target::new("manifest", reads, Shape::Text, seeds, check);
    target.words(WORDS).inputs(4_000).bytes_max(32 * 1024).allocates(4 * 1024 * 1024, 2048)
}

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = EXAMPLES.iter().map(|(_, yaml)| yaml.as_bytes().to_vec()).collect();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/manifest/tests/bad");
    let mut bad: Vec<_> =
        fs::read_dir(dir).expect("the refused examples").flatten().map(|entry| entry.path()).collect();
    bad.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    bad.sort();
    seeds.extend(bad.iter().map(|path| fs::read(path).expect("a refused example")));
    seeds
}

fn check(input: &[u8]) -> bool {
    let Ok(yaml) = std::str::from_utf8(input) else { return false };
    match parse(yaml, "fuzz.yaml") {
        Ok(manifest) => {
            let bytes = v1::Manifest::from(&manifest).encode_to_vec();
            let wire = v1::Manifest::decode(bytes.as_slice()).expect("what was written is parsed");
            let again = Manifest::try_from(wire);
            let again = again.unwrap_or_else(|error| panic!("a manifest that is valid cannot be sent: {error}"));
            assert_eq!(again, manifest, "a manifest arrives as another");
            assert!(mesh_core::manifest::check::check(&manifest).is_empty(), "it breaks a rule of the core");
            true
        }
        Err(diagnostics) => {
            let lines = yaml.chars().filter(|c| c.is_control() || c.is_whitespace()).count() + 2;
            assert!(!diagnostics.is_empty(), "a refusal says why");
            let places = |found: &mesh_manifest::Diagnostic| found.line > 0 && found.column > 0 && found.line <= lines;
            assert!(diagnostics.iter().all(places), "a refusal names a place that is in the file: {diagnostics:?}");
            false
        }
    }
}

const WORDS: &[&str] = &[
    "us-east-1",
    "us-west-2",
    "primary",
    "standby",
    "witness",
    "single",
    "multi",
    "automatic: full",
    "unfenced: accepted",
    "30s",
    "366d",
    "1h30m",
    "18446744073709551615ms",
    "0s",
    "[]",
    "{}",
    "- ",
    ": ",
    "&a",
    "*a",
    "!!str ",
    "|",
    ">",
    "? ",
    "---",
    "...",
    "~",
    "0x10",
    ".inf",
    "1e9",
    "lag(database) < 5s",
    "regions-on >= 2",
    "mon-fri 08:00-18:00",
    "{region}",
    "http://",
    "https://x/",
    "AAAA",
    "CNAME",
    "\"",
    "'",
    "#",
];
