//! Route 53 hosted zones: the record sets of one name, its token, and batches of changes.

use std::time::Duration;

use aws_config::{Region, SdkConfig};
use aws_sdk_route53::Client;
use aws_sdk_route53::operation::change_resource_record_sets::ChangeResourceRecordSetsError as ChangeError;
use aws_sdk_route53::types::{ChangeStatus, ResourceRecordSet, RrType};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use mesh_core::execute::CallResult;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{ReadError, call_failure, is_stale};
use crate::route53::batch::Change;
use crate::route53::name::{is_same_name, token_name};
use crate::route53::{Listing, TxtSet};

mod convert;
mod lists;

/// Route 53's own bound on a page.
const PAGE: i32 = 100;
/// Route 53 allows 100 sets of one name and type; three types fit in as many pages, with what stands between.
const PAGES_MAX: usize = 5;

/// As much of an unread refusal as is shown.
const MESSAGE_MAX: usize = 1000;

/// Route 53 serves an account five requests a second. Looks are paid from a purse of [`LOOKS_SAVED`] that fills by one
/// in this time: at most four of them fall into any second, so that a change finds room beside them.
const LOOK_EVERY: Duration = Duration::from_millis(350);
const LOOKS_SAVED: u32 = 2;

pub(crate) struct Route53 {
    client: Client,
    /// When the purse was, or will be, empty.
    spent_until: Mutex<Instant>,
}

impl Route53 {
    pub(crate) fn new(config: &SdkConfig, region: Region) -> Self {
        let client = Client::from_conf(aws_sdk_route53::config::Builder::from(config).region(region).build());
        let empty_at = Instant::now().checked_sub(LOOK_EVERY * LOOKS_SAVED).unwrap_or_else(Instant::now);
        Self { client, spent_until: Mutex::new(empty_at) }
    }

    /// Waits until a look may be sent. Whoever comes meanwhile waits behind.
    async fn pace(&self) {
        let mut spent_until = self.spent_until.lock().await;
        let now = Instant::now();
        let (paid, wait) = pay(*spent_until, now);
        *spent_until = paid;
        tokio::time::sleep(wait).await;
    }

    /// All record sets of `record` that can carry an answer, and its token.
    pub(crate) async fn list(&self, zone_id: &str, record: &str) -> Result<Listing, ReadError> {
        let token = token_name(record);
        let mut listing = Listing::default();
        let mut from = Start { name: record.to_owned(), kind: None, identifier: None };
        for _ in 0..PAGES_MAX {
            let (sets, next) = self.page(zone_id, from).await?;
            for set in &sets {
                take(&mut listing, set, record, &token);
            }
            let Some(next) = next else {
                return Ok(listing);
            };
            // Sets of one name stand together; whatever begins with another name is past ours.
            if is_same_name(&next.name, record) {
                from = next;
                continue;
            }
            if listing.tokens.is_empty() {
                let at_token = Start { name: token.clone(), kind: Some(RrType::Txt), identifier: None };
                let (sets, _) = self.page(zone_id, at_token).await?;
                for set in sets.iter().filter(|set| is_same_name(set.name(), &token)) {
                    take(&mut listing, set, record, &token);
                }
            }
            return Ok(listing);
        }
        Err(ReadError::Unreadable(format!("{record} has more record sets than {PAGES_MAX} pages hold")))
    }

    async fn page(&self, zone_id: &str, from: Start) -> Result<(Vec<ResourceRecordSet>, Option<Start>), ReadError> {
        self.pace().await;
        let output = self
            .client
            .list_resource_record_sets()
            .hosted_zone_id(zone_id)
            .start_record_name(from.name)
            .set_start_record_type(from.kind)
            .set_start_record_identifier(from.identifier)
            .max_items(PAGE)
            .send()
            .await
            .map_err(|error| ReadError::of("route53:ListResourceRecordSets", &error))?;
        let next = output.next_record_name.filter(|_| output.is_truncated).map(|name| Start {
            name,
            kind: output.next_record_type,
            identifier: output.next_record_identifier,
        });
        Ok((output.resource_record_sets, next))
    }

