use mesh_core::manifest::{RecordData, RecordKind, RecordSet, Routing};
use mesh_core::survey::{Cluster, Database, Kafka, NodeGroup, Table, TaskService, Zone, ZoneName};

use super::*;

const EAST: &str = "us-east-1";
const WEST: &str = "us-west-2";

fn region(name: &str) -> RegionId {
    RegionId::new(name).expect("a region")
}

fn alias(zone_id: &str, dns_name: &str) -> RecordSet {
    RecordSet {
        kind: RecordKind::A,
        set_identifier: None,
        routing: Routing::Simple,
        health_check_id: None,
        data: RecordData::Alias {
            zone_id: zone_id.to_owned(),
            dns_name: dns_name.to_owned(),
            evaluate_target_health: true,
        },
    }
}

fn name(record: &str, sets: Vec<RecordSet>) -> ZoneName {
    ZoneName { record: record.to_owned(), sets, foreign: Vec::new() }
}

fn database(instance: &str, region: &str, source: Option<&str>) -> Database {
    Database {
        instance: instance.to_owned(),
        arn: format!("arn:aws:rds:{region}:123456789012:db:{instance}"),
        engine: "postgres".to_owned(),
        status: "available".to_owned(),
        source: source.map(str::to_owned),
        security_groups: vec![format!("sg-open-{region}")],
        endpoint: Some(format!("{instance}.{region}.rds.amazonaws.com:5432")),
        backup_retention_days: if source.is_none() { 7 } else { 0 },
    }
}

fn cluster(name: &str, group: &str, desired: u32, replicas: u32) -> Cluster {
    let group = NodeGroup { name: group.to_owned(), status: "ACTIVE".to_owned(), min: 1, max: 20, desired };
    let deployments = BTreeMap::from([("api".to_owned(), replicas), ("worker".to_owned(), replicas * 2)]);
    Cluster {
        name: name.to_owned(),
        status: "ACTIVE".to_owned(),
        node_groups: vec![group],
        namespaces: BTreeMap::from([("maip-services".to_owned(), deployments)]),
    }
}

/// The world of the runbook.
fn maip() -> BTreeMap<RegionId, Inventory> {
    let replicas = |of: [&str; 2]| of.map(|region| (region.to_owned(), "ACTIVE".to_owned())).into();
    let table = || Table {
        name: "maip-prod-merchant-analytics".to_owned(),
        status: "ACTIVE".to_owned(),
        replicas: replicas([EAST, WEST]),
    };
    let kafka = |name: &str| vec![Kafka { name: name.to_owned(), state: "ACTIVE".to_owned() }];
    let tasks = |cluster: &str, desired| TaskService {
        cluster: cluster.to_owned(),
        service: "maip-reports".to_owned(),
        status: "ACTIVE".to_owned(),
        desired,
        running: desired,
    };
    let topics = |region: &str| vec![format!("arn:aws:sns:{region}:123456789012:maip-prod-alerts.fifo")];
    let east = Inventory {
        account: "123456789012".to_owned(),
        databases: vec![database("maip-prod-postgres", EAST, None)],
        tables: vec![table()],
        clusters: vec![cluster("maip-prod-eks-cluster", "maip-prod-nodegroup", 8, 4)],
        task_services: vec![tasks("maip-prod", 3)],
        kafka: kafka("maip-prod-kafka"),
        topics: topics(EAST),
        zones: vec![Zone {
            id: "ZMAIP0000000000".to_owned(),
            name: "maip.example.com".to_owned(),
            private: false,
            names: vec![name(
                "api.maip.example.com",
                vec![alias("Z35SXDOTRQ7X7K", "maip-prod-alb.us-east-1.elb.amazonaws.com.")],
            )],
        }],
        gaps: Vec::new(),
    };
    let source = "arn:aws:rds:us-east-1:123456789012:db:maip-prod-postgres";
    let west = Inventory {
        account: "123456789012".to_owned(),
        databases: vec![database("maip-prod-postgres-replica", WEST, Some(source))],
        tables: vec![table()],
        clusters: vec![cluster("maip-prod-dr-eks-cluster", "maip-prod-dr-nodegroup", 1, 1)],
        task_services: vec![tasks("maip-prod-dr", 1)],
        kafka: kafka("maip-prod-dr-kafka"),
        topics: topics(WEST),
        ..Inventory::default()
    };
    BTreeMap::from([(region(EAST), east), (region(WEST), west), (region("eu-central-1"), Inventory::default())])
}

