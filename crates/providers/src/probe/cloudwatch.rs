//! Metrics and alarms: what those who send the requests see. Whatever CloudWatch does not say is unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_core::manifest::{Metric, Missing, Threshold};
use mesh_core::time::{Timestamp, duration_millis};

use super::deadline::Deadline;
use super::elsewhere::{Elsewhere, unread};
use super::trouble::Trouble;
use crate::aws::cloudwatch::{Point, Series};

/// Publishers are late: a load balancer by one to three minutes (AWS, "CloudWatch metrics for your load balancer").
const LATE: Duration = Duration::from_secs(180);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricQuestion {
    pub metric: Metric,
    pub statistic: String,
    pub period: Duration,
    pub datapoints: u32,
    pub threshold: Threshold,
    pub missing: Missing,
}

impl Elsewhere {
    pub(crate) async fn metric(
        &self,
        question: &MetricQuestion,
        about: &RegionId,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<Duration, Trouble> {
        let deadline = Deadline::after(timeout);
        let place = question.metric.published_in.as_ref().unwrap_or(about);
        let clients = self.of(place);
        let (series, (from, until)) = (question.series(), question.range(now));
        let asked = async { clients.cloudwatch.points(&series, from, until).await.map_err(unread) };
        let found = deadline.of_another(&format!("CloudWatch in {place} gave no answer"), asked).await?;
        question.judge(&found)?;
        Ok(deadline.elapsed())
    }

    pub(crate) async fn alarm(&self, alarm: &str, place: &RegionId, timeout: Duration) -> Result<Duration, Trouble> {
        let deadline = Deadline::after(timeout);
        let clients = self.of(place);
        let asked = async { clients.cloudwatch.alarm(alarm).await.map_err(unread) };
        let found = deadline.of_another(&format!("CloudWatch in {place} gave no answer"), asked).await?;
        match found.state.as_str() {
            "OK" => Ok(deadline.elapsed()),
            "ALARM" => Err(Trouble::Target(format!("alarm {alarm}: {}", found.reason))),
            state => Err(Trouble::Own(format!("alarm {alarm} is {state}: {}", found.reason))),
        }
    }
}

impl MetricQuestion {
    fn series(&self) -> Vec<Series<'_>> {
        let Metric { namespace, metric, dimensions, divided_by, published_in: _ } = &self.metric;
        let one = |metric| Series {
            namespace,
            metric,
            dimensions: dimensions.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            statistic: &self.statistic,
            period: self.period,
        };
        std::iter::once(metric.as_str()).chain(divided_by.as_deref()).map(one).collect()
    }

    /// Whole periods that have ended: a sum over half a minute would look like half the load.
    fn range(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let period = duration_millis(self.period).max(1);
        let until = now.as_millis() / period * period;
        let long =
            period.saturating_mul(u64::from(self.datapoints)).saturating_add(duration_millis(LATE)).max(2 * period);
        (Timestamp::from_millis(until.saturating_sub(long.div_ceil(period) * period)), Timestamp::from_millis(until))
    }

