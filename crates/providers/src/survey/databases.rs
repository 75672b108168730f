//! RDS: is the writer open and backed up, does the replica replicate from it, and are the groups those of the manifest?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::ids::RegionId;
use mesh_core::manifest::RdsInstance;
use mesh_core::survey::{Examination, Finding};

use super::{Scene, failed};
use crate::aws::cloudwatch::{CloudWatch, LagPoint};
use crate::aws::error::ReadError;
use crate::aws::rds::{Instance, Rds};

/// What is expected of an instance of this region.
struct Expected<'a> {
    region: &'a RegionId,
    declared: &'a RdsInstance,
    /// The instance that serves, if this is another.
    source: Option<&'a RdsInstance>,
    rpo: Duration,
}

pub(super) async fn look(
    scene: &Scene<'_>,
    examination: &Examination,
    instances: &BTreeMap<RegionId, RdsInstance>,
) -> Vec<Finding> {
    let Some(declared) = instances.get(scene.region) else { return Vec::new() };
    let subject = format!("{} rds {}", scene.region, declared.instance);
    let found = match Rds::new(&scene.aws).describe(&declared.instance).await {
        Ok(found) => found,
        Err(error) => return vec![failed(&subject, error)],
    };
    let source = (*scene.region != examination.active).then(|| instances.get(&examination.active)).flatten();
    let expected = Expected { region: scene.region, declared, source, rpo: examination.manifest.objectives.rpo };
    let mut findings = judge(&subject, &found, &expected);
    if source.is_some() && found.source.is_some() {
        let cloudwatch = CloudWatch::new(&scene.aws, scene.config.aws.cloudwatch_period_s);
        let now = super::agent_itself::now();
        findings.push(lag(&subject, cloudwatch.replica_lag(&declared.instance, now).await, expected.rpo));
    }
    findings
}

fn judge(subject: &str, found: &Instance, expected: &Expected<'_>) -> Vec<Finding> {
    let mut findings = vec![status(subject, found)];
    match expected.source {
        None => findings.extend(writer(subject, found, expected)),
        Some(source) => findings.push(replica(subject, found, source, expected)),
    }
    findings.push(groups(subject, found, expected));
    findings
}

fn status(subject: &str, found: &Instance) -> Finding {
    match found.status.as_str() {
        "available" => Finding::ok(subject, "is available"),
        "failed"
        | "stopped"
        | "stopping"
        | "storage-full"
        | "inaccessible-encryption-credentials"
        | "incompatible-network"
        | "incompatible-parameters"
        | "incompatible-restore"
        | "restore-error"
        | "deleting" => Finding::problem(
            subject,
            format!("is {}", found.status),
            "bring it back to `available` first: a failover needs it so",
        ),
        passing => Finding::warning(
            subject,
            format!("is {passing}"),
            "wait until it is available: aws rds wait db-instance-available",
        ),
    }
}

fn writer(subject: &str, found: &Instance, expected: &Expected<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(source) = &found.source {
        let text = format!("serves by the mesh's word, and is a replica of {source}");
        findings.push(Finding::problem(subject, text, "name the region that serves as `primary` in the manifest"));
    }
    findings.push(if found.backup_retention_days == 0 {
        let mend = format!(
            "aws rds modify-db-instance --region {} --db-instance-identifier {} --backup-retention-period 7 \
             --apply-immediately",
            expected.region, expected.declared.instance
        );
        Finding::problem(subject, "has no automated backups, which read replicas and failback need", mend)
    } else {
        Finding::ok(subject, format!("keeps backups for {} days", found.backup_retention_days))
    });
    findings
}

fn replica(subject: &str, found: &Instance, source: &RdsInstance, expected: &Expected<'_>) -> Finding {
    let wanted = &source.instance;
    let make = format!(
        "make a replica: aws rds create-db-instance-read-replica --region {} --db-instance-identifier NEW-NAME \
         --source-db-instance-identifier ARN-OF-{wanted}, and name it in the manifest",
        expected.region
    );
    let Some(from) = &found.source else {
        let text = format!("is no replica (it was promoted already, or never was one of {wanted})");
        return Finding::problem(subject, text, make);
    };
    if !from.rsplit(':').next().is_some_and(|name| name.eq_ignore_ascii_case(wanted)) {
        return Finding::problem(subject, format!("replicates from {from}, not from {wanted}"), make);
    }
    match found.replication.iter().find(|replication| !replication.normal) {
        Some(broken) => {
            let text = format!("replication is {}: {}", broken.status, broken.message);
            Finding::problem(subject, text, "mend the replication, or make the replica anew")
        }
        None => Finding::ok(subject, format!("replicates from {wanted}")),
    }
}

