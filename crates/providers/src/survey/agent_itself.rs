//! The agent: do its credentials work, and is its clock right?

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mesh_core::survey::Finding;
use mesh_core::time::Timestamp;

use super::examine::subject_of_agent;
use super::{Scene, failed};
use crate::aws::lists;

/// The provider's date is in whole seconds, and the answer was on its way.
const SKEW_SEEN: Duration = Duration::from_secs(3);
/// AWS refuses signatures that are five minutes off; calls that may still arrive are waited out with as much to spare.
const SKEW_MAX: Duration = Duration::from_secs(60);

pub(super) async fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let subject = subject_of_agent(scene);
    let before = now();
    match lists::sts::caller(&scene.aws).await {
        Err(error) => vec![failed(&subject, error)],
        Ok((caller, date)) => {
            let text = format!("is {} of AWS account {}", caller.arn, caller.account);
            let clock = date.map(|date| clock(&subject, date, before, now()));
            [Some(Finding::ok(&subject, text)), clock].into_iter().flatten().collect()
        }
    }
}

pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(mesh_core::time::duration_millis(since))
}

/// The provider said `date`, rounded down to a second, between `before` and `after` of this clock.
fn clock(subject: &str, date: Timestamp, before: Timestamp, after: Timestamp) -> Finding {
    let latest = date.plus(Duration::from_secs(1));
    let ahead = before.since(latest);
    let behind = date.since(after);
    let (off, way) = if ahead >= behind { (ahead, "ahead of") } else { (behind, "behind") };
    let text = format!("its clock is {} s {way} AWS's", off.as_secs());
    let mend = "synchronise the clock of the agent's machine: `timedatectl set-ntp true`, then `timedatectl`";
    if off > SKEW_MAX {
        Finding::problem(subject, text, mend)
    } else if off > SKEW_SEEN {
        Finding::warning(subject, text, mend)
    } else {
        Finding::ok(subject, "its clock agrees with AWS's")
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    #[test]
    fn a_clock_is_judged_by_the_least_that_it_can_be_off() {
        let at = |s: u64| Timestamp::from_millis(s * 1000);
        let level = |date, before, after| clock("x", at(date), at(before), at(after)).level;
        assert_eq!(level(100, 100, 101), Level::Ok);
        assert_eq!(level(100, 98, 130), Level::Ok, "the answer took long: nothing is known");
        assert_eq!(level(100, 110, 111), Level::Warning);
        assert_eq!(level(100, 89, 90), Level::Warning);
        assert_eq!(level(100, 200, 201), Level::Problem);
        assert_eq!(level(200, 100, 101), Level::Problem);
    }
}
