//! Single values that are written as text: names, tokens, hashes, rules, windows, numbers, identities. What is accepted
//! is shown so that it reads back as the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use mesh_core::access::{Identity, Role};
use mesh_core::ids::{AgentId, Hash32, KeyId, RegionId, RunId, ServiceId, StepId, Token};
use mesh_core::manifest::Decimal;
use mesh_core::manifest::safety::Predicate;
use mesh_core::manifest::window::Window;
use mesh_core::time::Timestamp;

use crate::target::{Shape, Target};

type Check = fn(&str) -> bool;

pub fn target() -> Target {
    let reads = "names, tokens, hashes, safety rules, windows, decimals, SPIFFE identities";
    let target = Target::new("text", reads, Shape::ChosenText, seeds, check);
    target.words(WORDS).inputs(100_000).bytes_max(512)
}

/// The choice is a place in this list: add at the end.
const KINDS: &[Check] = &[
    shown::<ServiceId>,
    shown::<RegionId>,
    shown::<AgentId>,
    shown::<RunId>,
    shown::<StepId>,
    shown::<KeyId>,
    shown::<Token>,
    shown::<Hash32>,
    shown::<Role>,
    shown::<Identity>,
    shown::<Predicate>,
    window,
    shown::<Decimal>,
];

fn check(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    std::str::from_utf8(bytes).is_ok_and(KINDS[usize::from(*choice) % KINDS.len()])
}

fn shown<T: FromStr + Display + PartialEq + Debug>(text: &str) -> bool
where
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let again = value.to_string().parse::<T>();
            assert_eq!(again.ok().as_ref(), Some(&value), "{value} does not read back");
            true
        }
        Err(error) => {
            assert!(error.to_string().chars().all(|c| !c.is_control()), "a refusal shows control characters: {error}");
            false
        }
    }
}

fn window(text: &str) -> bool {
    let Ok(window) = text.parse::<Window>() else { return false };
    for now in [0, 1_704_067_200_000, u64::MAX - 1, u64::MAX].map(Timestamp::from_millis) {
        window.contains(now);
        if let Some(opening) = window.next_opening(now) {
            assert!(opening > now && window.contains(opening), "it is open when it opens");
        }
    }
    shown::<Window>(text)
}

fn seeds() -> Vec<Vec<u8>> {
    let hash = "0123456789abcdef".repeat(4);
    let texts = [
        (0, "maip"),
        (1, "us-east-1"),
        (2, "use1-a"),
        (3, "maip-g7"),
        (4, "rds-promote.db_1"),
        (5, "ada-1"),
        (6, "7.21"),
        (7, hash.as_str()),
        (8, "operator"),
        (9, "spiffe://demo/region/us-east-1/operator/ada"),
        (10, "lag(database) < 5s"),
        (10, "items-equal(database, public.orders)"),
        (10, "traffic after promotion"),
        (10, "regions-on >= 2"),
        (11, "mon-fri 08:00-18:00"),
        (11, "fri-mon,wed 22:00-02:00"),
        (11, "daily 00:00-24:00"),
        (12, "-1.5"),
        (12, "1000000000"),
    ];
    texts.iter().map(|(choice, text)| [&[*choice], text.as_bytes()].concat()).collect()
}

const WORDS: &[&str] = &[
    "-",
    ".",
    "_",
    "/",
    "0",
    "9",
    " ",
    "lag(",
    ")",
    "<",
    ">=",
    "ms",
    "5m",
    "18446744073709551615",
    " after ",
    "items_equal(",
    "mon",
    "sun",
    "daily",
    "24:00",
    "23:59",
    "spiffe://",
    "/region/",
    "agent",
    "+1",
    "é",
    ",",
];
