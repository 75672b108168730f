//! While this node leads: judges every service by what the agents see, and proposes what a judgement makes due.
//!
//! A service is judged when something about it was seen, when its state changed, when its own judgement said so, and every
//! second in any case, since an observer that falls silent is no news. Judging is pure; after each pass the loop rests for a multiple
//! of what the pass took, so that neither ten thousand agents nor a thousand services can make it busy: it only looks less often.
//! The telling that may complete a quorum ends the rest, as long as this is seldom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::decide::next::may_command;
use mesh_core::decide::{self, Judgement};
use mesh_core::detect;
use mesh_core::fleet::{Command, Service};
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::time::Timestamp;
use tokio::time::{Instant, sleep};

use super::proposals::Proposals;
use crate::node::Node;
use crate::sessions::evidence::Snapshot;
use crate::sessions::signals::ripening::Wait;

pub mod editions;
pub mod judgements;
mod meters;
mod rest;
pub mod telling;

use editions::Editions;
use rest::Rest;

/// Whatever no news tells of: an observer that falls silent, a window that opens, a freeze that expires.
const JUDGE_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// Services that are judged before others get the thread.
const AT_A_TIME: usize = 16;

/// Ends the term's judgements, however it ends.
struct Term<'a>(&'a Node);

impl Drop for Term<'_> {
    fn drop(&mut self) {
        self.0.judgements.end();
        self.0.signals.ripening.clear();
    }
}

/// Runs until it is dropped: while the node leads a term that a quorum has confirmed.
pub async fn run(node: Arc<Node>, led_since: Timestamp) {
    let _term = Term(&node);
    node.judgements.begin(led_since);
    let (mut applied, mut news) = (node.replica.applied(), node.signals.changes());
    let (mut editions, mut proposals, mut rest) = (Editions::default(), Proposals::default(), Rest::default());
    loop {
        applied.mark_unchanged();
        news.mark_unchanged();
        let began = Instant::now();
        pass(&node, led_since, &mut editions).await;
        for command in due(&node, led_since) {
            proposals.propose_ahead(&node, command);
        }
        let (now, took) = (node.now(), began.elapsed());
        node.replica.with_fleet(|fleet| meters::pass(fleet, now, took));
        meters::passed_on(node.sessions.passed_on());
        let (whole, short) = rest.after(took, Instant::now());
        let resting = async {
            tokio::select! {
                () = sleep(whole) => {}
                () = async { sleep(short).await; node.signals.ripening.complete().await } => {}
            }
        };
        tokio::pin!(resting);
        // What was proposed does not rest.
        while tokio::select! { () = &mut resting => false, () = proposals.next_done() => true } {}
        let pause = node.judgements.until_next_look(node.now(), JUDGE_AT_LEAST_EVERY);
        let pause = proposals.until_retry().unwrap_or(pause).min(pause);
        tokio::select! {
            changed = applied.changed() => if changed.is_err() { return },
            // The node owns the sender.
            _ = news.changed() => {}
            () = proposals.next_done() => {}
            () = sleep(pause) => {}
        }
    }
}

/// Judges every service whose turn it is.
async fn pass(node: &Node, led_since: Timestamp, editions: &mut Editions) {
    let mut services: BTreeSet<ServiceId> = node.signals.take_changed();
    services.extend(node.judgements.due(node.now(), JUDGE_AT_LEAST_EVERY));
    node.replica.with_fleet(|fleet| services.extend(editions.take_changed(fleet)));
    if services.is_empty() {
        return;
    }
    let seen = Snapshot::take(node, led_since);
    for (nth, service) in (1..).zip(services) {
        match judge(node, &seen, &service, None) {
            Some(judgement) => {
                expect(node, &judgement);
                telling::tell(node.judgements.keep(judgement).as_deref(), node, &service);
            }
            None => {
                node.signals.ripening.expect(&service, BTreeMap::new());
                node.judgements.forget(&service);
            }
        }
        if nth % AT_A_TIME == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Whose telling this service waits for.
fn expect(node: &Node, judgement: &Judgement) {
    let failing = judgement.regions.iter().filter_map(|(region, verdict)| Some((region, verdict.short?)));
    let failing: Vec<(&RegionId, usize)> = failing.collect();
    let sustained = node.replica.with_fleet(|fleet| {
        let service = fleet.services.get(&judgement.service).filter(|_| !failing.is_empty());
        service.map(|service| service.manifest.policy.sustained)
    });
    let waits = sustained.map(|sustained| {
        let wait = |(region, short): (&RegionId, usize)| (region.clone(), Wait { sustained, short });
        failing.into_iter().map(wait).collect()
    });
    node.signals.ripening.expect(&judgement.service, waits.unwrap_or_default());
}

/// What the mesh makes of the service, and of a target that a person asks about. `None`: there is no such service.
pub fn judge(node: &Node, seen: &Snapshot, service: &ServiceId, to: Option<&RegionId>) -> Option<Judgement> {
    node.replica.with_fleet(|fleet| {
        let stored = fleet.services.get(service)?;
        let evidence = seen.evidence(node, with_needed(stored));
        let verdicts = detect::assess(stored, &evidence);
        Some(decide::judge_to(fleet, service, to, &verdicts, &evidence))
    })
}

/// Whether those have moved on which it depends is a rule, too.
fn with_needed(service: &Service) -> impl Iterator<Item = &ServiceId> {
    std::iter::once(&service.manifest.service).chain(&service.manifest.depends_on)
}

/// The commands that the judgements make due.
fn due(node: &Node, led_since: Timestamp) -> Vec<Command> {
    let mut judged = node.judgements.all();
    node.replica.with_fleet(|fleet| judged.retain(|judgement| may_command(fleet, judgement)));
    if judged.is_empty() {
        return Vec::new();
    }
    let judged: Vec<&Judgement> = judged.iter().map(Arc::as_ref).collect();
    let seen = Snapshot::take(node, led_since);
    node.replica.with_fleet(|fleet| {
        let services = judged.iter().filter_map(|judgement| fleet.services.get(&judgement.service));
        let wanted: BTreeSet<&ServiceId> = services.flat_map(with_needed).collect();
        decide::commands(fleet, &judged, &seen.evidence(node, wanted), &|plan| mesh_proto::plan_hash(plan))
    })
}
