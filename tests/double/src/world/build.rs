use std::collections::BTreeMap;

use super::file::{InstanceEntry, RecordEntry, WorldFile, ZoneEntry};
use super::timers::Timer;
use super::{App, RegionState, World};
use crate::dynamodb;
use crate::rds::{Attachment, Instance, InstanceKey, SecurityGroup, Status};
use crate::route53::record::{Alias, RecordSet, normal_name, order};
use crate::route53::{NAME_SERVERS, Zone};
use crate::sns::{self, Topic};
use crate::sqs::{Queue, QueueKey};

const NS_TTL: u32 = 172_800;
const SOA_TTL: u32 = 900;

impl World {
    /// Everything that the file names, settled: no change is under way. The error says which entry does not fit.
    pub fn build(file: &WorldFile, now_ms: u64) -> Result<Self, String> {
        let mut world = Self::empty(&file.account, file.seed, now_ms);
        world.settings = file.settings.patched(&serde_json::json!({}))?;
        world.regions = file.regions.iter().map(|region| (region.clone(), RegionState::Up)).collect();
        world.access_keys = file.access_keys.iter().map(|key| (key.id.clone(), key.clone())).collect();
        for group in &file.security_groups {
            world.known(&group.region)?;
            let entry = SecurityGroup { region: group.region.clone(), open: group.open };
            world.rds.groups.insert(group.id.clone(), entry);
        }
        for entry in &file.rds {
            world.known(&entry.region)?;
            let instance = world.instance(entry)?;
            world.rds.instances.insert(instance.key.clone(), instance);
        }
        for app in &file.apps {
            world.known(&app.region)?;
            let database = app.database.clone();
            world.database(&app.region, &database)?;
            let (alb_name, alb_zone) = (app.alb_name.clone(), app.alb_zone.clone());
            let gateway = app.gateway.as_deref().map(split).transpose()?;
            let entry = App { database, alb_name, alb_zone, address: None, session: None, gateway };
            world.apps.insert(app.region.clone(), entry);
        }
        world.check_sources()?;
        world.add_queues(file)?;
        world.route53.zones = file.hosted_zones.iter().map(|entry| (entry.id.clone(), zone(entry))).collect();
        world.add_compute(file)?;
        for entry in &file.dynamodb {
            entry.regions.iter().try_for_each(|region| world.known(region))?;
            dynamodb::build::add(&mut world, entry)?;
        }
        world.timers.set(now_ms, Timer::SampleMetrics);
        Ok(world)
    }

    fn known(&self, region: &str) -> Result<(), String> {
        if self.regions.contains_key(region) { Ok(()) } else { Err(format!("unknown region {region}")) }
    }

    fn database(&self, region: &str, id: &str) -> Result<(), String> {
        let key = InstanceKey { region: region.to_owned(), id: id.to_owned() };
        if self.rds.instances.contains_key(&key) { Ok(()) } else { Err(format!("unknown database {key}")) }
    }

    fn instance(&mut self, entry: &InstanceEntry) -> Result<Instance, String> {
        let key = InstanceKey { region: entry.region.clone(), id: entry.id.to_lowercase() };
        if let Some(group) = entry.security_groups.iter().find(|id| !self.rds.groups.contains_key(*id)) {
            return Err(format!("{key}: unknown security group {group}"));
        }
        let source = match &entry.replica_of {
            Some(text) => Some(split(text).map(|(region, id)| InstanceKey { region, id })?),
            None => None,
        };
        Ok(Instance {
            key,
            engine: entry.engine.clone(),
            class: "db.r6g.large".to_owned(),
            resource_id: format!("db-{}", self.random_id(26)),
            created_ms: self.now_ms,
            port: 0,
            status: Status::Available,
            status_hidden_until_ms: 0,
            groups: entry.security_groups.iter().map(|id| (id.clone(), Attachment::Active)).collect(),
            groups_generation: 0,
            backup_retention: entry.backup_retention,
            pending_backup_retention: None,
            read_only: source.is_some(),
            source,
            promoting: false,
            serving: true,
            boot: 1,
            writes: Vec::new(),
            cursor: 0,
            applied_through_ms: self.now_ms,
            link_lost: None,
            promoted_from: None,
        })
    }

    fn check_sources(&self) -> Result<(), String> {
        let mut sources = self.rds.instances.values().filter_map(|instance| instance.source.as_ref());
        sources.try_for_each(|source| self.database(&source.region, &source.id))
    }

