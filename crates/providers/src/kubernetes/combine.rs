//! One answer for the patches of one call.

use mesh_core::execute::CallResult;

/// All accepted: accepted. None applied: as the worst of them. Some applied and others not is in doubt as a whole: what
/// remains is seen by the next look.
pub(super) fn combine(results: Vec<CallResult>) -> CallResult {
    let (mut accepted, mut not_applied, mut rejected, mut unknown) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for result in results {
        match result {
            CallResult::Accepted { reference } => accepted.push(reference),
            CallResult::NotApplied { reason } => not_applied.push(reason),
            CallResult::Rejected { reason } => rejected.push(reason),
            CallResult::Unknown { reason } => unknown.push(reason),
        }
    }
    if not_applied.is_empty() && rejected.is_empty() && unknown.is_empty() {
        return CallResult::Accepted { reference: accepted.join(",") };
    }
    let is_rejected = !rejected.is_empty();
    let in_doubt = !unknown.is_empty() || !accepted.is_empty();
    let failures: Vec<_> = unknown.into_iter().chain(rejected).chain(not_applied).collect();
    let mut reason = failures.join("; ");
    if !accepted.is_empty() {
        reason.push_str(&format!("; done: {}", accepted.join(",")));
    }
    match (in_doubt, is_rejected) {
        (true, _) => CallResult::Unknown { reason },
        (false, true) => CallResult::Rejected { reason },
        (false, false) => CallResult::NotApplied { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_was_applied_in_part_is_in_doubt_as_a_whole() {
        let text = || "x".to_owned();
        let accepted = || CallResult::Accepted { reference: text() };
        let not_applied = || CallResult::NotApplied { reason: text() };
        let rejected = || CallResult::Rejected { reason: text() };
        let unknown = || CallResult::Unknown { reason: text() };
        for (results, expected) in [
            (vec![accepted(), accepted()], "accepted"),
            (vec![not_applied(), not_applied()], "not-applied"),
            (vec![not_applied(), rejected()], "rejected"),
            (vec![accepted(), not_applied()], "unknown"),
            (vec![accepted(), rejected()], "unknown"),
            (vec![not_applied(), unknown()], "unknown"),
        ] {
            let kind = match combine(results.clone()) {
                CallResult::Accepted { .. } => "accepted",
                CallResult::NotApplied { .. } => "not-applied",
                CallResult::Rejected { .. } => "rejected",
                CallResult::Unknown { .. } => "unknown",
            };
            assert_eq!(kind, expected, "{results:?}");
        }
    }
}
