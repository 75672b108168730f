//! The state of the mesh, and of one service.

use std::collections::BTreeMap;

use mesh_core::decide::{Conclusion, JudgementRecord};
use mesh_core::fleet::{AuthorityState, Freeze, Service};
use mesh_core::ids::ServiceId;
use mesh_core::manifest::RegionRole;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::{Timestamp, duration_millis};
use mesh_proto::v1;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Paint;
use crate::render::table::Table;
use crate::render::{text, why};

/// A status answer, checked.
pub struct View {
    pub mesh: String,
    pub now: Timestamp,
    pub stale: bool,
    pub answered_by: u64,
    pub applied_index: u64,
    pub state_hash: String,
    pub services: BTreeMap<ServiceId, Service>,
    pub agents: Vec<v1::AgentStatus>,
    pub membership: v1::Membership,
    pub signals: Vec<Signal>,
    /// Signals of more agents than are shown.
    pub signals_left_out: u32,
    /// What the leader makes of each service, in short.
    pub judgements: BTreeMap<ServiceId, JudgementRecord>,
    /// Of the whole mesh; it may have expired.
    pub freeze: Option<Freeze>,
}

impl View {
    pub fn of(status: v1::GetStatusResponse) -> Result<Self, Failure> {
        let mut judgements = BTreeMap::new();
        let service = |named: v1::ServiceStatus| {
            let entity = named.entity.ok_or_else(|| Failure::answer("a service is missing"))?;
            let name = ServiceId::new(named.service).map_err(Failure::answer)?;
            if let Some(judgement) = named.judgement {
                let judgement = JudgementRecord::try_from(judgement).map_err(Failure::answer)?;
                judgements.insert(name.clone(), judgement);
            }
            Ok((name, Service::try_from(entity).map_err(Failure::answer)?))
        };
        let freeze = status.freeze.map(Freeze::try_from).transpose().map_err(Failure::answer)?;
        let services = status.services.into_iter().map(service).collect::<Result<_, Failure>>()?;
        let signals = status.signals.into_iter().map(|signal| Signal::try_from(signal).map_err(Failure::answer));
        Ok(Self {
            mesh: status.mesh,
            now: Timestamp::from_millis(status.now),
            stale: status.stale,
            answered_by: status.answered_by,
            applied_index: status.applied_index,
            state_hash: crate::signing::hex(&status.state_hash),
            services,
            agents: status.agents,
            membership: status.membership.unwrap_or_default(),
            signals: signals.collect::<Result<_, _>>()?,
            signals_left_out: status.signals_left_out,
            judgements,
            freeze,
        })
    }

    pub fn signals_of(&self, service: &ServiceId) -> Vec<&Signal> {
        self.signals.iter().filter(|signal| signal.service == *service).collect()
    }

    pub fn json(&self) -> Value {
        let services = self.services.iter().map(|(id, service)| {
            let mut value = service_json(service, &self.signals_of(id));
            if let Value::Object(members) = &mut value {
                members.insert("judgement".to_owned(), self.judgements.get(id).map(why::json).unwrap_or_default());
            }
            value
        });
        json!({
            "mesh": self.mesh,
            "now": self.now,
            "stale": self.stale,
            "answered_by": self.answered_by,
            "applied_index": self.applied_index,
            "state_hash": self.state_hash,
            "signals_left_out": self.signals_left_out,
            "freeze": self.freeze.as_ref().filter(|freeze| freeze.until > self.now),
            "services": services.collect::<Vec<_>>(),
            "agents": self.agents.iter().map(agent_json).collect::<Vec<_>>(),
            "coordinators": {
                "leader": self.membership.leader,
                "term": self.membership.term,
                "members": members_json(&self.membership),
            },
        })
    }

    pub fn render(&self, paint: Paint) -> String {
        let mut out = format!("mesh {}\n", paint.bold(&self.mesh));
        if self.stale {
            out.push_str(&format!(
                "{} from node {} alone, without a quorum: it may be out of date\n",
                paint.yellow("STALE:"),
                self.answered_by
            ));
        }
        out.push_str(&format!("\n{}\n{}", paint.bold("Services"), self.service_table()));
        if self.signals_left_out > 0 {
            out.push_str(&format!(
                "  {} more signals are not counted here: `meshctl why-not SERVICE` counts all\n",
                self.signals_left_out
            ));
        }
        out.push_str(&format!("\n{}\n{}", paint.bold("By itself"), self.by_itself(paint)));
        out.push_str(&format!("\n{}\n{}", paint.bold("Agents"), self.agent_table()));
        out.push_str(&format!("\n{}\n{}", paint.bold("Coordinators"), coordinators(&self.membership)));
        out
    }

