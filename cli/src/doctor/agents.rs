//! The agents: in each region of a service two, and one elsewhere that sees both.

use std::collections::{BTreeMap, BTreeSet};

use mesh_core::manifest::Manifest;
use mesh_core::survey::Finding;
use mesh_proto::v1;

/// With one alone, its restart leaves its region without hands.
const PER_REGION: usize = 2;

pub fn agents<'a>(status: &v1::GetStatusResponse, manifests: impl Iterator<Item = &'a Manifest>) -> Vec<Finding> {
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for manifest in manifests {
        wanted.extend(manifest.regions.keys().map(ToString::to_string));
    }
    let mut findings: Vec<Finding> = status.agents.iter().filter(|agent| !agent.connected).map(gone).collect();
    findings.extend(status.agents.iter().filter_map(passed_on));
    let connected = by_region(status);
    for region in wanted.iter().map(String::as_str).chain(connected.keys().copied()).collect::<BTreeSet<_>>() {
        let here = connected.get(region).map_or(0, |agents| agents.len());
        findings.push(region_finding(region, here, wanted.contains(region)));
    }
    if !wanted.is_empty() && connected.keys().all(|region| wanted.contains(*region)) {
        findings.push(Finding::warning(
            "witness",
            "no agent is connected outside the services' own regions: nobody can tell a dead region from a cut line",
            "start an agent in a third region",
        ));
    }
    findings.extend(versions(status));
    findings
}

fn by_region(status: &v1::GetStatusResponse) -> BTreeMap<&str, Vec<&v1::AgentStatus>> {
    let mut regions: BTreeMap<&str, Vec<&v1::AgentStatus>> = BTreeMap::new();
    for agent in status.agents.iter().filter(|agent| agent.connected) {
        regions.entry(agent.region.as_str()).or_default().push(agent);
    }
    regions
}

fn gone(agent: &v1::AgentStatus) -> Finding {
    let since = agent.last_heard_ms_ago.map_or_else(
        || "the leader has not heard of it since it leads".to_owned(),
        |ms| format!("last heard of {} ago", crate::render::text::duration(std::time::Duration::from_millis(ms))),
    );
    Finding::warning(
        format!("{} agent {}", agent.region, agent.agent),
        format!("is not connected; {since}"),
        "start it (systemctl start mesh-agent) and look at its log",
    )
}

fn passed_on(agent: &v1::AgentStatus) -> Option<Finding> {
    let via = agent.via.as_ref().filter(|_| agent.connected)?;
    Some(Finding::warning(
        format!("{} agent {}", agent.region, agent.agent),
        format!("does not reach the leader; coordinator {via} passes its session on"),
        format!("mend the way from {} to the leader's region: one more failure there ends its leases", agent.region),
    ))
}

fn region_finding(region: &str, connected: usize, of_service: bool) -> Finding {
    let subject = format!("{region} agents");
    let text = match connected {
        0 => "none is connected".to_owned(),
        1 => "one is connected".to_owned(),
        n => format!("{n} are connected"),
    };
    match connected {
        0 => {
            Finding::problem(subject, text, format!("start two agents in {region}: nothing can be done there without"))
        }
        n if n < PER_REGION && of_service => {
            Finding::warning(subject, text, format!("have two in {region}, so that one can be restarted"))
        }
        _ => Finding::ok(subject, text),
    }
}

fn versions(status: &v1::GetStatusResponse) -> Option<Finding> {
    let versions: BTreeSet<&str> = status
        .agents
        .iter()
        .filter(|agent| agent.connected)
        .map(|agent| agent.version.as_str())
        .chain(Some(env!("CARGO_PKG_VERSION")))
        .collect();
    (versions.len() > 1).then(|| {
        let text = format!("several run: {} (this meshctl is {})", join(&versions), env!("CARGO_PKG_VERSION"));
        Finding::warning("versions", text, "bring all to the newest, agents last")
    })
}

fn join(texts: &BTreeSet<&str>) -> String {
    texts.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    fn status(agents: &[(&str, &str, bool)]) -> v1::GetStatusResponse {
        let agent = |(name, region, connected): &(&str, &str, bool)| v1::AgentStatus {
            agent: (*name).to_owned(),
            region: (*region).to_owned(),
            connected: *connected,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            last_heard_ms_ago: Some(100),
            open_intents: 0,
            via: None,
        };
        v1::GetStatusResponse { agents: agents.iter().map(agent).collect(), ..v1::GetStatusResponse::default() }
    }

    #[test]
    fn one_agent_of_two_that_is_gone_is_a_warning_and_both_are_a_problem() {
        let findings = agents(&status(&[("a", "r", true), ("b", "r", false)]), std::iter::empty());
        assert_eq!(findings.iter().map(|finding| finding.level).max(), Some(Level::Warning));
        assert_eq!(region_finding("r", 0, true).level, Level::Problem);
        assert_eq!(region_finding("r", 1, true).level, Level::Warning);
        assert_eq!(region_finding("r", 1, false).level, Level::Ok, "a witness may be one");
        assert_eq!(region_finding("r", 2, true).level, Level::Ok);
    }

    #[test]
    fn an_agent_that_is_heard_by_way_of_another_coordinator_is_a_warning() {
        let mut one = status(&[("a", "r", true)]);
        assert!(passed_on(&one.agents[0]).is_none());
        one.agents[0].via = Some("c2 of us-west-2".to_owned());
        let found = agents(&one, std::iter::empty());
        let finding = found.iter().find(|finding| finding.text.contains("c2 of us-west-2")).expect("it is told");
        assert_eq!(finding.level, Level::Warning);
    }

    #[test]
    fn agents_of_other_versions_are_told() {
        let mut two = status(&[("a", "r", true), ("b", "r", true)]);
        two.agents[0].version = "0.0.1".to_owned();
        assert!(versions(&two).is_some_and(|finding| finding.text.contains("0.0.1")));
        assert!(versions(&status(&[("a", "r", true)])).is_none());
    }
}
