//! An instant query of Prometheus' HTTP API. It is a witness, not the target: only a value that it tells counts.

use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_core::manifest::{Missing, Threshold};
use serde::Deserialize;

use super::deadline::Deadline;
use super::dial::Dialer;
use super::trouble::Trouble;

/// A query that is compared with a number has few series; a label set has a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
const SHOWN_MAX: usize = 120;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusQuestion {
    pub url: String,
    pub query: String,
    pub threshold: Threshold,
    pub missing: Missing,
    pub ca_file: Option<String>,
    pub token_file: Option<String>,
}

impl Dialer {
    pub(crate) async fn prometheus(
        &self,
        question: &PrometheusQuestion,
        about: &RegionId,
        timeout: Duration,
    ) -> Result<Duration, Trouble> {
        let deadline = Deadline::after(timeout);
        let answer = self.query(question, about, deadline).await.map_err(Trouble::of_another)?;
        question.judge(&answer)?;
        Ok(deadline.elapsed())
    }

    async fn query(
        &self,
        question: &PrometheusQuestion,
        about: &RegionId,
        deadline: Deadline,
    ) -> Result<Vec<u8>, Trouble> {
        let token = match &question.token_file {
            Some(file) => {
                let bytes = deadline.of_another("the token could not be read", self.trust.files.read(file)).await?;
                Some(String::from_utf8_lossy(&bytes).trim().to_owned())
            }
            None => None,
        };
        let query = question.query.replace("{region}", about.as_str());
        let url = format!("{}/api/v1/query?query={}", question.url.trim_end_matches('/'), encoded(&query));
        let response = self.get(&url, question.ca_file.as_deref(), token.as_deref(), deadline).await?;
        let (status, address) = (response.status, response.address);
        let body = response.body(ANSWER_BYTES_MAX, deadline).await?;
        if status != 200 {
            let shown: String = String::from_utf8_lossy(&body).chars().take(SHOWN_MAX).collect();
            return Err(Trouble::Own(format!("Prometheus at {address} answered status {status}: {shown}")));
        }
        Ok(body)
    }
}

/// RFC 3986, section 2.3: all others are encoded.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// <https://prometheus.io/docs/prometheus/latest/querying/api/>
#[derive(Deserialize)]
struct Reply {
    status: String,
    data: Option<Data>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Scalar(Sample),
    Vector(Vec<Instant>),
    Matrix(serde::de::IgnoredAny),
    String(serde::de::IgnoredAny),
}

/// A time and a value; the value is a text, since it may be `NaN` or `+Inf`.
#[derive(Deserialize)]
struct Sample(#[allow(dead_code, reason = "the time of the query itself")] f64, String);

#[derive(Deserialize)]
struct Instant {
    #[serde(default)]
    metric: std::collections::BTreeMap<String, String>,
    value: Sample,
}

impl PrometheusQuestion {
    /// Of several series each one has to pass.
    pub fn judge(&self, body: &[u8]) -> Result<(), Trouble> {
        let own = |text: String| Trouble::Own(format!("Prometheus: {text}"));
        let reply: Reply =
            serde_json::from_slice(body).map_err(|error| own(format!("no answer of its API: {error}")))?;
        if reply.status != "success" {
            return Err(own(reply.error.unwrap_or_else(|| format!("status {}", reply.status))));
        }
        let series: Vec<(String, f64)> = match reply.data {
            Some(Data::Scalar(sample)) => vec![(String::new(), sample.number())],
            Some(Data::Vector(found)) => found.iter().map(|one| (one.labels(), one.value.number())).collect(),
            Some(Data::Matrix(_) | Data::String(_)) => {
                return Err(own("the query gives a range or a text, not a number".to_owned()));
            }
            None => return Err(own("an answer without data".to_owned())),
        };
        let mut known = series.iter().filter(|(_, value)| !value.is_nan()).peekable();
        if known.peek().is_none() {
            return match self.missing {
                Missing::Passing => Ok(()),
                Missing::Unknown => Err(own("the query has no value now".to_owned())),
            };
        }
        match known.find_map(|(labels, value)| Some((labels, self.threshold.broken_by(*value)?))) {
            Some((labels, words)) => {
                let query: String = self.query.chars().take(SHOWN_MAX).collect();
                Err(Trouble::Target(format!("{query}{labels}: {words}")))
            }
            None => Ok(()),
        }
    }
}

impl Sample {
    fn number(&self) -> f64 {
        self.1.parse().unwrap_or(f64::NAN)
    }
}

impl Instant {
    fn labels(&self) -> String {
        let shown: Vec<String> = self.metric.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        let shown: String = shown.join(", ").chars().take(SHOWN_MAX).collect();
        if shown.is_empty() { shown } else { format!(" {{{shown}}}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(missing: Missing, body: &str) -> Result<(), Trouble> {
        let question = PrometheusQuestion {
            url: "http://prometheus".to_owned(),
            query: "errors".to_owned(),
            threshold: Threshold { above: Some("0.05".parse().expect("a number")), below: None },
            missing,
            ca_file: None,
            token_file: None,
        };
        question.judge(body.as_bytes())
    }

    fn vector(values: &[&str]) -> String {
        let series: Vec<String> =
            values.iter().map(|value| format!(r#"{{"metric":{{"job":"api"}},"value":[1.5,"{value}"]}}"#)).collect();
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.join(","))
    }

    #[test]
    fn every_series_has_to_pass() {
        assert_eq!(judged(Missing::Unknown, &vector(&["0.01", "0.05"])), Ok(()));
        let failed = judged(Missing::Unknown, &vector(&["0.01", "0.2"])).expect_err("one is beyond it");
        assert!(matches!(&failed, Trouble::Target(text) if text.contains("0.2 is above 0.05") && text.contains("job")));
        let scalar = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"+Inf"]}}"#;
        assert!(matches!(judged(Missing::Unknown, scalar), Err(Trouble::Target(_))));
    }

    #[test]
    fn no_value_is_no_failure() {
        for values in [&[][..], &["NaN"]] {
            assert!(matches!(judged(Missing::Unknown, &vector(values)), Err(Trouble::Own(_))), "{values:?}");
            assert_eq!(judged(Missing::Passing, &vector(values)), Ok(()), "{values:?}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_the_witnesss_trouble() {
        let matrix = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
        let error = r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#;
        for body in ["", "{}", "<html>", "[]", matrix, error, r#"{"status":"success"}"#] {
            assert!(matches!(judged(Missing::Passing, body), Err(Trouble::Own(_))), "{body}");
        }
    }

    #[test]
    fn a_query_is_encoded_for_a_url() {
        assert_eq!(encoded(r#"up{job="a b"} > 1"#), "up%7Bjob%3D%22a%20b%22%7D%20%3E%201");
    }
}
