//! Does the service answer through its public name? Each pass resolves and connects anew.

use std::time::{Duration, Instant};

use mesh_core::execute::{Job, Observation};
use serde_json::json;

use crate::probe::{Dialer, HttpQuestion, Met};

/// Between passes of one observation. Each resolves and connects anew, which takes far longer outside of a test: the
/// pause only keeps a service that answers at once from being asked without any.
const SPACING: Duration = Duration::from_millis(10);
/// Answers that the read-back lists.
const ANSWERS_MAX: usize = 16;

pub(crate) struct Question<'a> {
    pub url: &'a str,
    pub expect_status: u16,
    pub body_contains: Option<&'a str>,
    pub consecutive: u32,
}

pub(crate) async fn observe(job: &Job, question: &Question<'_>, timeout: Duration, dialer: &Dialer) -> Observation {
    let started = Instant::now();
    let wanted = question.consecutive.max(1);
    let asked = HttpQuestion {
        url: question.url.to_owned(),
        expect_status: question.expect_status,
        body_contains: question.body_contains.map(str::to_owned),
        latency_max: None,
        ca_file: None,
    };
    let mut answers: Vec<Met> = Vec::new();
    for pass in 1..=wanted {
        if started.elapsed() > job.time_left {
            return Observation::Pending { note: format!("{} of {wanted} passes so far", pass - 1) };
        }
        match dialer.http(&asked, timeout).await {
            Ok(answer) if answers.len() < ANSWERS_MAX => answers.push(answer),
            Ok(_) => {}
            Err(seen) => {
                return Observation::Pending { note: format!("pass {pass} of {wanted} at {}: {seen}", question.url) };
            }
        }
        if pass < wanted {
            tokio::time::sleep(SPACING).await;
        }
    }
    Observation::Satisfied { read_back: read_back(question.url, wanted, &answers) }
}

fn read_back(url: &str, passes: u32, answers: &[Met]) -> String {
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| {
            json!({
                "address": answer.address.to_string(),
                "status": answer.status,
                "latency_ms": u64::try_from(answer.latency.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    json!({ "url": url, "passes": passes, "answers": answers }).to_string()
}
