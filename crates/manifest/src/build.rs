//! Values to the core's manifest. What could not be read is left out, so that the rules can still be asked about the
//! rest; only a complete one is ever given to a caller.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::ids::{NameError, RegionId};
use mesh_core::manifest::{
    AutomaticMode, Decimal, EcsService, EksCluster, LossPolicy, Manifest, Notice, Objectives, Policy, PostgresInstance,
    RdsInstance, RecordData, RecordKind, RecordSet, RegionRole, Resource, ResourceKind, Routing, RuleScope, SafetyRule,
    TrafficRecord, Verification, WriterMode,
};

use crate::read::{Value, Values};

mod fences;
mod probes;

pub(crate) struct Built {
    pub manifest: Manifest,
    /// Nothing was left out.
    pub complete: bool,
    /// For each list at the top level, where its entries stand in the file.
    kept: BTreeMap<&'static str, Vec<usize>>,
}

impl Built {
    /// `checks[0].name` of the manifest, as a path of the file, where entries may have been left out.
    pub fn original_path(&self, path: &str) -> String {
        let moved = || {
            let (list, rest) = path.split_once('[')?;
            let (number, rest) = rest.split_once(']')?;
            let original = self.kept.get(list)?.get(number.parse::<usize>().ok()?)?;
            Some(format!("{list}[{original}]{rest}"))
        };
        moved().unwrap_or_else(|| path.to_owned())
    }
}

/// `None` if not even a name and regions are there.
pub(crate) fn manifest(values: &Values) -> Option<Built> {
    let top = Fields(&values.top);
    let mut lists = Lists { values, kept: BTreeMap::new(), complete: true };
    let writer = top.word("writer").map(|word| if word == "single" { WriterMode::Single } else { WriterMode::Multi });
    let objectives = top.record("objectives").map(objectives);
    let mut complete = writer.is_some() && objectives.is_some();
    let checks = lists.read("checks", probes::check);
    let resources = lists.read("resources", resource);
    let traffic = lists.read("traffic", traffic);
    let verify = lists.read("verify", verification);
    let notices = lists.read("notices", notice);
    let safety = lists.read("safety", safety_rule);
    let fences = lists.read("fence", fences::fence);
    complete &= lists.complete;
    let manifest = Manifest {
        service: top.name("service")?,
        description: top.text("description").unwrap_or_default(),
        writer: writer.unwrap_or(WriterMode::Multi),
        regions: top.regions("regions", |role| {
            Some(if role.word()? == "primary" { RegionRole::Primary } else { RegionRole::Standby })
        })?,
        depends_on: top.names("depends-on").unwrap_or_default(),
        objectives: objectives.unwrap_or(UNREAD_OBJECTIVES),
        checks,
        resources,
        traffic,
        verify,
        notices,
        policy: top.record("policy").map(policy).unwrap_or_default(),
        safety,
        fence: fences::fencing(fences, top.record("lease")),
    };
    Some(Built { manifest, complete, kept: lists.kept })
}

struct Lists<'a> {
    values: &'a Values,
    kept: BTreeMap<&'static str, Vec<usize>>,
    complete: bool,
}

impl Lists<'_> {
    fn read<T>(&mut self, key: &'static str, item: impl Fn(Fields<'_>) -> Option<T>) -> Vec<T> {
        let mut built = Vec::new();
        let kept = self.kept.entry(key).or_default();
        for (i, value) in self.values.lists.get(key).into_iter().flatten() {
            match value.record().and_then(&item) {
                Some(item) => {
                    built.push(item);
                    kept.push(*i);
                }
                None => self.complete = false,
            }
        }
        built
    }
}

/// Stands for objectives that could not be read; no rule objects to it.
const UNREAD_OBJECTIVES: Objectives = Objectives { rto: Duration::from_secs(1), rpo: Duration::ZERO };

fn objectives(fields: Fields<'_>) -> Objectives {
    Objectives {
        rto: fields.duration("rto").unwrap_or(UNREAD_OBJECTIVES.rto),
        rpo: fields.duration("rpo").unwrap_or(UNREAD_OBJECTIVES.rpo),
    }
}

