//! Journal records in the agent's own types, and their form on disk (`mesh.v1.JournalRecord`).

use std::time::Duration;

use mesh_core::execute::{CallResult, Job};
use mesh_core::ids::{Generation, IntentSeq, ServiceId};
use mesh_core::lease::holder::Promise;
use mesh_core::run::Outcome;
use mesh_core::time::Timestamp;
use mesh_proto::v1;
use prost::Message;

/// An intent's name within an agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IntentId {
    pub service: ServiceId,
    pub seq: IntentSeq,
}

impl std::fmt::Display for IntentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.seq)
    }
}

impl From<&Job> for IntentId {
    fn from(job: &Job) -> Self {
        Self { service: job.service.clone(), seq: job.token.intent }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Wall time of the agent, for people and for ages across a restart.
    pub at: Timestamp,
    pub event: Event,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Accepted(Box<Job>),
    CallStarted { intent: IntentId, before: String },
    CallEnded { intent: IntentId, result: CallResult },
    Outcome { intent: IntentId, outcome: Outcome },
    Acknowledged { intent: IntentId },
    Floor { service: ServiceId, generation: Generation },
    Promised { service: ServiceId, promise: Promise },
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        use v1::journal_record::Record as On;
        let record = match &self.event {
            Event::Accepted(job) => On::Accepted(v1::Job::from(&**job)),
            Event::CallStarted { intent, before } => On::CallStarted(v1::CallStarted {
                service: intent.service.to_string(),
                intent: intent.seq.0,
                before: before.clone(),
            }),
            Event::CallEnded { intent, result } => {
                let (verdict, detail) = match result {
                    CallResult::Accepted { reference } => (v1::CallVerdict::Accepted, reference),
                    CallResult::NotApplied { reason } => (v1::CallVerdict::NotApplied, reason),
                    CallResult::Rejected { reason } => (v1::CallVerdict::Rejected, reason),
                    CallResult::Unknown { reason } => (v1::CallVerdict::Unknown, reason),
                };
                On::CallEnded(v1::CallEnded {
                    service: intent.service.to_string(),
                    intent: intent.seq.0,
                    verdict: verdict.into(),
                    detail: detail.clone(),
                })
            }
            Event::Outcome { intent, outcome } => On::Outcome(v1::JournalOutcome {
                service: intent.service.to_string(),
                intent: intent.seq.0,
                outcome: Some(v1::Outcome::from(outcome)),
            }),
            Event::Acknowledged { intent } => {
                On::Acknowledged(v1::OutcomeAck { service: intent.service.to_string(), intent: intent.seq.0 })
            }
            Event::Floor { service, generation } => {
                On::Floor(v1::Floor { service: service.to_string(), generation: generation.0 })
            }
            Event::Promised { service, promise } => On::Promised(v1::Promised {
                service: service.to_string(),
                generation: promise.generation.0,
                length_ms: mesh_core::time::duration_millis(promise.length),
            }),
        };
        v1::JournalRecord { at: self.at.as_millis(), record: Some(record) }.encode_to_vec()
    }

    /// Errors say what is wrong with the record, for people.
    pub fn decode(body: &[u8]) -> Result<Self, String> {
        use v1::journal_record::Record as On;
        let record = v1::JournalRecord::decode(body).map_err(|error| error.to_string())?;
        let event = match record.record.ok_or("a record of a kind that this version does not know")? {
            On::Accepted(job) => Event::Accepted(Box::new(Job::try_from(job).map_err(|error| error.to_string())?)),
            On::CallStarted(started) => {
                Event::CallStarted { intent: intent_id(started.service, started.intent)?, before: started.before }
            }
            On::CallEnded(ended) => {
                let detail = ended.detail;
                let result = match v1::CallVerdict::try_from(ended.verdict) {
                    Ok(v1::CallVerdict::Accepted) => CallResult::Accepted { reference: detail },
                    Ok(v1::CallVerdict::NotApplied) => CallResult::NotApplied { reason: detail },
                    Ok(v1::CallVerdict::Rejected) => CallResult::Rejected { reason: detail },
                    Ok(v1::CallVerdict::Unknown) => CallResult::Unknown { reason: detail },
                    Ok(v1::CallVerdict::Unspecified) | Err(_) => {
                        return Err(format!("call verdict {} is none", ended.verdict));
                    }
                };
                Event::CallEnded { intent: intent_id(ended.service, ended.intent)?, result }
            }
            On::Outcome(outcome) => Event::Outcome {
                intent: intent_id(outcome.service, outcome.intent)?,
                outcome: Outcome::try_from(outcome.outcome.ok_or("an outcome record without an outcome")?)
                    .map_err(|error| error.to_string())?,
            },
            On::Acknowledged(ack) => Event::Acknowledged { intent: intent_id(ack.service, ack.intent)? },
            On::Promised(promised) => Event::Promised {
                service: ServiceId::new(promised.service).map_err(|error| error.to_string())?,
                promise: Promise {
                    generation: Generation(promised.generation),
                    length: Duration::from_millis(promised.length_ms),
                },
            },
            On::Floor(floor) => Event::Floor {
                service: ServiceId::new(floor.service).map_err(|error| error.to_string())?,
                generation: Generation(floor.generation),
            },
        };
        Ok(Self { at: Timestamp::from_millis(record.at), event })
    }
}

pub fn intent_id(service: String, seq: u64) -> Result<IntentId, String> {
    let service = ServiceId::new(service).map_err(|error| error.to_string())?;
    Ok(IntentId { service, seq: IntentSeq(seq) })
}