fn drafted(inventories: &BTreeMap<RegionId, Inventory>, service: &str) -> Draft {
    let service = ServiceId::new(service).expect("a service");
    let place = place(&service, inventories).expect("a place");
    draft(&Seen { service: &service, inventories, place: &place })
}

/// Line numbers of what is left open, as the draft shows them and as `validate` does.
fn open(yaml: &str) -> (Vec<usize>, Vec<usize>) {
    let blanks = |line: &str| !line.trim_start().starts_with('#') && line.contains("\"<");
    let shown = yaml.lines().zip(1..).filter(|(line, _)| blanks(line)).map(|(_, number)| number).collect();
    let mut found: Vec<usize> = match mesh_manifest::parse(yaml, "draft.yaml") {
        Ok(_) => Vec::new(),
        Err(diagnostics) => diagnostics.iter().map(|diagnostic| diagnostic.line).collect(),
    };
    found.dedup();
    (shown, found)
}

fn filled(yaml: &str) -> String {
    yaml.replace("\"<closed security group in us-east-1>\"", "sg-closed-us-east-1")
        .replace("\"<closed security group in us-west-2>\"", "sg-closed-us-west-2")
        .replace("\"<DNS name of the load balancer in us-west-2>\"", "maip-prod-dr-alb.us-west-2.elb.amazonaws.com")
}