    fn service_table(&self) -> String {
        if self.services.is_empty() {
            return "  none; `meshctl apply -f FILE` adds one\n".to_owned();
        }
        let mut table =
            Table::new(&["service", "mode", "active", "standby", "writer", "version", "generation", "run", "checks"]);
        for (id, service) in &self.services {
            let standby: Vec<&str> = service
                .manifest
                .regions
                .keys()
                .filter(|region| **region != service.active)
                .map(|r| r.as_str())
                .collect();
            table.row(vec![
                id.to_string(),
                mode(service).to_owned(),
                service.active.to_string(),
                standby.join(", "),
                writer(service).to_owned(),
                service.version.to_string(),
                service.generation.to_string(),
                service.current_run.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
                health(&self.signals_of(id)),
            ]);
        }
        table.render("  ")
    }

    /// Verdicts, freezes and cool-downs.
    fn by_itself(&self, paint: Paint) -> String {
        let mut out = String::new();
        if let Some(freeze) = self.freeze.as_ref().filter(|freeze| freeze.until > self.now) {
            out.push_str(&format!("  {} every service, {}\n", paint.yellow("FROZEN:"), frozen(freeze)));
        }
        for (id, service) in &self.services {
            let mode = service.manifest.policy.automatic.name();
            out.push_str(&format!("  {}  automatic: {mode}\n", paint.bold(id.as_str())));
            match self.judgements.get(id) {
                Some(judged) => out.push_str(&verdicts(judged, paint)),
                None => out.push_str("    not judged: this coordinator does not lead, or has only begun to\n"),
            }
            for note in restraints(service, self.now) {
                out.push_str(&format!("    {note}\n"));
            }
        }
        out
    }

    /// What `watch` shows of each service and of the mesh, without anything that changes with time alone.
    pub fn lines(&self) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::new();
        let leader = match self.membership.leader {
            0 => "no coordinator leads".to_owned(),
            node => format!("node {node} leads in term {}", self.membership.term),
        };
        lines.insert("leader".to_owned(), leader);
        if let Some(freeze) = self.freeze.as_ref().filter(|freeze| freeze.until > self.now) {
            lines.insert("freeze".to_owned(), format!("every service is {}", frozen(freeze)));
        }
        for (id, service) in &self.services {
            if let Some(judged) = self.judgements.get(id) {
                lines.insert(format!("{id} verdict"), why::headline(judged));
            }
            let run = service.current_run.as_ref().map_or_else(
                || format!("active in {}, no run is going", service.active),
                |run| format!("active in {}, run {run} is going: meshctl watch {run}", service.active),
            );
            lines.insert(format!("{id} run"), format!("{id}: {run}"));
            if let Some(freeze) = service.freeze.as_ref().filter(|freeze| freeze.until > self.now) {
                lines.insert(format!("{id} freeze"), format!("{id}: {}", frozen(freeze)));
            }
        }
        lines
    }

    fn agent_table(&self) -> String {
        if self.agents.is_empty() {
            return "  none has registered yet\n".to_owned();
        }
        let mut table = Table::new(&["agent", "region", "state", "heard", "in hand", "version"]);
        for agent in &self.agents {
            table.row(vec![
                agent.agent.clone(),
                agent.region.clone(),
                state(agent),
                heard(agent.last_heard_ms_ago),
                agent.open_intents.to_string(),
                agent.version.clone(),
            ]);
        }
        table.render("  ")
    }
}

fn frozen(freeze: &Freeze) -> String {
    format!("frozen until {} by {}: {}", text::time(freeze.until), text::person(&freeze.by), freeze.reason)
}

fn verdicts(judged: &JudgementRecord, paint: Paint) -> String {
    let mut out: String = judged
        .regions
        .iter()
        .map(|(region, verdict)| format!("    {region}  {}\n", why::in_a_line(verdict, judged.at, paint)))
        .collect();
    match &judged.conclusion {
        Conclusion::Nothing { .. } => {}
        Conclusion::Blocked { text } => {
            out.push_str(&format!("    does not act: {text}  (meshctl why-not {})\n", judged.service));
        }
        Conclusion::Notify { to, text } => out.push_str(&format!("    a person should move it to {to}: {text}\n")),
        Conclusion::Act { to, .. } => out.push_str(&format!("    moves to {to}\n")),
    }
    out
}

/// What keeps the service where it is.
fn restraints(service: &Service, now: Timestamp) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(service.freeze.as_ref().filter(|freeze| freeze.until > now).map(frozen));
    let until = cool_down_until(service).filter(|until| *until > now);
    notes.extend(until.map(|until| {
        format!(
            "cool-down until {}: moved by itself before (meshctl ack {})",
            text::time(until),
            service.manifest.service
        )
    }));
    notes
}

