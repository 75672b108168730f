use std::collections::BTreeMap;

use mesh_core::survey::{
    Answer, CLUSTERS_MAX, Cluster, DATABASES_MAX, DEPLOYMENTS_MAX, Database, Depth, Examination, FINDING_TEXT_MAX,
    FINDINGS_MAX, Finding, Inventory, Kafka, Level, NAMES_MAX, NAMESPACES_MAX, NODE_GROUPS_MAX, NodeGroup, Question,
    SETS_MAX, TABLES_MAX, TASK_SERVICES_MAX, TOPICS_MAX, Table, TaskService, ZONES_MAX, Zone, ZoneName,
};

use crate::DecodeError;
use crate::bounds::clip;
use crate::fields::{Decoded, Fields};
use crate::v1;

/// A name, an ARN, a status of something found: AWS has none longer.
const FOUND_TEXT_MAX: usize = 2048;

by_value!(Question => v1::SurveyQuestion, Answer => v1::SurveyAnswer);

enums! {
    v1::SurveyDepth, "SurveyDepth" => Depth { Agent, Region }
    v1::FindingLevel, "FindingLevel" => Level { Ok, Warning, Problem, Unknown }
}

impl From<&Question> for v1::SurveyQuestion {
    fn from(question: &Question) -> Self {
        use v1::survey_question::Question as Wire;
        let question = match question {
            Question::Discover { names } => Wire::Discover(v1::Discovery { names: *names }),
            Question::Examine(examination) => {
                let Examination { manifest, active, depth, names, armed, probe } = &**examination;
                Wire::Examine(v1::Examination {
                    manifest: Some(manifest.into()),
                    active: active.to_string(),
                    depth: v1::SurveyDepth::from(*depth).into(),
                    names: *names,
                    probe: *probe,
                    armed: *armed,
                })
            }
        };
        Self { question: Some(question) }
    }
}

impl TryFrom<v1::SurveyQuestion> for Question {
    type Error = DecodeError;

    fn try_from(wire: v1::SurveyQuestion) -> Result<Self, DecodeError> {
        use v1::survey_question::Question as Wire;
        const F: Fields = Fields("SurveyQuestion");
        match F.required("question", wire.question)? {
            Wire::Discover(v1::Discovery { names }) => Ok(Self::Discover { names }),
            Wire::Examine(v1::Examination { manifest, active, depth, names, probe, armed }) => {
                Ok(Self::Examine(Box::new(Examination {
                    manifest: F.message("examine.manifest", manifest)?,
                    active: F.name("examine.active", active)?,
                    depth: F.enumeration::<v1::SurveyDepth, _>("examine.depth", depth)?,
                    names,
                    armed,
                    probe,
                })))
            }
        }
    }
}

impl From<&Answer> for v1::SurveyAnswer {
    fn from(answer: &Answer) -> Self {
        use v1::survey_answer::Answer as Wire;
        let answer = match answer {
            Answer::Inventory(inventory) => Wire::Inventory((&**inventory).into()),
            Answer::Findings(findings) => Wire::Findings(v1::Findings { findings: all(findings) }),
        };
        Self { answer: Some(answer) }
    }
}

impl TryFrom<v1::SurveyAnswer> for Answer {
    type Error = DecodeError;

    fn try_from(wire: v1::SurveyAnswer) -> Result<Self, DecodeError> {
        use v1::survey_answer::Answer as Wire;
        const F: Fields = Fields("SurveyAnswer");
        match F.required("answer", wire.answer)? {
            Wire::Inventory(inventory) => Ok(Self::Inventory(Box::new(F.nested("inventory", inventory)?))),
            Wire::Findings(found) => Ok(Self::Findings(F.list_max("findings", found.findings, FINDINGS_MAX)?)),
        }
    }
}

impl From<&Finding> for v1::Finding {
    fn from(finding: &Finding) -> Self {
        let Finding { level, subject, text, mend } = finding;
        let short = |text: &String| clip(text, FINDING_TEXT_MAX).to_owned();
        Self {
            level: v1::FindingLevel::from(*level).into(),
            subject: short(subject),
            text: short(text),
            mend: short(mend),
        }
    }
}

impl TryFrom<v1::Finding> for Finding {
    type Error = DecodeError;

    fn try_from(wire: v1::Finding) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Finding");
        let v1::Finding { level, subject, text, mend } = wire;
        Ok(Self {
            level: F.enumeration::<v1::FindingLevel, _>("level", level)?,
            subject: F.text_max("subject", subject, FINDING_TEXT_MAX)?,
            text: F.text_max("text", text, FINDING_TEXT_MAX)?,
            mend: F.text_max("mend", mend, FINDING_TEXT_MAX)?,
        })
    }
}