    /// All of `changes` or none of them. The reference is the change id.
    pub(crate) async fn change(&self, zone_id: &str, changes: &[Change<'_>], comment: &str) -> CallResult {
        let batch = match convert::batch(changes, comment) {
            Ok(batch) => batch,
            Err(error) => return CallResult::Rejected { reason: format!("the batch cannot be written: {error}") },
        };
        let sent = self.client.change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch).send().await;
        let operation = "route53:ChangeResourceRecordSets";
        match sent {
            Ok(output) => match output.change_info() {
                Some(info) => CallResult::Accepted { reference: info.id().to_owned() },
                None => CallResult::Unknown { reason: format!("{operation}: the answer names no change") },
            },
            Err(error) => match invalid_batch(&error) {
                Some(why) => {
                    let reason = format!("{operation}: InvalidChangeBatch: {why}");
                    match is_stale(&reason) {
                        true => CallResult::NotApplied { reason },
                        false => CallResult::Rejected { reason },
                    }
                }
                None => call_failure(operation, &error),
            },
        }
    }

    /// Do all name servers of Route 53 have the change?
    pub(crate) async fn is_in_sync(&self, change_id: &str) -> Result<bool, ReadError> {
        let id = change_id.trim_start_matches("/change/");
        self.pace().await;
        let output =
            self.client.get_change().id(id).send().await.map_err(|error| ReadError::of("route53:GetChange", &error))?;
        Ok(output.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }

    /// Names of the zone's own name servers; none for a private zone.
    pub(crate) async fn name_servers(&self, zone_id: &str) -> Result<Vec<String>, ReadError> {
        self.pace().await;
        let output = self
            .client
            .get_hosted_zone()
            .id(zone_id)
            .send()
            .await
            .map_err(|error| ReadError::of("route53:GetHostedZone", &error))?;
        Ok(output.delegation_set().map(|set| set.name_servers().to_vec()).unwrap_or_default())
    }
}

/// Takes one look out of the purse: how empty it is then, and for how long to wait.
fn pay(spent_until: Instant, now: Instant) -> (Instant, Duration) {
    let full = now.checked_sub(LOOK_EVERY * LOOKS_SAVED).unwrap_or(spent_until);
    let paid = spent_until.max(full) + LOOK_EVERY;
    (paid, paid.saturating_duration_since(now))
}

/// Why Route 53 refused a batch as a whole. It says so in an `ErrorResponse` like its other errors, or in an
/// `InvalidChangeBatch` of its own, which the SDK does not read.
fn invalid_batch(error: &SdkError<ChangeError, HttpResponse>) -> Option<String> {
    if let Some(ChangeError::InvalidChangeBatch(invalid)) = error.as_service_error() {
        let mut messages = invalid.messages().to_vec();
        messages.extend(invalid.message().map(str::to_owned));
        return Some(messages.join("; "));
    }
    let response = error.raw_response().filter(|response| response.status().is_client_error())?;
    let body = std::str::from_utf8(response.body().bytes()?).ok()?;
    let inner = body.split_once("<InvalidChangeBatch")?.1.split_once('>')?.1;
    Some(inner.chars().take(MESSAGE_MAX).collect())
}

struct Start {
    name: String,
    kind: Option<RrType>,
    identifier: Option<String>,
}

fn take(listing: &mut Listing, set: &ResourceRecordSet, record: &str, token: &str) {
    if is_same_name(set.name(), token) && *set.r#type() == RrType::Txt {
        listing.tokens.push(TxtSet {
            ttl_seconds: set.ttl().and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or_default(),
            values: set.resource_records().iter().map(|value| value.value().to_owned()).collect(),
            is_simple: set.set_identifier().is_none(),
        });
    } else if is_same_name(set.name(), record) {
        match convert::record_set(set) {
            Some(Ok(known)) => listing.sets.push(known),
            Some(Err(why)) => listing.foreign.push(why),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_four_looks_fall_into_a_second_and_two_may_follow_at_once() {
        let start = Instant::now() + Duration::from_secs(60);
        let mut spent_until = start;
        let mut sent = Vec::new();
        // Asked for without end; then after a rest.
        for (asked_at, looks) in [(Duration::ZERO, 12), (Duration::from_secs(30), 12)] {
            let mut now = start + asked_at;
            for _ in 0..looks {
                let (paid, wait) = pay(spent_until, now);
                (spent_until, now) = (paid, now + wait);
                sent.push(now);
            }
        }
        for first in &sent {
            let within = sent.iter().filter(|at| **at >= *first && at.duration_since(*first) < Duration::from_secs(1));
            assert!(within.count() <= 4);
        }
        let rested = start + Duration::from_secs(30);
        assert_eq!(sent.iter().filter(|at| **at == rested).count(), 2, "the purse holds two");
    }
}