/// When an automatic move is allowed again, unless a person has acknowledged the last one.
fn cool_down_until(service: &Service) -> Option<Timestamp> {
    let last = service.automatic_at?;
    let acknowledged = service.acknowledged_at.is_some_and(|at| at >= last);
    (!acknowledged).then(|| last.plus(service.manifest.policy.cool_down))
}

fn heard(ms: Option<u64>) -> String {
    ms.map_or_else(|| "-".to_owned(), |ms| format!("{} ago", text::duration(std::time::Duration::from_millis(ms))))
}

fn writer(service: &Service) -> &'static str {
    match service.manifest.writer {
        mesh_core::manifest::WriterMode::Single => "single",
        mesh_core::manifest::WriterMode::Multi => "multi",
    }
}

/// `us-east-1 4/4, us-west-2 3/4`: how many of the observers' views pass.
fn health(signals: &[&Signal]) -> String {
    let mut regions: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for signal in signals {
        let passing = match signal.reading {
            Reading::Passing { .. } => 1,
            Reading::Failing { .. } => 0,
            Reading::ReplicaLag { .. } | Reading::Items { .. } | Reading::Unknown { .. } => continue,
        };
        let entry = regions.entry(signal.region.as_str()).or_default();
        *entry = (entry.0 + passing, entry.1 + 1);
    }
    if regions.is_empty() {
        return "not observed".to_owned();
    }
    let parts: Vec<String> =
        regions.iter().map(|(region, (passing, all))| format!("{region} {passing}/{all}")).collect();
    parts.join(", ")
}

fn state(agent: &v1::AgentStatus) -> String {
    match (agent.connected, &agent.via) {
        (false, _) => "NOT CONNECTED".to_owned(),
        (true, None) => "connected".to_owned(),
        (true, Some(via)) => format!("by way of {via}"),
    }
}

fn agent_json(agent: &v1::AgentStatus) -> Value {
    json!({
        "agent": agent.agent,
        "region": agent.region,
        "connected": agent.connected,
        "version": agent.version,
        "last_heard_ms_ago": agent.last_heard_ms_ago,
        "open_intents": agent.open_intents,
        "via": agent.via,
    })
}

pub fn members_json(membership: &v1::Membership) -> Vec<Value> {
    let member = |member: &v1::Member| {
        json!({
            "id": member.id,
            "address": member.address,
            "region": member.region,
            "voter": member.voter,
            "leader": member.id == membership.leader,
            "matched_index": member.matched_index,
            "last_heard_ms_ago": member.last_heard_ms_ago,
        })
    };
    membership.members.iter().map(member).collect()
}

pub fn coordinators(membership: &v1::Membership) -> String {
    let mut table = Table::new(&["node", "address", "region", "role", "log", "heard"]);
    for member in &membership.members {
        let role = match (member.id == membership.leader, member.voter) {
            (true, _) => "leader",
            (false, true) => "voter",
            (false, false) => "learner",
        };
        table.row(vec![
            member.id.to_string(),
            member.address.clone(),
            member.region.clone(),
            role.to_owned(),
            member.matched_index.map_or_else(|| "-".to_owned(), |index| index.to_string()),
            heard(member.last_heard_ms_ago),
        ]);
    }
    let leader = if membership.leader == 0 { "NO LEADER: nothing changes until a majority agrees\n" } else { "" };
    format!("{}  {leader}term {}\n", table.render("  "), membership.term)
}

pub fn service_json(service: &Service, signals: &[&Signal]) -> Value {
    json!({
        "service": service.manifest.service,
        "description": service.manifest.description,
        "writer": service.manifest.writer,
        "regions": service.manifest.regions,
        "active": service.active,
        "armed": service.armed,
        "authority": service.authority,
        "version": service.version,
        "generation": service.generation,
        "current_run": service.current_run,
        "applied_by": service.applied_by,
        "applied_at": service.applied_at,
        "rto_ms": duration_millis(service.manifest.objectives.rto),
        "rpo_ms": duration_millis(service.manifest.objectives.rpo),
        "open_calls": service.open_calls,
        "automatic": service.manifest.policy.automatic.name(),
        "automatic_at": service.automatic_at,
        "acknowledged_at": service.acknowledged_at,
        "cool_down_until": cool_down_until(service),
        "freeze": service.freeze,
        "noted": service.noted,
        "signals": signals.iter().map(|signal| signal_json(signal)).collect::<Vec<_>>(),
    })
}

