//! The records of a public name, moved by one batch that carries a fencing token.
//!
//! `TXT _mesh.<name>` holds `generation.intent` of the last mutation. A batch deletes exactly what was observed, token
//! first; Route 53 refuses it whole when any of that is there no more. So whoever wakes late changes nothing.

use std::net::SocketAddr;
use std::time::Instant;

use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::ids::Token;
use mesh_core::manifest::RecordSet;
use mesh_core::plan::Action;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::aws::error::ReadError;
use crate::aws::route53::Route53;
use crate::dns::Resolver;
use batch::Difference;
use decide::Decision;
use sync::InSync;
use watch::{Turn, Watches};

pub(crate) mod batch;
mod decide;
pub(crate) mod name;
mod sync;
#[cfg(test)]
mod tests;
mod watch;

/// TTL of the token: it is asked of Route 53's own name servers only, so nothing waits for it.
pub(crate) const TOKEN_TTL_S: u32 = 60;

/// What a zone holds for one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listing {
    pub tokens: Vec<TxtSet>,
    pub sets: Vec<RecordSet>,
    /// Record sets of the name that a manifest cannot express, in words.
    pub foreign: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TxtSet {
    pub ttl_seconds: u32,
    /// As Route 53 writes them, in quotes.
    pub values: Vec<String>,
    pub is_simple: bool,
}

impl TxtSet {
    fn token(&self) -> Option<Token> {
        match self.values.as_slice() {
            [value] if self.is_simple => value.trim_matches('"').parse().ok(),
            _ => None,
        }
    }
}

/// What [`Observation::Ready`] carried to the call.
#[derive(Deserialize)]
struct Before {
    token: Option<TxtSet>,
    sets: Vec<RecordSet>,
}

pub(crate) struct Records {
    route53: Route53,
    /// Asked instead of the zone's own, when there are any.
    name_servers: Vec<SocketAddr>,
    resolver: Resolver,
    watches: Watches,
}

impl Records {
    pub(crate) fn new(route53: Route53, name_servers: Vec<SocketAddr>, resolver: Resolver) -> Self {
        Self { route53, name_servers, resolver, watches: Watches::default() }
    }

    pub(crate) async fn observe(&self, job: &Job, accepted: Option<&str>) -> Observation {
        self.look(job, accepted).await.unwrap_or_else(Observation::from)
    }

    async fn look(&self, job: &Job, accepted: Option<&str>) -> Result<Observation, ReadError> {
        let (zone_id, record) = match place(job) {
            Ok(place) => place,
            Err(reason) => return Ok(Observation::Blocked { reason }),
        };
        let listing = match accepted {
            Some(id) => self.list_once_in_sync(zone_id, record, job.token, id).await?,
            None => Some(self.route53.list(zone_id, record).await?),
        };
        let Some(listing) = listing else {
            return Ok(Observation::Pending { note: format!("{} is PENDING", accepted.unwrap_or("the change")) });
        };
        let decision = match &job.action {
            Action::Route53Replace { sets, .. } => {
                decide::replace(job.token, record, sets, &listing, job.retried_by_person)
            }
            _ => decide::create_token(record, &listing),
        };
        let token = match decision {
            Decision::Now(observation) => return Ok(observation),
            Decision::OnceInSync { token } => token,
        };
        let shown = match accepted {
            // A change id proves the change it names, and that one wrote our token.
            Some(id) if token == job.token => InSync::Yes { proof: format!("{id} INSYNC") },
            _ => self.shown_by_all(zone_id, record, token).await?,
        };
        Ok(match shown {
            InSync::Yes { proof } => {
                let read_back = json!({ "token": token.to_string(), "sets": listing.sets, "in_sync": proof });
                Observation::Satisfied { read_back: read_back.to_string() }
            }
            InSync::NotYet { note } => Observation::Pending { note },
            InSync::CannotKnow { reason } => Observation::Blocked { reason },
        })
    }

    /// While the change is on its way there is nothing else to see, and Route 53 counts every request: until its name
    /// servers show the token, it is asked now and then; once they do, at once.
    async fn list_once_in_sync(
        &self,
        zone_id: &str,
        record: &str,
        token: Token,
        id: &str,
    ) -> Result<Option<Listing>, ReadError> {
        let shown = match self.watches.wants_a_sight(id) {
            true => self.shown_by_one(zone_id, record, token).await,
            false => None,
        };
        match self.watches.turn(id, shown, Instant::now()) {
            Turn::Wait => Ok(None),
            Turn::Ask => match self.route53.is_in_sync(id).await? {
                true => self.route53.list(zone_id, record).await.map(Some),
                false => Ok(None),
            },
            Turn::AskAndList => {
                let (in_sync, listing) = tokio::join!(self.route53.is_in_sync(id), self.route53.list(zone_id, record));
                Ok(if in_sync? { Some(listing?) } else { None })
            }
        }
    }

    pub(crate) async fn call(&self, job: &Job, before: &str) -> CallResult {
        let (zone_id, record) = match place(job) {
            Ok(place) => place,
            Err(reason) => return CallResult::Rejected { reason },
        };
        let comment = format!("mesh {} {}", job.token, job.key);
        let Action::Route53Replace { sets: wanted, .. } = &job.action else {
            return self.route53.change(zone_id, &batch::create_token(record, job.token), &comment).await;
        };
        if let Err(reason) = batch::refuse_empty(wanted) {
            return CallResult::Rejected { reason };
        }
        let observed = serde_json::from_str::<Before>(before).ok();
        let Some(Before { token, sets }) = observed.filter(|seen| seen.token.is_some() || job.retried_by_person) else {
            return CallResult::Rejected { reason: "the call was given no observed token and record sets".to_owned() };
        };
        let difference = Difference::between(&sets, wanted);
        let changes = batch::replace(record, job.token, token.as_ref(), &difference);
        self.route53.change(zone_id, &changes, &comment).await
    }
}

fn place(job: &Job) -> Result<(&str, &str), String> {
    match &job.action {
        Action::Route53Replace { zone_id, record, .. } | Action::Route53CreateToken { zone_id, record } => {
            Ok((zone_id, record))
        }
        other => Err(format!("{} is no Route 53 action", other.name())),
    }
}