impl From<&Inventory> for v1::Inventory {
    fn from(inventory: &Inventory) -> Self {
        let Inventory { account, databases, tables, clusters, task_services, kafka, topics, zones, gaps } = inventory;
        Self {
            account: account.clone(),
            databases: all(databases),
            tables: all(tables),
            clusters: all(clusters),
            task_services: all(task_services),
            kafka: all(kafka),
            topics: topics.clone(),
            zones: all(zones),
            gaps: all(gaps),
        }
    }
}

impl TryFrom<v1::Inventory> for Inventory {
    type Error = DecodeError;

    fn try_from(wire: v1::Inventory) -> Result<Self, DecodeError> {
        const F: Fields = Fields("Inventory");
        let v1::Inventory { account, databases, tables, clusters, task_services, kafka, topics, zones, gaps } = wire;
        Ok(Self {
            account: found(F, "account", account)?,
            databases: F.list_max("databases", databases, DATABASES_MAX)?,
            tables: F.list_max("tables", tables, TABLES_MAX)?,
            clusters: F.list_max("clusters", clusters, CLUSTERS_MAX)?,
            task_services: F.list_max("task_services", task_services, TASK_SERVICES_MAX)?,
            kafka: F.list_max("kafka", kafka, CLUSTERS_MAX)?,
            topics: founds(F, "topics", topics, TOPICS_MAX)?,
            zones: F.list_max("zones", zones, ZONES_MAX)?,
            gaps: F.list_max("gaps", gaps, FINDINGS_MAX)?,
        })
    }
}

impl From<&Database> for v1::FoundDatabase {
    fn from(database: &Database) -> Self {
        let Database { instance, arn, engine, status, source, security_groups, endpoint, backup_retention_days } =
            database;
        Self {
            instance: instance.clone(),
            arn: arn.clone(),
            engine: engine.clone(),
            status: status.clone(),
            source: source.clone(),
            security_groups: security_groups.clone(),
            endpoint: endpoint.clone(),
            backup_retention_days: *backup_retention_days,
        }
    }
}

impl TryFrom<v1::FoundDatabase> for Database {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundDatabase) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundDatabase");
        let v1::FoundDatabase {
            instance,
            arn,
            engine,
            status,
            source,
            security_groups,
            endpoint,
            backup_retention_days,
        } = wire;
        Ok(Self {
            instance: found(F, "instance", instance)?,
            arn: found(F, "arn", arn)?,
            engine: found(F, "engine", engine)?,
            status: found(F, "status", status)?,
            source: source.map(|source| found(F, "source", source)).transpose()?,
            security_groups: founds(F, "security_groups", security_groups, SETS_MAX)?,
            endpoint: endpoint.map(|endpoint| found(F, "endpoint", endpoint)).transpose()?,
            backup_retention_days,
        })
    }
}

impl From<&Table> for v1::FoundTable {
    fn from(table: &Table) -> Self {
        let Table { name, status, replicas } = table;
        Self { name: name.clone(), status: status.clone(), replicas: replicas.clone() }
    }
}

impl TryFrom<v1::FoundTable> for Table {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundTable) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundTable");
        let v1::FoundTable { name, status, replicas } = wire;
        F.len("replicas", replicas.len(), CLUSTERS_MAX)?;
        let replica = |(region, status)| Ok((found(F, "replicas", region)?, found(F, "replicas", status)?));
        Ok(Self {
            name: found(F, "name", name)?,
            status: found(F, "status", status)?,
            replicas: replicas.into_iter().map(replica).collect::<Decoded<_>>()?,
        })
    }
}

impl From<&Cluster> for v1::FoundCluster {
    fn from(cluster: &Cluster) -> Self {
        let Cluster { name, status, node_groups, namespaces } = cluster;
        let deployments = |(namespace, deployments): (&String, &BTreeMap<String, u32>)| {
            (namespace.clone(), v1::FoundDeployments { deployments: deployments.clone() })
        };
        Self {
            name: name.clone(),
            status: status.clone(),
            node_groups: all(node_groups),
            namespaces: namespaces.iter().map(deployments).collect(),
        }
    }
}