fn resource(fields: Fields<'_>) -> Option<Resource> {
    let of = |key| fields.record(key);
    let kind = if let Some(rds) = of("rds") {
        ResourceKind::Rds {
            instances: rds.regions("instances", |value| value.record().and_then(rds_instance))?,
            backup_retention_days: rds.integer("backup-retention-days")?,
        }
    } else if let Some(table) = of("dynamodb-global-table") {
        ResourceKind::DynamodbGlobalTable { table: table.text("table")?, regions: table.names("regions")? }
    } else if let Some(eks) = of("eks") {
        ResourceKind::Eks { clusters: eks.regions("clusters", |value| value.record().and_then(eks_cluster))? }
    } else if let Some(ecs) = of("ecs") {
        ResourceKind::Ecs { services: ecs.regions("services", |value| value.record().and_then(ecs_service))? }
    } else if let Some(postgres) = of("postgresql") {
        ResourceKind::Postgresql {
            instances: postgres.regions("instances", |value| value.record().and_then(postgres_instance))?,
        }
    } else {
        ResourceKind::Msk { clusters: of("msk")?.regions("clusters", Value::text)? }
    };
    Some(Resource { name: fields.text("name")?, kind })
}

fn rds_instance(fields: Fields<'_>) -> Option<RdsInstance> {
    Some(RdsInstance {
        instance: fields.text("instance")?,
        security_groups: fields.texts("security-groups")?.into_iter().collect(),
        closed_security_group: fields.text("closed-security-group")?,
    })
}

fn postgres_instance(fields: Fields<'_>) -> Option<PostgresInstance> {
    Some(PostgresInstance {
        host: fields.text("host")?,
        port: u16::try_from(fields.integer("port")?).ok()?,
        database: fields.text("database")?,
        user: fields.text("user")?,
        password_file: fields.text("password-file"),
        ca_file: fields.record("tls").and_then(|tls| tls.text("ca-file")),
        data_directory: fields.text("data-directory"),
    })
}

fn eks_cluster(fields: Fields<'_>) -> Option<EksCluster> {
    let nodes = fields.record("nodes")?;
    Some(EksCluster {
        cluster: fields.text("cluster")?,
        node_group: fields.text("node-group")?,
        nodes_min: nodes.integer("min")?,
        nodes_max: nodes.integer("max")?,
        nodes_desired: nodes.integer("desired")?,
        namespace: fields.text("namespace")?,
        replicas: fields.integer("replicas")?,
        deployments: fields.counts("deployments")?,
    })
}

fn ecs_service(fields: Fields<'_>) -> Option<EcsService> {
    Some(EcsService {
        cluster: fields.text("cluster")?,
        service: fields.text("service")?,
        tasks: fields.integer("tasks")?,
    })
}

fn traffic(fields: Fields<'_>) -> Option<TrafficRecord> {
    Some(TrafficRecord {
        name: fields.text("name")?,
        zone_id: fields.text("zone-id")?,
        record: fields.text("record")?,
        active: fields
            .regions("active", |sets| sets.list()?.iter().map(|set| set.record().and_then(record_set)).collect())?,
    })
}

fn record_set(fields: Fields<'_>) -> Option<RecordSet> {
    let kind = match fields.word("type")? {
        "A" => RecordKind::A,
        "AAAA" => RecordKind::Aaaa,
        "CNAME" => RecordKind::Cname,
        _ => return None,
    };
    let routing = match (fields.integer("weight"), fields.word("failover")) {
        (None, None) => Routing::Simple,
        (Some(weight), None) => Routing::Weighted(u8::try_from(weight).ok()?),
        (None, Some("primary")) => Routing::FailoverPrimary,
        (None, Some("secondary")) => Routing::FailoverSecondary,
        _ => return None,
    };
    let data = match fields.record("alias") {
        Some(alias) => RecordData::Alias {
            zone_id: alias.text("zone-id")?,
            dns_name: alias.text("dns-name")?,
            evaluate_target_health: alias.boolean("evaluate-target-health")?,
        },
        None => RecordData::Values {
            ttl_seconds: u32::try_from(fields.duration("ttl")?.as_secs()).ok()?,
            values: fields.texts("values")?,
        },
    };
    let set_identifier = fields.text("set-identifier");
    Some(RecordSet { kind, set_identifier, routing, health_check_id: fields.text("health-check-id"), data })
}

fn verification(fields: Fields<'_>) -> Option<Verification> {
    Some(Verification {
        name: fields.text("name")?,
        url: fields.text("url")?,
        expect_status: fields.status()?,
        body_contains: fields.text("body-contains"),
        consecutive: fields.integer("consecutive")?,
    })
}

fn notice(fields: Fields<'_>) -> Option<Notice> {
    Some(Notice { name: fields.text("name")?, topics: fields.regions("sns", Value::text)? })
}

fn safety_rule(fields: Fields<'_>) -> Option<SafetyRule> {
    let scope = if fields.word("scope")? == "mesh" { RuleScope::Mesh } else { RuleScope::Service };
    Some(SafetyRule { name: fields.text("name")?, scope, rule: fields.text("rule")?.parse().ok()? })
}

