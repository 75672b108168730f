//! What the definition of a check says of its answers.

use std::time::Duration;

use crate::manifest::Check;

/// Probes that may be missed before nothing is known any more.
const MISSED_MAX: u32 = 3;
/// A session that is looked for, or a signal on its way, takes so long whatever the interval.
const FRESH_MIN: Duration = Duration::from_secs(3);
/// How often an agent tells what it saw.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// An answer older than this says nothing.
pub fn fresh_for(check: &Check) -> Duration {
    check.interval.saturating_mul(MISSED_MAX).saturating_add(check.timeout).max(FRESH_MIN)
}

/// By then the next answer of an observer that lives is here, with the jitter of its schedule.
pub fn next_within(check: &Check) -> Duration {
    check.interval.saturating_add(check.interval / 2).saturating_add(check.timeout).saturating_add(TOLD_EVERY)
}
