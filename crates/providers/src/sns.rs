//! Notices, once. SNS cannot be asked whether a message went out: a FIFO topic drops a repeat within five minutes,
//! a standard topic does not. So an unknown publication is repeated on the one, soon, and on the other never.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mesh_core::execute::{CallResult, Job, NOTICE_LOSS, Observation, repeat};
use mesh_core::ids::RegionId;
use mesh_core::plan::Action;
use mesh_core::time::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::aws::sns::{Publication, Sns};

/// Publications without an answer that are remembered.
const SENT_MAX: usize = 1024;
/// From here on the executor has long been told the outcome, and a successor judges by `maybe_sent_since`.
const SENT_KEPT: Duration = Duration::from_secs(3600);
/// SNS, "Publish": a subject has at most 100 ASCII characters.
const SUBJECT_MAX: usize = 100;
/// SNS, "Publish": a deduplication or group id has at most 128.
const ID_MAX: usize = 128;

pub(crate) struct Notices {
    sns: Sns,
    region: RegionId,
    /// When the first publication with a key was sent, unless it certainly came to nothing.
    sent: Mutex<BTreeMap<String, Instant>>,
}

impl Notices {
    pub(crate) fn new(sns: Sns, region: RegionId) -> Self {
        Self { sns, region, sent: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>, now: Timestamp) -> Observation {
        let Action::SnsNotify { topic_arn, .. } = &job.action else {
            return Observation::Blocked { reason: format!("{} is no notice", job.action.name()) };
        };
        if let Some(message_id) = accepted {
            return Observation::Satisfied { read_back: json!({ "message_id": message_id }).to_string() };
        }
        if let Some(reason) = self.misplaced(topic_arn) {
            return Observation::Blocked { reason };
        }
        match may_publish(is_fifo(topic_arn), job, self.age(&job.key), now) {
            Ok(repeat) => match self.sns.check_topic(topic_arn).await {
                Ok(()) => Observation::Ready { before: json!({ "repeat": repeat }).to_string() },
                Err(error) => error.into(),
            },
            Err(reason) => Observation::Ambiguous { reason },
        }
    }

    pub(crate) async fn call(&self, job: &Job) -> CallResult {
        let Action::SnsNotify { topic_arn, subject, message } = &job.action else {
            return CallResult::Rejected { reason: format!("{} is no notice", job.action.name()) };
        };
        let Some(first) = self.remember(&job.key) else {
            return CallResult::NotApplied { reason: format!("{SENT_MAX} notices are without an answer already") };
        };
        let fifo = is_fifo(topic_arn).then(|| (fit_id(job.service.as_str()), fit_id(&job.key)));
        let result = self
            .sns
            .publish(Publication {
                topic_arn,
                subject: fit_subject(subject),
                message: format!("{message}\n{}\nIdempotency-Key: {}", loss(job), job.key),
                key: &job.key,
                fifo,
            })
            .await;
        let nothing_sent = matches!(result, CallResult::NotApplied { .. } | CallResult::Rejected { .. });
        if first && nothing_sent {
            self.sent.lock().unwrap_or_else(PoisonError::into_inner).remove(&job.key);
        }
        result
    }

    /// A topic is published to in its own region, by that region's agents.
    fn misplaced(&self, topic_arn: &str) -> Option<String> {
        match topic_arn.split(':').nth(3) {
            Some(region) if region == self.region.as_str() => None,
            Some(region) => Some(format!("the topic is in {region:?}, and this agent publishes in {}", self.region)),
            None => Some(format!("{topic_arn} is no topic ARN")),
        }
    }

    fn age(&self, key: &str) -> Option<Duration> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).get(key).map(Instant::elapsed)
    }

    /// Is this the first publication with this key? `None`: there is no room to remember it.
    fn remember(&self, key: &str) -> Option<bool> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        if sent.contains_key(key) {
            return Some(false);
        }
        if sent.len() >= SENT_MAX {
            sent.retain(|_, at| at.elapsed() < SENT_KEPT);
        }
        if sent.len() >= SENT_MAX {
            return None;
        }
        sent.insert(key.to_owned(), Instant::now());
        Some(true)
    }
}

/// `Ok`: is it a repeat? `Err`: why it must not be sent.
fn may_publish(fifo: bool, job: &Job, sent_ago: Option<Duration>, now: Timestamp) -> Result<bool, String> {
    if !fifo && (sent_ago.is_some() || job.maybe_sent_since.is_some()) {
        return Err("the notice may have been published, and a standard topic would deliver it twice".to_owned());
    }
    repeat::within_reach(job, sent_ago, now)
        .map_err(|why| format!("the notice may have been published, {why}, and SNS drops a repeat for 300 s only"))
}

/// What the mesh knows of it, as lines of the message.
fn loss(job: &Job) -> String {
    let told = job.evidence.iter().find(|(name, _)| name.as_str() == NOTICE_LOSS);
    told.map(|(_, text)| format!("\n{text}\n")).unwrap_or_default()
}

fn is_fifo(topic_arn: &str) -> bool {
    topic_arn.ends_with(".fifo")
}

/// An id that is too long keeps its beginning and ends in a hash of the whole.
fn fit_id(id: &str) -> String {
    if id.len() <= ID_MAX {
        return id.to_owned();
    }
    let mut fitted: String = id.chars().filter(char::is_ascii).take(ID_MAX - 33).collect();
    fitted.push('-');
    for byte in Sha256::digest(id.as_bytes()).iter().take(16) {
        // Writing to a String does not fail.
        let _ = write!(fitted, "{byte:02x}");
    }
    fitted
}

fn fit_subject(subject: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    subject.trim_start().chars().map(shown).take(SUBJECT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn notice() -> Job {
        let action = Action::SnsNotify {
            topic_arn: "arn:aws:sns:us-west-2:1:oncall.fifo".to_owned(),
            subject: String::new(),
            message: String::new(),
        };
        crate::test_jobs::job("notify", action)
    }

    #[test]
    fn an_unknown_notice_is_repeated_on_a_fifo_topic_alone_and_only_soon() {
        let before = |seconds| Some(NOW.minus(Duration::from_secs(seconds)));
        for (fifo, since, mesh_time, expected) in [
            (true, None, None, Some(false)),
            (false, None, None, Some(false)),
            (true, before(100), None, Some(true)),
            (true, before(100), before(5), Some(true)),
            (true, before(120), None, None),
            (true, before(100), before(31), None),
            (false, before(1), None, None),
        ] {
            let job = Job { maybe_sent_since: since, mesh_time, ..notice() };
            assert_eq!(may_publish(fifo, &job, None, NOW).ok(), expected, "{fifo} {since:?} {mesh_time:?}");
        }
        let job = notice();
        assert!(may_publish(false, &job, Some(Duration::from_secs(1)), NOW).is_err());
        assert_eq!(may_publish(true, &job, Some(Duration::from_secs(1)), NOW).ok(), Some(true));
    }

    #[test]
    fn ids_and_subjects_fit_what_sns_accepts() {
        assert_eq!(fit_id("maip-g1/notify"), "maip-g1/notify");
        let (one, two) = (fit_id(&format!("{}a", "x".repeat(150))), fit_id(&format!("{}b", "x".repeat(150))));
        assert_ne!(one, two);
        assert!(one.len() <= ID_MAX && two.len() <= ID_MAX);
        assert_eq!(fit_subject("failover\nof maïp"), "failover?of ma?p");
        assert_eq!(fit_subject(&"x".repeat(200)).len(), SUBJECT_MAX);
    }
}
