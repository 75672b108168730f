//! What exists here.

use futures::future::join_all;
use mesh_core::ids::RegionId;
use mesh_core::survey::{Cluster, Finding, Inventory, Level, Zone};
use tokio::time::Instant;

use super::{PART_MAX, Scene, bounded, failed};
use crate::aws::bearer::Bearer;
use crate::aws::config::route53_region;
use crate::aws::eks::Eks;
use crate::aws::error::ReadError;
use crate::aws::lists::{self, Listed};
use crate::aws::route53::Route53;
use crate::kubernetes;

pub(super) async fn discover(scene: &Scene<'_>, names: bool) -> Inventory {
    let (caller, databases, tables, clusters, task_services, kafka, topics, zones) = tokio::join!(
        lists::sts::caller(&scene.aws),
        bounded("rds", lists::rds::databases(&scene.aws)),
        bounded("dynamodb", lists::dynamodb::tables(&scene.aws)),
        bounded("eks", lists::eks::clusters(&scene.aws)),
        bounded("ecs", lists::ecs::services(&scene.aws)),
        bounded("msk", lists::kafka::clusters(&scene.aws)),
        bounded("sns", lists::sns::topics(&scene.aws)),
        zones(scene, names),
    );
    let mut gaps = Gaps { region: scene.region.as_str(), found: Vec::new() };
    let account = match caller {
        Ok((caller, _)) => caller.account,
        Err(error) => {
            gaps.found.push(failed("aws credentials", error));
            String::new()
        }
    };
    let mut inventory = Inventory {
        account,
        databases: gaps.take("rds", databases),
        tables: gaps.take("dynamodb", tables),
        clusters: gaps.take("eks", clusters),
        task_services: gaps.take("ecs", task_services),
        kafka: gaps.take("msk", kafka),
        topics: gaps.take("sns", topics),
        zones: Vec::new(),
        gaps: Vec::new(),
    };
    let (zones, of_zones) = zones;
    inventory.zones = zones;
    gaps.found.extend(of_zones);
    gaps.found.extend(fill_namespaces(scene, &mut inventory.clusters).await);
    inventory.gaps = gaps.found;
    inventory
}

struct Gaps<'a> {
    region: &'a str,
    found: Vec<Finding>,
}

impl Gaps<'_> {
    fn take<T>(&mut self, what: &str, listed: Result<Result<Listed<T>, ReadError>, Finding>) -> Vec<T> {
        let subject = format!("{} {what}", self.region);
        match listed {
            Ok(Ok(Listed { items, more })) => {
                if more {
                    self.found.push(cut(&subject, items.len()));
                }
                items
            }
            Ok(Err(error)) => {
                self.found.push(failed(&subject, error));
                Vec::new()
            }
            Err(finding) => {
                self.found.push(Finding { subject, ..finding });
                Vec::new()
            }
        }
    }
}

fn cut(subject: &str, shown: usize) -> Finding {
    let text = format!("there are more than the {shown} that are shown");
    Finding::warning(subject, text, "write what is missing into the manifest by hand")
}

async fn fill_namespaces(scene: &Scene<'_>, clusters: &mut Vec<Cluster>) -> Vec<Finding> {
    let api = kubernetes::Api::new(
        Eks::new(&scene.aws),
        Bearer::new(&scene.aws, scene.region),
        scene.config.aws.call_timeout,
    );
    let asked = std::mem::take(clusters).into_iter().map(|cluster| with_namespaces(scene.region, &api, cluster));
    let (filled, gaps): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    *clusters = filled;
    gaps.into_iter().flatten().collect()
}

/// A cluster that is not reachable is still a cluster.
async fn with_namespaces(region: &RegionId, api: &kubernetes::Api, mut cluster: Cluster) -> (Cluster, Option<Finding>) {
    let subject = format!("{region} eks {}", cluster.name);
    let gap = match bounded(&subject, api.all_deployments(&cluster.name)).await {
        Ok(Ok(namespaces)) => {
            cluster.namespaces = namespaces;
            None
        }
        Ok(Err(error)) => Some(Finding { level: Level::Unknown, ..failed(&subject, error) }),
        Err(finding) => Some(finding),
    };
    (cluster, gap)
}

async fn zones(scene: &Scene<'_>, wanted: bool) -> (Vec<Zone>, Vec<Finding>) {
    if !wanted {
        return (Vec::new(), Vec::new());
    }
    let deadline = Instant::now() + PART_MAX;
    let route53 = Route53::new(&scene.aws, route53_region(scene.region));
    let Listed { items: mut zones, more } = match bounded("route53", route53.zones()).await {
        Ok(Ok(listed)) => listed,
        Ok(Err(error)) => return (Vec::new(), vec![failed("route53", error)]),
        Err(finding) => return (Vec::new(), vec![finding]),
    };
    let mut gaps = Vec::new();
    if more {
        gaps.push(cut("route53", zones.len()));
    }
    for zone in zones.iter_mut().filter(|zone| !zone.private) {
        let subject = format!("route53 {}", zone.name);
        if Instant::now() >= deadline {
            gaps.push(Finding::unknown(subject, "not read in time", "ask again"));
            continue;
        }
        match route53.names(&zone.id, deadline).await {
            Ok(Listed { items, more }) => {
                zone.names = items;
                if more {
                    gaps.push(cut(&subject, zone.names.len()));
                }
            }
            Err(error) => gaps.push(failed(&subject, error)),
        }
    }
    (zones, gaps)
}
