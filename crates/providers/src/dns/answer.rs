//! What stands in an answer: nothing of it is believed but what was asked for.

use std::net::IpAddr;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::{Name, RData, RecordType};

use super::ADDRESSES_MAX;

/// RFC 1035, section 4.1: a header, and the root as the shortest name of a question or a record.
const HEADER_BYTES: usize = 12;
const QUESTION_BYTES_MIN: usize = 1 + 2 + 2;
const RECORD_BYTES_MIN: usize = 1 + 2 + 2 + 4 + 2;

/// The answer to `query` that `bytes` hold, if they hold one.
pub fn read(query: &Message, bytes: &[u8]) -> Option<Message> {
    if !fits(bytes) {
        return None;
    }
    Message::from_vec(bytes).ok().filter(|response| answers(query, response))
}

/// Room is made for as many records as the header counts before one is read: 65,535 of them in twelve bytes.
fn fits(bytes: &[u8]) -> bool {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return false };
    let [.., a, b, c, d, e, f, g, h] = *header;
    let count = |high, low| usize::from(u16::from_be_bytes([high, low]));
    let records = count(c, d) + count(e, f) + count(g, h);
    count(a, b) * QUESTION_BYTES_MIN + records * RECORD_BYTES_MIN <= body.len()
}

fn answers(query: &Message, response: &Message) -> bool {
    let same_question = match (query.queries.first(), response.queries.first()) {
        (Some(asked), Some(answered)) => {
            asked.query_type() == answered.query_type() && asked.name().eq_ignore_root(answered.name())
        }
        (_, None) => true,
        (None, Some(_)) => false,
    };
    response.metadata.id == query.metadata.id
        && response.metadata.message_type == MessageType::Response
        && same_question
}

/// The values of one kind. Names without the final dot.
pub fn values(response: &Message, kind: RecordType) -> Vec<String> {
    let values = response.answers.iter().filter(|record| record.record_type() == kind);
    let values = values.filter_map(|record| match &record.data {
        RData::A(a) => Some(a.0.to_string()),
        RData::AAAA(aaaa) => Some(aaaa.0.to_string()),
        RData::CNAME(target) => Some(target.0.to_ascii().trim_end_matches('.').to_ascii_lowercase()),
        RData::TXT(txt) => Some(joined(&txt.txt_data)),
        _ => None,
    });
    values.take(ADDRESSES_MAX).collect()
}

/// The values of TXT records, each with its strings joined.
pub fn texts(response: &Message) -> Vec<String> {
    let values = response.answers.iter().filter_map(|record| match &record.data {
        RData::TXT(txt) => Some(joined(&txt.txt_data)),
        _ => None,
    });
    values.collect()
}

pub fn addresses(response: &Message) -> Vec<IpAddr> {
    let found = response.answers.iter().filter_map(|record| match &record.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(aaaa) => Some(IpAddr::V6(aaaa.0)),
        _ => None,
    });
    found.take(ADDRESSES_MAX).collect()
}

/// The name that is to be asked for instead: the last of a chain.
pub fn alias(response: &Message) -> Option<Name> {
    response.answers.iter().rev().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.0.clone()),
        _ => None,
    })
}

fn joined(parts: &[Box<[u8]>]) -> String {
    parts.iter().map(|part| String::from_utf8_lossy(part)).collect()
}