    fn add_queues(&mut self, file: &WorldFile) -> Result<(), String> {
        for entry in &file.queues {
            self.known(&entry.region)?;
            let key = QueueKey { region: entry.region.clone(), name: entry.name.clone() };
            let queue = Queue::new(entry.visibility_timeout_ms, entry.content_based_deduplication);
            self.sqs.queues.insert(key, queue);
        }
        for entry in &file.topics {
            self.known(&entry.region)?;
            let mut targets = Vec::new();
            for text in &entry.subscriptions {
                let (region, name) = split(text)?;
                let key = QueueKey { region, name };
                if !self.sqs.queues.contains_key(&key) {
                    return Err(format!("topic {}: unknown queue {text}", entry.name));
                }
                targets.push(key);
            }
            let arn = sns::arn(&self.account, &entry.region, &entry.name);
            let topic =
                Topic::new(entry.region.clone(), entry.name.clone(), targets, entry.content_based_deduplication);
            self.sns.topics.insert(arn, topic);
        }
        Ok(())
    }

    fn add_compute(&mut self, file: &WorldFile) -> Result<(), String> {
        let regions = file.eks.iter().map(|entry| &entry.region);
        let regions = regions.chain(file.ecs.iter().map(|entry| &entry.region));
        let regions = regions.chain(file.apis.iter().map(|entry| &entry.region));
        regions.chain(file.msk.iter().map(|entry| &entry.region)).try_for_each(|region| self.known(region))?;
        file.eks.iter().try_for_each(|entry| crate::eks::add(self, entry))?;
        file.ecs.iter().for_each(|entry| crate::ecs::add(self, entry));
        file.msk.iter().for_each(|entry| crate::kafka::add(self, entry));
        file.apis.iter().for_each(|entry| crate::apigateway::add(self, entry));
        let policies = file.access_keys.iter().filter_map(|key| Some((&key.name, key.policy.as_ref()?)));
        for (name, policy) in policies {
            crate::iam::Policy::read(policy).map_err(|why| format!("the policy of {name}: {why}"))?;
        }
        Ok(())
    }

    /// `region/id` of every database, for those who listen for it.
    pub fn database_keys(&self) -> Vec<InstanceKey> {
        self.rds.instances.keys().cloned().collect()
    }

    pub fn app_regions(&self) -> BTreeMap<String, String> {
        self.apps.iter().map(|(region, app)| (region.clone(), app.database.clone())).collect()
    }
}

fn split(text: &str) -> Result<(String, String), String> {
    let (region, name) = text.split_once('/').ok_or_else(|| format!("{text} is not region/name"))?;
    Ok((region.to_owned(), name.to_owned()))
}

fn zone(entry: &ZoneEntry) -> Zone {
    let name = normal_name(&entry.name);
    let plain = |kind: &str, ttl: u32, values: Vec<String>| RecordEntry {
        name: name.clone(),
        kind: kind.to_owned(),
        ttl: Some(ttl),
        values,
        ..RecordEntry::default()
    };
    let servers = NAME_SERVERS.iter().map(|server| format!("{server}.")).collect();
    let soa =
        format!("{}. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400", NAME_SERVERS.first().unwrap_or(&"ns"));
    let apex = [plain("NS", NS_TTL, servers), plain("SOA", SOA_TTL, vec![soa])];
    let mut records: Vec<RecordSet> = apex.iter().chain(&entry.records).map(record).collect();
    records.sort_by(|left, right| order(left.key(), right.key()));
    let published = records.clone();
    Zone { id: entry.id.clone(), name, records, published, busy_until_ms: 0, last_insync_ms: 0 }
}

fn record(entry: &RecordEntry) -> RecordSet {
    let mut values = entry.values.clone();
    values.sort();
    RecordSet {
        name: normal_name(&entry.name),
        kind: entry.kind.clone(),
        set_identifier: entry.set_identifier.clone(),
        weight: entry.weight,
        failover: entry.failover.clone(),
        ttl: entry.ttl,
        values,
        alias: entry.alias.as_ref().map(|alias| Alias {
            zone: alias.zone.clone(),
            name: normal_name(&alias.name),
            evaluate_target_health: alias.evaluate_target_health,
        }),
        health_check: None,
    }
}