    /// `found`: the metric's points and the divisor's, newest first.
    fn judge(&self, found: &[Vec<Point>]) -> Result<(), Trouble> {
        let points = match (&self.metric.divided_by, found) {
            (None, [points, ..]) => points.clone(),
            (Some(_), [points, divisors, ..]) => quotients(points, divisors),
            _ => Vec::new(),
        };
        let name = self.name();
        let wanted = usize::try_from(self.datapoints.max(1)).unwrap_or(usize::MAX);
        let newest: Vec<f64> =
            points.iter().map(|point| point.value).filter(|value| value.is_finite()).take(wanted).collect();
        let Some(last) = newest.first() else {
            return match self.missing {
                Missing::Passing => Ok(()),
                Missing::Unknown => Err(Trouble::Own(format!("{name}: nothing was published lately"))),
            };
        };
        let broken: Vec<String> = newest.iter().map_while(|value| self.threshold.broken_by(*value)).collect();
        match broken.first() {
            Some(words) if broken.len() >= wanted => {
                let so_many = if wanted > 1 { format!(", as in {wanted} periods in a row") } else { String::new() };
                Err(Trouble::Target(format!("{name} {words}{so_many}")))
            }
            // So many would have to be beyond it, and fewer are known, all beyond it.
            Some(_) if broken.len() == newest.len() && self.missing == Missing::Unknown => Err(Trouble::Own(format!(
                "{name}: only {} of {wanted} periods are known, the last is {last}",
                newest.len()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn name(&self) -> String {
        let Metric { namespace, metric, divided_by, .. } = &self.metric;
        let by = divided_by.as_ref().map(|divisor| format!(" / {divisor}")).unwrap_or_default();
        format!("{namespace} {metric}{by} ({})", self.statistic)
    }
}

/// A count that is published only where there is one is zero where its divisor was published alone.
fn quotients(points: &[Point], divisors: &[Point]) -> Vec<Point> {
    let values: BTreeMap<Timestamp, f64> = points.iter().map(|point| (point.at, point.value)).collect();
    let nonzero = divisors.iter().filter(|divisor| divisor.value != 0.0);
    nonzero
        .map(|divisor| {
            let value = values.get(&divisor.at).copied().unwrap_or(0.0);
            Point { at: divisor.at, value: value / divisor.value }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(datapoints: u32, missing: Missing, divided_by: Option<&str>) -> MetricQuestion {
        MetricQuestion {
            metric: Metric {
                namespace: "AWS/ApplicationELB".to_owned(),
                metric: "HTTPCode_Target_5XX_Count".to_owned(),
                dimensions: BTreeMap::new(),
                divided_by: divided_by.map(str::to_owned),
                published_in: None,
            },
            statistic: "Sum".to_owned(),
            period: Duration::from_secs(60),
            datapoints,
            threshold: Threshold { above: Some("0.5".parse().expect("a number")), below: None },
            missing,
        }
    }

    /// Newest first, a minute apart; none where nothing was published.
    fn series(values: &[Option<f64>]) -> Vec<Point> {
        let at = |back: usize| Timestamp::from_millis(u64::try_from(1_000_000 - back * 60_000).expect("small"));
        values.iter().enumerate().filter_map(|(back, value)| Some(Point { at: at(back), value: (*value)? })).collect()
    }

    fn judged(question: &MetricQuestion, found: &[Vec<Point>]) -> &'static str {
        match question.judge(found) {
            Ok(()) => "passed",
            Err(Trouble::Target(_)) => "failed",
            Err(Trouble::Own(_)) => "unknown",
        }
    }

    #[test]
    fn all_of_the_newest_points_must_be_beyond_the_threshold() {
        let three = question(3, Missing::Unknown, None);
        for (values, expected) in [
            ([Some(1.0), Some(1.0), Some(1.0), Some(0.0)], "failed"),
            ([Some(1.0), Some(1.0), Some(0.0), Some(1.0)], "passed"),
            ([Some(0.0), Some(1.0), Some(1.0), Some(1.0)], "passed"),
            ([Some(1.0), Some(1.0), None, None], "unknown"),
            ([Some(1.0), Some(0.0), None, None], "passed"),
            ([Some(f64::NAN), None, None, None], "unknown"),
            ([None, None, None, None], "unknown"),
        ] {
            assert_eq!(judged(&three, &[series(&values)]), expected, "{values:?}");
        }
    }

    #[test]
    fn what_nobody_published_passes_only_where_the_manifest_says_so() {
        assert_eq!(judged(&question(1, Missing::Unknown, None), &[Vec::new()]), "unknown");
        assert_eq!(judged(&question(1, Missing::Passing, None), &[Vec::new()]), "passed");
        assert_eq!(judged(&question(2, Missing::Passing, None), &[series(&[Some(9.0)])]), "passed");
    }

    #[test]
    fn errors_are_judged_by_the_requests_they_are_of() {
        let rate = question(1, Missing::Unknown, Some("RequestCount"));
        let judged =
            |errors: &[Option<f64>], requests: &[Option<f64>]| judged(&rate, &[series(errors), series(requests)]);
        assert_eq!(judged(&[Some(60.0)], &[Some(100.0)]), "failed");
        assert_eq!(judged(&[Some(60.0)], &[Some(1000.0)]), "passed");
        assert_eq!(judged(&[None], &[Some(1000.0)]), "passed", "no error was counted, so none was published");
        assert_eq!(judged(&[Some(60.0)], &[None]), "unknown", "nobody asked");
        assert_eq!(judged(&[Some(60.0)], &[Some(0.0)]), "unknown");
    }

    #[test]
    fn a_period_that_has_not_ended_is_not_asked_for() {
        let (from, until) = question(3, Missing::Unknown, None).range(Timestamp::from_millis(1_000_059_999));
        assert_eq!(until.as_millis() % 60_000, 0);
        assert!(until.as_millis() <= 1_000_059_999 && from.as_millis() % 60_000 == 0);
        assert_eq!(
            (until.as_millis() - from.as_millis()) / 60_000,
            6,
            "three, and three minutes in which it may be late"
        );
    }
}
