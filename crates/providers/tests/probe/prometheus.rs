use std::sync::{Arc, Mutex};

use mesh_core::manifest::{Missing, Threshold};
use mesh_providers::probe::{Answer, Asks, PrometheusQuestion, Question};

use crate::rig::{PATIENT, Reply, SHORT, Server, failed, nobody, passed, providers, region, unknown};

const LOW: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.01"]}]}}"#;
const HIGH: &str = r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.5"]}]}}"#;
const EMPTY: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

fn question(url: String) -> PrometheusQuestion {
    PrometheusQuestion {
        url,
        query: r#"errors{region="{region}"}"#.to_owned(),
        threshold: Threshold { above: Some("0.05".parse().expect("a number")), below: None },
        missing: Missing::Unknown,
        ca_file: None,
        token_file: None,
    }
}

async fn asked(question: PrometheusQuestion) -> Answer {
    crate::rig::ask(Question::Prometheus(question), PATIENT).await
}

#[tokio::test]
async fn a_value_is_compared_with_the_threshold() {
    let server = Server::start(|head| match head.split(' ').nth(1) {
        Some("/low/api/v1/query?query=errors%7Bregion%3D%22us-west-2%22%7D") => Reply::Text(200, "", LOW),
        Some(path) if path.starts_with("/high/") => Reply::Text(200, "", HIGH),
        Some(path) if path.starts_with("/empty/") => Reply::Text(200, "", EMPTY),
        _ => Reply::Text(400, "", r#"{"status":"error","error":"parse error"}"#),
    })
    .await;
    passed(asked(question(server.url("/low/"))).await);
    failed(asked(question(server.url("/high"))).await, "0.5 is above 0.05");
    unknown(asked(question(server.url("/empty"))).await, "no value now");
    passed(asked(PrometheusQuestion { missing: Missing::Passing, ..question(server.url("/empty")) }).await);
    unknown(asked(question(server.url("/wrong"))).await, "status 400");
}

#[tokio::test]
async fn a_witness_that_does_not_answer_is_no_evidence() {
    unknown(asked(question(format!("http://{}", nobody().await))).await, "refused the connection");
    let silent = Server::start(|_| Reply::Silence).await;
    let question = Question::Prometheus(question(silent.url("")));
    unknown(crate::rig::ask(question, SHORT).await, "gave no answer within 300 ms");
}

#[tokio::test]
async fn a_token_is_sent_from_the_agents_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("token"), "s3cret\n").expect("written");
    let seen = Arc::new(Mutex::new(String::new()));
    let kept = Arc::clone(&seen);
    let server = Server::start(move |head| {
        head.clone_into(&mut kept.lock().expect("no panic"));
        Reply::Text(200, "", LOW)
    })
    .await;
    let asker = providers(Vec::new(), Some(dir.path())).await;
    let ask = async |file: &str| {
        let question = PrometheusQuestion { token_file: Some(file.to_owned()), ..question(server.url("")) };
        Asks::ask(asker.as_ref(), &Question::Prometheus(question), &region(), PATIENT).await
    };
    passed(ask("token").await);
    assert!(seen.lock().expect("no panic").contains("authorization: Bearer s3cret\r\n"));
    unknown(ask("gone").await, "gone");
    assert_eq!(server.heads(), 1, "nothing is asked without the token that it needs");
}
