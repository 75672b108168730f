//! Every planted bug is found: a sample here, all with `MESH_SOAK_PLANTED=all` (`make soak`), each within so many seeds.

use mesh_sim::plant::{Bug, Written, sought};
use mesh_sim::planted;

const SEEDS: u64 = 24;
const SEEDS_OF_ALL: u64 = 1_000;
const MINUTES: u64 = 30;

/// Found by the first seeds, of as many rules as possible.
const SAMPLE: [Bug; 12] = [
    Bug::NoLeaseWait,
    Bug::CallBeforeJournal,
    Bug::KeyOfIntent,
    Bug::ForgetsDoubt,
    Bug::PromotingIsDone,
    Bug::BatchInTwo,
    Bug::NoOrder,
    Bug::LossAccepted,
    Bug::OneOwnerTwoKeys,
    Bug::RefusedUnaudited,
    Bug::AnsweredBeforeCommit,
    Bug::WrongServer,
];

#[test]
fn every_planted_bug_is_found() {
    let all = std::env::var_os("MESH_SOAK_PLANTED").is_some();
    let (bugs, seeds): (Vec<Bug>, u64) =
        if all { (sought().collect(), SEEDS_OF_ALL) } else { (SAMPLE.to_vec(), SEEDS) };
    let missed: Vec<Bug> = bugs.into_iter().filter(|bug| planted::find(*bug, seeds, MINUTES).is_none()).collect();
    assert!(missed.is_empty(), "not found within {seeds} seeds: {missed:?}");
}

#[test]
fn each_of_the_24_rules_has_a_planted_bug_and_half_of_them_came_after_the_judges() {
    const RULES: [&str; 24] = [
        "OneWriter",
        "FencedGeneration",
        "IntentBeforeEffect",
        "OneEffectPerKey",
        "UnknownIsNotFailed",
        "DoneMeansReadBack",
        "NeverEmpty",
        "BlastCap",
        "RpoGate",
        "ObserverQuorum",
        "SelfDoubt",
        "NoFlap",
        "HumanWins",
        "TwoPerson",
        "AuditChain",
        "Linearizable",
        "DurableAck",
        "ReplicaAgreement",
        "FailStatic",
        "LeastPrivilege",
        "Converges",
        "FailoverDeadline",
        "ColdStart",
        "RepairsAny",
    ];
    for rule in RULES {
        assert!(sought().any(|bug| bug.rule() == rule), "no planted bug breaks {rule}");
    }
    let (all, after) = (sought().count(), sought().filter(|bug| bug.written() == Written::AfterTheFreeze).count());
    assert!(all >= 40 && after * 5 >= all * 2, "{after} of {all}");
}