/// A field that could not be read has its default here: it is reported, and its neighbours are still checked.
fn policy(fields: Fields<'_>) -> Policy {
    let default = Policy::default();
    let duration = |key, default| fields.duration(key).unwrap_or(default);
    Policy {
        automatic: match fields.word("automatic") {
            Some("notify") => AutomaticMode::Notify,
            Some("fence") => AutomaticMode::Fence,
            Some("full") => AutomaticMode::Full,
            Some(_) | None => AutomaticMode::Off,
        },
        sustained: duration("sustained", default.sustained),
        cool_down: duration("cool-down", default.cool_down),
        // One that cannot be read was reported by the reader.
        windows: fields.texts("windows").unwrap_or_default().iter().filter_map(|text| text.parse().ok()).collect(),
        loss: if fields.word("loss") == Some("accept") { LossPolicy::Accept } else { LossPolicy::Block },
        quorum: fields.integer("quorum"),
        fence_timeout: duration("fence-timeout", default.fence_timeout),
        catch_up_timeout: duration("catch-up-timeout", default.catch_up_timeout),
        promote_timeout: duration("promote-timeout", default.promote_timeout),
        scale_timeout: duration("scale-timeout", default.scale_timeout),
        gate_timeout: duration("gate-timeout", default.gate_timeout),
        traffic_timeout: duration("traffic-timeout", default.traffic_timeout),
        verify_timeout: duration("verify-timeout", default.verify_timeout),
        notice_timeout: duration("notice-timeout", default.notice_timeout),
    }
}

impl Value {
    fn text(&self) -> Option<String> {
        if let Self::Text(text) = self { Some(text.clone()) } else { None }
    }

    fn word(&self) -> Option<&'static str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    fn list(&self) -> Option<&[Value]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    fn record(&self) -> Option<Fields<'_>> {
        if let Self::Record(record) = self { Some(Fields(record)) } else { None }
    }
}

/// The fields of a record that was read, by key.
#[derive(Clone, Copy)]
struct Fields<'a>(&'a BTreeMap<&'static str, Value>);

impl<'a> Fields<'a> {
    fn text(self, key: &str) -> Option<String> {
        self.0.get(key)?.text()
    }

    fn word(self, key: &str) -> Option<&'static str> {
        self.0.get(key)?.word()
    }

    fn texts(self, key: &str) -> Option<Vec<String>> {
        self.0.get(key)?.list()?.iter().map(Value::text).collect()
    }

    fn name<T: TryFrom<String, Error = NameError>>(self, key: &str) -> Option<T> {
        T::try_from(self.text(key)?).ok()
    }

    fn names<T: TryFrom<String, Error = NameError> + Ord>(self, key: &str) -> Option<BTreeSet<T>> {
        self.texts(key)?.into_iter().map(|text| T::try_from(text).ok()).collect()
    }

    fn record(self, key: &str) -> Option<Fields<'a>> {
        self.0.get(key)?.record()
    }

    fn regions<T>(self, key: &str, value: impl Fn(&Value) -> Option<T>) -> Option<BTreeMap<RegionId, T>> {
        let Value::Regions(regions) = self.0.get(key)? else { return None };
        regions.iter().map(|(region, of)| Some((RegionId::new(region.as_str()).ok()?, value(of)?))).collect()
    }

    fn integer(self, key: &str) -> Option<u32> {
        if let Value::Integer(value) = self.0.get(key)? { Some(*value) } else { None }
    }

    /// None given: empty.
    fn counts(self, key: &str) -> Option<BTreeMap<String, u32>> {
        let Some(Value::Regions(counts)) = self.0.get(key) else { return Some(BTreeMap::new()) };
        counts
            .iter()
            .map(|(name, count)| if let Value::Integer(count) = count { Some((name.clone(), *count)) } else { None })
            .collect()
    }

    fn boolean(self, key: &str) -> Option<bool> {
        if let Value::Boolean(value) = self.0.get(key)? { Some(*value) } else { None }
    }

    fn duration(self, key: &str) -> Option<Duration> {
        if let Value::Duration(value) = self.0.get(key)? { Some(*value) } else { None }
    }

    fn decimal(self, key: &str) -> Option<Decimal> {
        if let Value::Decimal(value) = self.0.get(key)? { Some(*value) } else { None }
    }

    fn status(self) -> Option<u16> {
        u16::try_from(self.integer("expect-status")?).ok()
    }
}
