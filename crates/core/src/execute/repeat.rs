//! A call that may have been sent already, at a provider that cannot be asked whether it was, and drops repeats for a
//! while: it is sent again only while it is certainly young enough.
//!
//! Its age is counted by the mesh's time and by the agent's wall clock, which fail apart from each other: a step of
//! either makes them disagree, and then nobody can say how old it is. A leader's clock that was ahead and was set right
//! is no disagreement: the mesh's time then goes on at half speed until the clock has caught up.

use std::time::Duration;

use super::Job;
use crate::time::Timestamp;

/// SNS drops repeats for five minutes; a minute is left for the call itself.
const REPEAT_WITHIN: Duration = Duration::from_secs(240);
/// The same by clocks that may run at half speed, as the mesh's time does while it waits for a leader's clock.
const REPEAT_WITHIN_BY_CLOCKS: Duration = Duration::from_secs(120);
/// Two clocks that differ by more than this say nothing of ages.
const SKEW_MAX: Duration = Duration::from_secs(30);

/// `Ok`: is it a repeat? `Err`: why nobody can tell that a repeat would be dropped. `sent_ago`: this process itself sent
/// it first so long ago. `job`: as [`Job::for_provider`] made it.
pub fn within_reach(job: &Job, sent_ago: Option<Duration>, wall: Timestamp) -> Result<bool, String> {
    let since = job.maybe_sent_since;
    if sent_ago.is_none() && since.is_none() {
        return Ok(false);
    }
    if let Some(mesh) = job.mesh_time {
        let skew = wall.since(mesh).max(mesh.since(wall));
        if skew > SKEW_MAX {
            let skew = skew.as_secs();
            return Err(format!("how long ago cannot be told: this clock and the mesh's are {skew} s apart"));
        }
    }
    if since.is_some_and(|since| since.since(wall) > SKEW_MAX) {
        return Err("at a time that this clock has not reached".to_owned());
    }
    let by_clocks = [Some(wall), job.mesh_time].into_iter().flatten();
    let by_clocks = by_clocks.filter_map(|now| Some(now.since(since?))).max().unwrap_or_default();
    let by_own = sent_ago.unwrap_or_default();
    if by_clocks >= REPEAT_WITHIN_BY_CLOCKS || by_own >= REPEAT_WITHIN {
        return Err(format!("{} s ago", by_clocks.max(by_own).as_secs()));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::super::tests::job;
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn told(sent_ago: Option<u64>, since: Option<u64>, mesh: Option<Timestamp>) -> Option<bool> {
        let maybe_sent_since = since.map(|ago| NOW.minus(seconds(ago)));
        within_reach(&Job { maybe_sent_since, mesh_time: mesh, ..job() }, sent_ago.map(seconds), NOW).ok()
    }

    #[test]
    fn what_may_have_been_sent_is_repeated_only_soon() {
        for mesh in [None, Some(NOW)] {
            for (sent, since, expected) in [
                (None, None, Some(false)),
                (Some(10), None, Some(true)),
                (Some(239), Some(10), Some(true)),
                (Some(240), None, None),
                (Some(1), Some(120), None),
                (None, Some(100), Some(true)),
            ] {
                assert_eq!(told(sent, since, mesh), expected, "{sent:?} {since:?}");
            }
        }
        let ahead = Job { maybe_sent_since: Some(NOW.plus(seconds(31))), ..job() };
        assert!(within_reach(&ahead, None, NOW).is_err());
    }

    #[test]
    fn clocks_that_disagree_say_nothing_of_an_age() {
        for mesh in [NOW.plus(seconds(31)), NOW.minus(seconds(31))] {
            assert_eq!(told(Some(1), Some(10), Some(mesh)), None);
            assert_eq!(told(None, None, Some(mesh)), Some(false), "what was certainly not sent may be sent");
        }
        assert_eq!(told(None, Some(100), Some(NOW.plus(seconds(29)))), None, "the greater age counts");
        assert_eq!(told(None, Some(90), Some(NOW.plus(seconds(29)))), Some(true));
    }

    fn stepped(at: Timestamp, by: i64) -> Timestamp {
        Timestamp::from_millis(at.as_millis().saturating_add_signed(by * 1_000))
    }

    #[test]
    fn no_step_of_one_clock_lets_an_old_call_be_repeated() {
        let offered = NOW.minus(seconds(400));
        for step in (-900..=900).step_by(5) {
            // When the call was written down, now, or from before the one until after the other.
            for (then, now) in [(step, 0), (0, step), (step, step)] {
                let called = offered.plus(seconds(5));
                let of_wall =
                    Job { mesh_time: Some(offered), ..job() }.for_provider(Some(stepped(called, then)), Some(NOW));
                assert!(within_reach(&of_wall, None, stepped(NOW, now)).is_err(), "the agent's clock: {then} {now}");
                let of_mesh = Job { mesh_time: Some(stepped(offered, then)), ..job() };
                let of_mesh = of_mesh.for_provider(Some(called), Some(stepped(NOW, now)));
                assert!(within_reach(&of_mesh, None, NOW).is_err(), "the mesh's time: {then} {now}");
            }
        }
    }

    #[test]
    fn a_call_of_another_is_not_repeated_late_while_the_mesh_waits_for_a_clock_that_was_ahead() {
        // As `MeshClock` has it: half speed until the clock has caught up.
        for ahead in 0..900 {
            for real in 300..1_000 {
                let (opened, wall) = (NOW.plus(seconds(ahead)), NOW.plus(seconds(real)));
                let mesh = opened.plus(seconds(real / 2)).max(wall);
                let job = Job { maybe_sent_since: Some(opened), mesh_time: Some(mesh), ..job() };
                assert!(within_reach(&job, None, wall).is_err(), "{ahead} s ahead, {real} s later");
            }
        }
    }
}
