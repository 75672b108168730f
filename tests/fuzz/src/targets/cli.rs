//! What a person types, and the plan that two people sign.

use clap::Parser;
use mesh_core::ids::RegionId;
use mesh_core::plan::Plan;
use mesh_proto::{plan_hash, v1};
use meshctl::args::Cli;
use meshctl::plan_file;
use prost::Message;

use super::values;
use crate::scratch;
use crate::target::{Shape, Target};

const WORDS_MAX: usize = 32;

pub fn arguments() -> Target {
    let reads = "command lines of meshctl, one word a line: names, hashes, durations, paths";
    let target = Target::new("arguments", reads, Shape::Text, || LINES.iter().map(|line| words(line)).collect(), check);
    target.words(WORDS).inputs(1_000).bytes_max(2 * 1024).allocates(64 * 1024 * 1024, 1024)
}

pub fn plan_file() -> Target {
    let reads = "plans kept in a file for `failover --plan`";
    let seeds = || values::plans().iter().map(|plan| v1::Plan::from(plan).encode_to_vec()).collect();
    Target::new("plan-file", reads, Shape::Message, seeds, plan_check).words(super::domain::WORDS).inputs(4_000)
}

const LINES: &[&str] = &[
    "status --stale --json",
    "failover --to us-west-2 --from us-east-1 --service maip --yes --no-wait",
    "plan failover --to us-west-2 --save plan.bin",
    "freeze maip --for 90m --reason x",
    "approve maip-g7 --key ann.key --minutes 15 --skip step-1",
    "audit verify audit.bin --head 0000000000000000000000000000000000000000000000000000000000000000",
    "history --limit 20 --timeout 600",
    "why-not maip --to us-west-2",
    "coordinator status",
    "pki init",
    "keys generate ann-1",
];

const WORDS: &[&str] =
    &["--for", "1d", "99999999999999999999h", "2é", "--json", "--", "-", "--to", "maip", "0h", "--profile"];

fn words(line: &str) -> Vec<u8> {
    line.replace(' ', "\n").into_bytes()
}

fn check(input: &[u8]) -> bool {
    let text = String::from_utf8_lossy(input);
    let words = std::iter::once("meshctl").chain(text.lines().take(WORDS_MAX));
    match Cli::try_parse_from(words) {
        Ok(_) => true,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "a refusal says why");
            false
        }
    }
}

fn plan_check(input: &[u8]) -> bool {
    let to: RegionId = values::id("us-west-2");
    let loaded = scratch::with_file(input, |path| plan_file::load(path, &to, &[]));
    let Ok(plans) = loaded else { return false };
    let [planned] = plans.planned.as_slice() else { panic!("a file holds one plan") };
    let again = Plan::try_from(v1::Plan::from(&planned.plan)).expect("what was read can be sent");
    assert_eq!(plan_hash(&again), planned.hash, "what is started has the hash that was signed");
    true
}