fn groups(subject: &str, found: &Instance, expected: &Expected<'_>) -> Finding {
    let RdsInstance { security_groups: open, closed_security_group: closed, .. } = expected.declared;
    let present: BTreeSet<&String> =
        found.security_groups.iter().filter(|(_, state)| *state != "removing").map(|(group, _)| group).collect();
    let listed = |groups: &mut dyn Iterator<Item = &String>| groups.map(String::as_str).collect::<Vec<_>>().join(", ");
    if present.contains(closed) {
        let text = format!("has the closed security group {closed}: nobody can reach it");
        let mend = format!(
            "if it should serve, open it: aws rds modify-db-instance --region {} --db-instance-identifier {} \
             --vpc-security-group-ids {} --apply-immediately",
            expected.region,
            expected.declared.instance,
            open.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
        );
        return Finding::problem(subject, text, mend);
    }
    if present == open.iter().collect() {
        return Finding::ok(subject, format!("has the security groups of the manifest, {}", listed(&mut open.iter())));
    }
    let present = listed(&mut present.into_iter());
    let text = format!("has the security groups {present}, and the manifest says {}", listed(&mut open.iter()));
    let mend = format!(
        "write `security-groups: [{present}]` for {} if those are right: un-fence restores exactly what stands there",
        expected.region
    );
    Finding::problem(subject, text, mend)
}

fn lag(subject: &str, read: Result<Vec<LagPoint>, ReadError>, rpo: Duration) -> Finding {
    match read {
        Err(error) => failed(&format!("{subject} lag"), error),
        Ok(points) => match points.last() {
            None => Finding::warning(
                subject,
                "CloudWatch has no ReplicaLag of the last ten minutes",
                "a new replica has none for some minutes; else see whether it replicates",
            ),
            Some(point) if point.lag > rpo => Finding::warning(
                subject,
                format!("is {} s behind, and the loss objective is {} s", point.lag.as_secs(), rpo.as_secs()),
                "find out what holds it up (write load, long queries), or raise `objectives.rpo`",
            ),
            Some(point) => Finding::ok(subject, format!("is {} ms behind", point.lag.as_millis())),
        },
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;
    use mesh_core::time::Timestamp;

    use super::*;
    use crate::aws::rds::Replication;

    fn declared(instance: &str) -> RdsInstance {
        RdsInstance {
            instance: instance.to_owned(),
            security_groups: BTreeSet::from(["sg-open".to_owned()]),
            closed_security_group: "sg-closed".to_owned(),
        }
    }

    fn instance(source: Option<&str>) -> Instance {
        Instance {
            status: "available".to_owned(),
            security_groups: BTreeMap::from([("sg-open".to_owned(), "active".to_owned())]),
            source: source.map(str::to_owned),
            replication: vec![Replication { status: "replicating".to_owned(), normal: true, message: String::new() }],
            backup_retention_days: 7,
            backup_retention_pending: false,
            seen_at: Timestamp::from_millis(0),
        }
    }

    fn worst(found: &Instance, is_replica: bool) -> (Level, String) {
        let (region, declared, primary) =
            (RegionId::new("us-west-2").expect("a region"), declared("replica"), declared("primary"));
        let source = is_replica.then_some(&primary);
        let expected = Expected { region: &region, declared: &declared, source, rpo: Duration::from_secs(30) };
        let worst = judge("x", found, &expected).into_iter().max_by_key(|finding| finding.level);
        worst.map(|finding| (finding.level, format!("{} / {}", finding.text, finding.mend))).expect("findings")
    }

    const ARN: &str = "arn:aws:rds:us-east-1:123456789012:db:primary";

    #[test]
    fn a_writer_and_a_replica_as_they_should_be_are_fine() {
        assert_eq!(worst(&instance(None), false).0, Level::Ok);
        assert_eq!(worst(&instance(Some(ARN)), true).0, Level::Ok);
    }

    #[test]
    fn a_replica_that_was_promoted_already_is_told() {
        let (level, text) = worst(&instance(None), true);
        assert_eq!(level, Level::Problem);
        assert!(text.contains("promoted already"), "{text}");
    }

    #[test]
    fn a_replica_of_something_else_or_broken_is_told() {
        let other = instance(Some("arn:aws:rds:us-east-1:123456789012:db:other"));
        assert!(worst(&other, true).1.contains("not from primary"));
        let mut broken = instance(Some(ARN));
        broken.replication[0].normal = false;
        assert_eq!(worst(&broken, true).0, Level::Problem);
    }

    #[test]
    fn a_closed_writer_and_foreign_groups_are_told_with_the_command() {
        let mut closed = instance(None);
        closed.security_groups.insert("sg-closed".to_owned(), "active".to_owned());
        assert!(worst(&closed, false).1.contains("--vpc-security-group-ids sg-open"));
        let mut foreign = instance(None);
        foreign.security_groups = BTreeMap::from([("sg-other".to_owned(), "active".to_owned())]);
        assert!(worst(&foreign, false).1.contains("security-groups: [sg-other]"));
    }

    #[test]
    fn a_writer_without_backups_is_a_problem_and_a_replica_without_them_is_none() {
        let mut bare = instance(None);
        bare.backup_retention_days = 0;
        assert!(worst(&bare, false).1.contains("--backup-retention-period 7"));
        let mut bare = instance(Some(ARN));
        bare.backup_retention_days = 0;
        assert_eq!(worst(&bare, true).0, Level::Ok);
    }

    #[test]
    fn lag_above_the_objective_is_a_warning() {
        let rpo = Duration::from_secs(30);
        let at = |s: u64| Ok(vec![LagPoint { at: Timestamp::from_millis(0), lag: Duration::from_secs(s) }]);
        assert_eq!(lag("x", at(1), rpo).level, Level::Ok);
        assert_eq!(lag("x", at(31), rpo).level, Level::Warning);
        assert_eq!(lag("x", Ok(Vec::new()), rpo).level, Level::Warning);
    }
}