fn signal_json(signal: &Signal) -> Value {
    let (state, value) = match &signal.reading {
        Reading::Passing { latency } => ("passing", json!({ "latency_ms": duration_millis(*latency) })),
        Reading::Failing { reason, since } => ("failing", json!({ "reason": reason, "since": since })),
        Reading::ReplicaLag { lag } => ("replica-lag", json!({ "lag_ms": duration_millis(*lag) })),
        Reading::Items { from, there, here } => ("items", json!({ "from": from, "there": there, "here": here })),
        Reading::Unknown { reason } => ("unknown", json!({ "reason": reason })),
    };
    json!({
        "observer": signal.observer, "observer_region": signal.observer_region, "region": signal.region,
        "subject": signal.subject, "state": state, "value": value, "at": signal.at,
    })
}

pub fn service(service: &Service, signals: &[&Signal], now: Timestamp, paint: Paint) -> String {
    let manifest = &service.manifest;
    let mut out = format!("{}  {}\n", paint.bold(manifest.service.as_str()), manifest.description);
    let mut line = |name: &str, value: String| out.push_str(&format!("  {name:<12} {value}\n"));
    line("active", service.active.to_string());
    line("writer", writer(service).to_owned());
    let arm = if service.armed { String::new() } else { format!("  (meshctl arm {})", manifest.service) };
    line("mode", format!("{}{arm}", mode(service)));
    line(
        "manifest",
        format!(
            "version {} by {} at {}",
            service.version,
            text::person(&service.applied_by),
            text::time(service.applied_at)
        ),
    );
    line("generation", service.generation.to_string());
    line(
        "objectives",
        format!("RTO {}, RPO {}", text::duration(manifest.objectives.rto), text::duration(manifest.objectives.rpo)),
    );
    line(
        "run",
        service.current_run.as_ref().map_or_else(|| "none".to_owned(), |run| format!("{run}  (meshctl watch {run})")),
    );
    out.push_str(&format!("\nRegions\n{}", regions(service)));
    for note in restraints(service, now) {
        out.push_str(&format!("\n{} {note}\n", paint.yellow("note:")));
    }
    if let Some(noted) = &service.noted {
        out.push_str(&format!("\n{} {}\n", paint.yellow("note:"), text::noted(noted)));
    }
    for call in &service.open_calls {
        out.push_str(&format!(
            "\n{} a call of generation {} to {} may still arrive until {}\n",
            paint.yellow("note:"),
            call.generation,
            call.resource,
            text::time(call.until)
        ));
    }
    out.push_str(&format!("\nSeen by the agents\n{}", signal_table(signals, now)));
    out
}

/// May the mesh act for it, or only look?
const fn mode(service: &Service) -> &'static str {
    if service.armed { "armed" } else { "observing" }
}

fn regions(service: &Service) -> String {
    let mut table = Table::new(&["region", "role", "serves", "may write"]);
    for (region, role) in &service.manifest.regions {
        let role = match role {
            RegionRole::Primary => "primary",
            RegionRole::Standby => "standby",
        };
        let authority = service.authority.get(region).map(|authority| match &authority.state {
            AuthorityState::Granted => format!("yes, generation {}", authority.generation),
            AuthorityState::Closed { run } => format!("no, closed by {run}"),
            AuthorityState::Ending { wanted } => format!("ending, generation {wanted} is wanted"),
            AuthorityState::Proven { run, proof } => format!("no, closed in {run}: {proof}"),
            AuthorityState::ClosedByConsent { run, .. } => {
                format!("NOT PROVEN closed: accepted by two people in {run}")
            }
        });
        let serves = if *region == service.active { "yes" } else { "no" };
        table.row(vec![
            region.to_string(),
            role.to_owned(),
            serves.to_owned(),
            authority.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    table.render("  ")
}

fn signal_table(signals: &[&Signal], now: Timestamp) -> String {
    if signals.is_empty() {
        return "  nothing yet\n".to_owned();
    }
    let mut sorted: Vec<&&Signal> = signals.iter().collect();
    sorted.sort_by_key(|signal| (signal.region.clone(), signal.subject.clone(), signal.observer.clone()));
    let mut table = Table::new(&["region", "subject", "observer", "sees", "when"]);
    for signal in sorted {
        let sees = match &signal.reading {
            Reading::Passing { latency } => format!("passing, {}", text::duration(*latency)),
            Reading::Failing { reason, since } => {
                format!("FAILING for {}: {}", text::duration(now.since(*since)), text::clip(reason, 80))
            }
            Reading::ReplicaLag { lag } => format!("lag {}", text::duration(*lag)),
            Reading::Items { from, there, here } => format!("{here} items, {there} in {from}"),
            Reading::Unknown { reason } => format!("unknown: {}", text::clip(reason, 80)),
        };
        table.row(vec![
            signal.region.to_string(),
            signal.subject.clone(),
            signal.observer.to_string(),
            sees,
            format!("{} ago", text::duration(now.since(signal.at))),
        ]);
    }
    table.render("  ")
}
