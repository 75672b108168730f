//! One service, as far as the mesh itself knows it.

use mesh_core::fleet::Service;
use mesh_core::manifest::Manifest;
use mesh_core::survey::Finding;

pub fn none() -> Finding {
    Finding::warning(
        "services",
        "none is stored",
        "meshctl import --service NAME -o NAME.yaml drafts one from what exists; then meshctl apply -f NAME.yaml",
    )
}

/// Stored, armed, free of a run?
pub fn stored(service: &Service) -> Vec<Finding> {
    let id = &service.manifest.service;
    let mut findings =
        vec![Finding::ok("manifest", format!("version {} is stored; active in {}", service.version, service.active))];
    findings.push(if service.armed {
        Finding::ok("armed", "a failover may be started")
    } else {
        Finding::warning(
            "observing",
            "the mesh only observes it: no failover can be started",
            format!("meshctl arm {id}"),
        )
    });
    if let Some(run) = &service.current_run {
        findings.push(Finding::warning("run", format!("{run} has not ended"), format!("meshctl watch {run}")));
    }
    if service.manifest.checks.is_empty() {
        findings.push(Finding::warning(
            "checks",
            "the manifest has none: the agents cannot tell whether a region is healthy",
            "write an http or tcp check under `checks`",
        ));
    }
    if service.manifest.verify.is_empty() {
        findings.push(Finding::warning(
            "verify",
            "the manifest has none: a failover ends without a look at what clients get",
            "write the public URL under `verify`",
        ));
    }
    findings
}

/// A manifest in a file, beside what is stored under its name.
pub fn draft(manifest: &Manifest, source: &str, stored: Option<&Service>, path: &str) -> Finding {
    let id = &manifest.service;
    match stored {
        None => Finding::warning("manifest", format!("{id} is not stored yet"), format!("meshctl apply -f {path}")),
        Some(service) if service.source == source => {
            Finding::ok("manifest", format!("is version {} of {id}", service.version))
        }
        Some(service) => Finding::warning(
            "manifest",
            format!("differs from version {} of {id}", service.version),
            format!("meshctl apply -f {path}"),
        ),
    }
}
