//! What others answer: certificates and requests for them, DNS, Prometheus, PostgreSQL, Route 53.

use std::sync::LazyLock;
use std::time::Duration;

use hickory_proto::op::{Message as Dns, MessageType, Query};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use mesh_core::manifest::{Missing, Threshold};
use mesh_providers::dns::answer;
use mesh_providers::probe::PrometheusQuestion;
use mesh_providers::readers;
use mesh_runtime::identity::subject_of;
use mesh_runtime::pki::{Authority, approval};

use super::values;
use crate::target::{Shape, Target};

const ADDRESSES_MAX: usize = 16;

pub fn certificate() -> Target {
    let reads = "certificates of the other end of a connection, requests for them, keys and signatures of approvals";
    let seeds = || vec![super::config::KEY_PEM.as_bytes().to_vec()];
    let target = Target::new("certificate", reads, Shape::Bytes, seeds, certificate_check);
    target.inputs(60_000).bytes_max(4 * 1024).words(&["spiffe://demo/region/r/agent/a", "\u{6}\u{3}U\u{1d}\u{11}"])
}

pub fn dns() -> Target {
    let reads = "answers of DNS servers to a probe";
    Target::new("dns", reads, Shape::Bytes, dns_seeds, dns_check).inputs(60_000).bytes_max(4 * 1024)
}

pub fn answers() -> Target {
    let reads = "answers of Prometheus, PostgreSQL's history file, names of Route 53, evidence, URLs";
    let target = Target::new("answer", reads, Shape::ChosenText, answer_seeds, answers_check);
    target.inputs(60_000).bytes_max(4 * 1024).words(&[
        "NaN",
        "+Inf",
        "1e999",
        "\\052",
        "\\777",
        "\\",
        "{",
        "[",
        "null",
        "FFFFFFFFF/0",
        "\t",
    ])
}

fn certificate_check(input: &[u8]) -> bool {
    let named = subject_of(input);
    if let Ok(subject) = &named {
        let shown = subject.identity.to_string();
        assert_eq!(shown.parse().as_ref(), Ok(&subject.identity), "an identity reads back");
        assert!(shown.is_ascii() && !shown.chars().any(char::is_control), "it is put into a header as it is");
        subject.lifetime();
    }
    if let Some((key, rest)) = input.split_at_checked(approval::PUBLIC_KEY_LEN) {
        let signature = rest.get(..approval::SIGNATURE_LEN).unwrap_or(rest);
        let holds = approval::verify(key, "demo", "revoke-key ann", values::at(1), signature);
        assert!(!holds, "nobody signed this");
    }
    let is_key = std::str::from_utf8(input).is_ok_and(|pem| approval::public_key(pem).is_ok());
    named.is_ok() || is_key || is_request(input)
}

/// A renewal asks for a certificate with one.
fn is_request(input: &[u8]) -> bool {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::create("demo").expect("an authority"));
    let agent = "spiffe://demo/region/r/agent/a".parse().expect("an identity");
    let Ok(chain) = AUTHORITY.sign_csr(input, &agent, &[], Duration::from_secs(60)) else { return false };
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"), "what is issued is PEM");
    true
}

fn question(kind: RecordType) -> Dns {
    let mut query = Dns::query();
    query.metadata.id = 7;
    query.add_query(Query::query(name("api.example.com."), kind));
    query
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn dns_check(input: &[u8]) -> bool {
    let mut accepted = false;
    for kind in [RecordType::A, RecordType::AAAA, RecordType::CNAME, RecordType::TXT] {
        let query = question(kind);
        let Some(response) = answer::read(&query, input) else { continue };
        assert_eq!(response.metadata.id, query.metadata.id, "an answer to another question");
        let values = answer::values(&response, kind);
        assert!(values.len() <= ADDRESSES_MAX && answer::addresses(&response).len() <= ADDRESSES_MAX);
        answer::texts(&response);
        // It is asked next.
        if let Some(alias) = answer::alias(&response) {
            let mut query = Dns::query();
            query.add_query(Query::query(alias, kind));
            let bytes = query.to_vec().expect("a name that a server gave can be asked for");
            assert_eq!(Dns::from_vec(&bytes).ok().map(|asked| asked.queries), Some(query.queries));
        }
        accepted = true;
    }
    accepted
}

fn dns_seeds() -> Vec<Vec<u8>> {
    let record = |data| Record::from_rdata(name("api.example.com."), 60, data);
    let answers = [
        (RecordType::A, RData::A(A("192.0.2.7".parse().expect("an address")))),
        (RecordType::AAAA, RData::AAAA(AAAA("2001:db8::7".parse().expect("an address")))),
        (RecordType::CNAME, RData::CNAME(CNAME(name("other.example.com.")))),
        (RecordType::TXT, RData::TXT(TXT::new(vec!["7.21".to_owned(), "more".to_owned()]))),
    ];
    let mut seeds = Vec::new();
    for (kind, data) in answers {
        let mut response = question(kind);
        response.metadata.message_type = MessageType::Response;
        response.add_answer(record(data.clone()));
        response.add_answer(record(data));
        seeds.push(response.to_vec().expect("it can be written"));
    }
    seeds
}

fn answers_check(input: &[u8]) -> bool {
    let Some((choice, bytes)) = input.split_first() else { return false };
    let text = String::from_utf8_lossy(bytes);
    match choice % 5 {
        0 => prometheus(bytes),
        1 => readers::timeline_switch(&text).is_some(),
        2 => {
            let normal = readers::route53_name(&text);
            assert!(normal.len() <= text.len(), "a name grew");
            true
        }
        3 => {
            readers::evidence_in_words(&text);
            true
        }
        _ => readers::is_probe_url(&text),
    }
}

fn prometheus(bytes: &[u8]) -> bool {
    let judged = |missing| {
        let question = PrometheusQuestion {
            url: "http://prometheus".to_owned(),
            query: "errors".to_owned(),
            threshold: Threshold { above: Some("0.05".parse().expect("a number")), below: None },
            missing,
            ca_file: None,
            token_file: None,
        };
        question.judge(bytes).is_ok()
    };
    let (lax, strict) = (judged(Missing::Passing), judged(Missing::Unknown));
    assert!(lax || !strict, "what passes where values are needed passes where they may be missing");
    lax
}

fn answer_seeds() -> Vec<Vec<u8>> {
    let texts = [
        (
            0,
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"api"},"value":[1.5,"0.01"]}]}}"#,
        ),
        (0, r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#),
        (0, r#"{"status":"error","error":"too many"}"#),
        (1, "1\t0/3000000\tno recovery target specified\n\n2\t0/40000A0\tno recovery target specified\n"),
        (2, "\\052.Example.COM."),
        (3, r#"{"status":"ACTIVE","deployments":{"api":2},"max":4}"#),
        (4, "https://user@[2001:db8::1]:8443/health?x=1#y"),
        (4, "http://api.example.com/"),
    ];
    texts.iter().map(|(choice, text)| [&[*choice], text.as_bytes()].concat()).collect()
}