impl TryFrom<v1::FoundCluster> for Cluster {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundCluster) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundCluster");
        let v1::FoundCluster { name, status, node_groups, namespaces } = wire;
        F.len("namespaces", namespaces.len(), NAMESPACES_MAX)?;
        let deployments = |(namespace, wire): (String, v1::FoundDeployments)| {
            F.len("namespaces.deployments", wire.deployments.len(), DEPLOYMENTS_MAX)?;
            let deployment = |(name, replicas)| Ok((found(F, "namespaces.deployments", name)?, replicas));
            let deployments = wire.deployments.into_iter().map(deployment).collect::<Decoded<_>>()?;
            Ok((found(F, "namespaces", namespace)?, deployments))
        };
        Ok(Self {
            name: found(F, "name", name)?,
            status: found(F, "status", status)?,
            node_groups: F.list_max("node_groups", node_groups, NODE_GROUPS_MAX)?,
            namespaces: namespaces.into_iter().map(deployments).collect::<Decoded<_>>()?,
        })
    }
}

impl From<&NodeGroup> for v1::FoundNodeGroup {
    fn from(group: &NodeGroup) -> Self {
        let NodeGroup { name, status, min, max, desired } = group;
        Self { name: name.clone(), status: status.clone(), min: *min, max: *max, desired: *desired }
    }
}

impl TryFrom<v1::FoundNodeGroup> for NodeGroup {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundNodeGroup) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundNodeGroup");
        let v1::FoundNodeGroup { name, status, min, max, desired } = wire;
        Ok(Self { name: found(F, "name", name)?, status: found(F, "status", status)?, min, max, desired })
    }
}

impl From<&TaskService> for v1::FoundTaskService {
    fn from(service: &TaskService) -> Self {
        let TaskService { cluster, service, status, desired, running } = service;
        Self {
            cluster: cluster.clone(),
            service: service.clone(),
            status: status.clone(),
            desired: *desired,
            running: *running,
        }
    }
}

impl TryFrom<v1::FoundTaskService> for TaskService {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundTaskService) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundTaskService");
        let v1::FoundTaskService { cluster, service, status, desired, running } = wire;
        Ok(Self {
            cluster: found(F, "cluster", cluster)?,
            service: found(F, "service", service)?,
            status: found(F, "status", status)?,
            desired,
            running,
        })
    }
}

impl From<&Kafka> for v1::FoundKafka {
    fn from(kafka: &Kafka) -> Self {
        let Kafka { name, state } = kafka;
        Self { name: name.clone(), state: state.clone() }
    }
}

impl TryFrom<v1::FoundKafka> for Kafka {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundKafka) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundKafka");
        let v1::FoundKafka { name, state } = wire;
        Ok(Self { name: found(F, "name", name)?, state: found(F, "state", state)? })
    }
}

impl From<&Zone> for v1::FoundZone {
    fn from(zone: &Zone) -> Self {
        let Zone { id, name, private, names } = zone;
        Self { id: id.clone(), name: name.clone(), private: *private, names: all(names) }
    }
}

impl TryFrom<v1::FoundZone> for Zone {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundZone) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundZone");
        let v1::FoundZone { id, name, private, names } = wire;
        Ok(Self {
            id: found(F, "id", id)?,
            name: found(F, "name", name)?,
            private,
            names: F.list_max("names", names, NAMES_MAX)?,
        })
    }
}

impl From<&ZoneName> for v1::FoundName {
    fn from(name: &ZoneName) -> Self {
        let ZoneName { record, sets, foreign } = name;
        Self { record: record.clone(), sets: all(sets), foreign: foreign.clone() }
    }
}

impl TryFrom<v1::FoundName> for ZoneName {
    type Error = DecodeError;

    fn try_from(wire: v1::FoundName) -> Result<Self, DecodeError> {
        const F: Fields = Fields("FoundName");
        let v1::FoundName { record, sets, foreign } = wire;
        Ok(Self {
            record: found(F, "record", record)?,
            sets: F.list_max("sets", sets, SETS_MAX)?,
            foreign: founds(F, "foreign", foreign, SETS_MAX)?,
        })
    }
}

fn all<'a, C, W: From<&'a C>>(values: &'a [C]) -> Vec<W> {
    values.iter().map(W::from).collect()
}

fn found(fields: Fields, field: &str, given: String) -> Decoded<String> {
    fields.text_max(field, given, FOUND_TEXT_MAX)
}

fn founds(fields: Fields, field: &str, given: Vec<String>, len_max: usize) -> Decoded<Vec<String>> {
    fields.len(field, given.len(), len_max)?;
    given.into_iter().map(|text| found(fields, field, text)).collect()
}
