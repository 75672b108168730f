//! What the leader makes of its services, as metrics: exported by OTLP where an endpoint is configured.

use std::sync::LazyLock;
use std::time::Duration;

use mesh_core::decide::Judgement;
use mesh_core::detect::{RegionVerdict, Verdict};
use mesh_core::fleet::Fleet;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::time::Timestamp;
use opentelemetry::metrics::{Counter, Gauge, Histogram};
use opentelemetry::{KeyValue, global};

struct Meters {
    /// By service, region, verdict and pattern.
    verdicts: Counter<u64>,
    /// By service, region and verdict: 1 for the one that holds.
    verdict: Gauge<u64>,
    /// By service and conclusion.
    conclusions: Counter<u64>,
    /// 1 while it is; by service, the mesh's own without one.
    frozen: Gauge<u64>,
    /// Seconds that one pass took.
    pass: Histogram<f64>,
    /// Agents that the leader hears by way of another coordinator.
    passed_on: Gauge<u64>,
}

/// Made when a leader first judges, which is after the exporter was set up.
static METERS: LazyLock<Meters> = LazyLock::new(|| {
    let meter = global::meter("mesh-coordinator");
    Meters {
        verdicts: meter.u64_counter("mesh.verdict.changes").build(),
        verdict: meter.u64_gauge("mesh.verdict").build(),
        conclusions: meter.u64_counter("mesh.conclusion.changes").build(),
        frozen: meter.u64_gauge("mesh.frozen").build(),
        passed_on: meter.u64_gauge("mesh.agents.passed_on").build(),
        pass: meter.f64_histogram("mesh.judging.duration").with_unit("s").build(),
    }
});

pub fn verdict(service: &ServiceId, region: &RegionId, now: &RegionVerdict) {
    let of = |verdict: Verdict| {
        [
            KeyValue::new("service", service.to_string()),
            KeyValue::new("region", region.to_string()),
            KeyValue::new("verdict", verdict.name()),
        ]
    };
    for other in [Verdict::Healthy, Verdict::Suspect, Verdict::Down, Verdict::Unknown] {
        METERS.verdict.record(u64::from(other == now.verdict), &of(other));
    }
    let mut changed = of(now.verdict).to_vec();
    changed.push(KeyValue::new("pattern", now.pattern.name()));
    METERS.verdicts.add(1, &changed);
}

pub fn conclusion(judged: &Judgement, kind: &'static str) {
    let labels = [KeyValue::new("service", judged.service.to_string()), KeyValue::new("conclusion", kind)];
    METERS.conclusions.add(1, &labels);
}

pub fn passed_on(agents: usize) {
    METERS.passed_on.record(agents as u64, &[]);
}

pub fn pass(fleet: &Fleet, now: Timestamp, took: Duration) {
    METERS.pass.record(took.as_secs_f64(), &[]);
    METERS.frozen.record(u64::from(fleet.freeze.as_ref().is_some_and(|freeze| freeze.until > now)), &[]);
    for (id, service) in &fleet.services {
        // Only of those that ever were: a thousand zeros tell nobody anything.
        if let Some(freeze) = &service.freeze {
            let labels = [KeyValue::new("service", id.to_string())];
            METERS.frozen.record(u64::from(freeze.until > now), &labels);
        }
    }
}