#[test]
fn validate_points_at_exactly_the_blanks_and_at_nothing_once_they_are_filled() {
    let draft = drafted(&maip(), "maip");
    let (blanks, diagnosed) = open(&draft.yaml);
    assert_eq!(blanks, diagnosed, "{}", draft.yaml);
    assert_eq!(draft.blanks, 3, "{}", draft.yaml);
    let yaml = filled(&draft.yaml);
    let manifest = mesh_manifest::parse(&yaml, "draft.yaml").unwrap_or_else(|found| {
        panic!("{}\n{yaml}", found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    assert_eq!(manifest.resources.len(), 5, "{yaml}");
    assert_eq!(manifest.traffic[0].record, "api.maip.example.com");
    assert_eq!(manifest.notices.len(), 1);
}

#[test]
fn the_standby_is_to_become_what_the_primary_is() {
    let yaml = filled(&drafted(&maip(), "maip").yaml);
    let manifest = mesh_manifest::parse(&yaml, "draft.yaml").expect("a manifest");
    let clusters = manifest.resources.iter().find_map(|resource| match &resource.kind {
        mesh_core::manifest::ResourceKind::Eks { clusters } => Some(clusters),
        _ => None,
    });
    let standby = clusters.expect("clusters").get(&region(WEST)).expect("a standby");
    assert_eq!((standby.nodes_desired, standby.namespace.as_str()), (8, "maip-services"));
    assert_eq!(standby.deployments, BTreeMap::from([("api".to_owned(), 4), ("worker".to_owned(), 8)]));
}

#[test]
fn every_blank_has_a_comment_above_it_that_says_what_to_fill() {
    let yaml = drafted(&maip(), "maip").yaml;
    let lines: Vec<&str> = yaml.lines().collect();
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("\"<")) {
        let before = &lines[at.saturating_sub(6)..at];
        assert!(before.iter().any(|line| line.trim_start().starts_with('#')), "{line}");
    }
}

#[test]
fn a_cluster_that_could_not_be_asked_leaves_its_namespace_open() {
    let mut world = maip();
    for inventory in world.values_mut() {
        inventory.clusters.iter_mut().for_each(|cluster| cluster.namespaces.clear());
    }
    let draft = drafted(&world, "maip");
    let (blanks, diagnosed) = open(&draft.yaml);
    assert_eq!(blanks, diagnosed, "{}", draft.yaml);
    assert!(draft.yaml.contains("<namespace of the deployments>"));
}

#[test]
fn topics_that_are_not_clear_are_listed_and_left_open() {
    let mut world = maip();
    for (region, inventory) in &mut world {
        inventory.topics.push(format!("arn:aws:sns:{region}:123456789012:maip-prod-audit"));
    }
    let draft = drafted(&world, "maip");
    let words: Vec<&str> = draft.yaml.split_whitespace().filter(|word| *word != "#").collect();
    assert!(words.join(" ").contains("Found: maip-prod-alerts.fifo, maip-prod-audit"), "{}", draft.yaml);
    assert_eq!(open(&draft.yaml).0, open(&draft.yaml).1);
}

#[test]
fn a_service_without_a_database_writes_everywhere() {
    let mut world = maip();
    world.values_mut().for_each(|inventory| inventory.databases.clear());
    let draft = drafted(&world, "maip");
    let manifest = mesh_manifest::parse(&filled(&draft.yaml), "draft.yaml").expect("a manifest");
    assert_eq!(manifest.writer, mesh_core::manifest::WriterMode::Multi);
}

#[test]
fn weighted_sets_of_both_regions_change_their_weights() {
    let mut world = maip();
    let set = |identifier: &str, weight, zone, target| RecordSet {
        set_identifier: Some(identifier.to_owned()),
        routing: Routing::Weighted(weight),
        ..alias(zone, target)
    };
    let sets = vec![
        set("east", 100, "Z35SXDOTRQ7X7K", "maip-prod-alb.us-east-1.elb.amazonaws.com"),
        set("west", 0, "Z1H1FL5HABSF5", "maip-prod-dr-alb.us-west-2.elb.amazonaws.com"),
    ];
    world.get_mut(&region(EAST)).expect("it is there").zones[0].names[0].sets = sets;
    let draft = drafted(&world, "maip");
    assert_eq!(draft.blanks, 2, "{}", draft.yaml);
    let manifest = mesh_manifest::parse(&filled(&draft.yaml), "draft.yaml").expect("a manifest");
    let west = &manifest.traffic[0].active[&region(WEST)];
    assert_eq!(west.iter().map(|set| set.routing).collect::<Vec<_>>(), [Routing::Weighted(0), Routing::Weighted(100)]);
}

#[test]
fn a_name_that_points_at_the_standby_gives_its_target() {
    let mut world = maip();
    let other =
        name("dr.maip.example.com", vec![alias("Z1H1FL5HABSF5", "maip-prod-dr-alb.us-west-2.elb.amazonaws.com")]);
    world.get_mut(&region(EAST)).expect("it is there").zones[0].names.push(other);
    let draft = drafted(&world, "maip");
    assert_eq!(draft.blanks, 2, "{}", draft.yaml);
    assert!(draft.yaml.contains("Taken from dr.maip.example.com"));
}

#[test]
fn two_pairs_of_regions_are_a_person_s_choice() {
    let mut world = maip();
    let source = "arn:aws:rds:us-west-2:123456789012:db:maip-prod-postgres-replica";
    let third = database("maip-third", "eu-central-1", Some(source));
    world.get_mut(&region("eu-central-1")).expect("it is there").databases.push(third);
    let service = ServiceId::new("maip").expect("a service");
    assert!(matches!(place(&service, &world), Err(PlaceError::Several(_))));
    assert_eq!(place(&service, &BTreeMap::new()), Err(PlaceError::Nothing));
}

#[test]
fn what_was_not_seen_is_said_in_the_draft() {
    let mut world = maip();
    let gap = mesh_core::survey::Finding::unknown("us-west-2 msk", "no answer", "ask again");
    world.get_mut(&region(WEST)).expect("it is there").gaps.push(gap);
    assert!(drafted(&world, "maip").yaml.contains("# - us-west-2 msk: no answer (ask again)"));
}
