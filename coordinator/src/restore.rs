//! `mesh-coordinator restore`: makes this node the first of a new group, from a backup, and says what follows from it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_core::fleet::apply::CALL_LIFETIME;
use mesh_core::time::{Timestamp, duration_millis};
use mesh_runtime::clock::unix_now;

use crate::config::Config;
use crate::store::backup::{self, Contents, NewMember, Restore};

pub fn restore(config: &Config, from: &Path, lost_ago: Duration) -> anyhow::Result<ExitCode> {
    let consensus = config.consensus();
    let Some(own) = consensus.bootstrap.iter().find(|founder| founder.id == config.node_id) else {
        bail!(
            "[[bootstrap]] does not list node {}: list every coordinator of the new group there, with new ids, the same \
             list on each",
            config.node_id
        );
    };
    let by = format!("restore on {} as node {}", config.advertise, config.node_id);
    let now = unix_now();
    let lost_at = Timestamp::from_millis(now.as_millis().saturating_sub(duration_millis(lost_ago)));
    let order = Restore {
        file: from,
        data_dir: &config.data_dir,
        mesh: &config.mesh,
        own: NewMember { id: own.id, address: own.address.clone(), region: own.region.clone() },
        founders: consensus.bootstrap.iter().map(|founder| founder.id).collect(),
        by,
        now,
        lost_at,
        options: consensus.store,
    };
    let contents = backup::restore(&order).with_context(|| format!("restoring {}", from.display()))?;
    print!("{}", told(config, &contents, &order));
    Ok(ExitCode::SUCCESS)
}

fn told(config: &Config, contents: &Contents, order: &Restore<'_>) -> String {
    let minutes = order.now.since(contents.made_at).as_secs() / 60;
    let wait = CALL_LIFETIME.saturating_sub(order.now.since(order.lost_at)).as_secs().div_ceil(60);
    let others: Vec<String> = config
        .bootstrap
        .iter()
        .filter(|founder| founder.id != config.node_id)
        .map(|founder| format!("node {} at {}", founder.id, founder.address))
        .collect();
    let others = if others.is_empty() { "none is listed".to_owned() } else { others.join(", ") };
    format!(
        "Restored to {dir}: {services} services, {runs} runs and {retired} older ones, {records} audit records up to \
         index {index}.\n\
         Checksum of the backup: {checksum}\n\
         \n\
         The backup is {minutes} minutes old. What the mesh did after it is NOT KNOWN here:\n\
         - A service may have moved since. No service is armed: the mesh watches and changes nothing.\n\
         - Runs that were going on have been ended as refused. They may have gone further than they show.\n\
         - Generations and intents were raised far above what can have been given out, so that newer is newer.\n\
         - For {wait} minutes from now no change is made outside: until then an old call may still arrive.\n\
         - Keys, approvals and manifests are those of the backup: enrol, revoke and apply again what came after.\n\
         \n\
         Next:\n\
         1. Make sure that no coordinator of the old group runs any more, or ever will with its old disk.\n\
         2. Start this node. Start the others with EMPTY data directories and the same [[bootstrap]] list: {others}.\n\
         \u{20}  They come in by themselves; `meshctl coordinator status` shows three voters.\n\
         3. For each service compare `meshctl service NAME` with where it really is (`meshctl doctor NAME`).\n\
         4. `meshctl arm NAME`. A service that really is elsewhere: `meshctl failover --to THERE --service NAME` brings \
         the mesh after it; what is done already counts as done.\n",
        dir = config.data_dir.display(),
        services = contents.services,
        runs = contents.runs,
        retired = contents.retired,
        records = contents.summary.audit.records,
        index = contents.summary.audit.index,
        checksum = contents.checksum,
    )
}
