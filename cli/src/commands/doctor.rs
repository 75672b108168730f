//! `doctor`: looks at everything in the order in which it would have to be mended, and goes on past what is broken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use mesh_core::fleet::Service;
use mesh_core::survey::Finding;
use mesh_proto::v1;
use mesh_runtime::client::CallLimits;
use mesh_runtime::clock::unix_now;
use mesh_runtime::tls::Identities;

use super::{Context, manifest};
use crate::args::first_hour::Doctor;
use crate::doctor::{Report, agents, coordinators, of_survey, people, services, you};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::profile::{self, Profile};
use crate::render::status::View;

/// One coordinator about itself: it answers from memory.
const EACH: CallLimits = CallLimits { per_try: Duration::from_secs(3), total: Duration::from_secs(3) };

pub async fn doctor(context: &Context, args: &Doctor) -> Outcome {
    let report = look(context, args).await;
    context.output.either(&report.json(), || report.render(args.verbose, context.output.paint))?;
    Ok(report.exit())
}

async fn look(context: &Context, args: &Doctor) -> Report {
    let mut report = Report::default();
    let draft = args.file.as_deref().map(|path| (path, manifest::load(path)));
    let (profile, findings) = you(context);
    report.add("You", findings);
    let mesh = profile.as_ref().and_then(|_| context.mesh().ok());
    let (Some(profile), Some(mesh)) = (profile, mesh) else {
        report.add("Manifest", draft.map(|(path, read)| alone(path, read)).unwrap_or_default());
        return report;
    };
    let seen = join_all(profile.coordinators.iter().map(|address| ask(&profile, address))).await;
    let together = mesh.status(false).await;
    let mut findings = coordinators::each(&seen);
    findings.extend(coordinators::together(&seen, &together));
    report.add("Coordinators", findings);
    // Without a quorum, what one of them knows is better than nothing.
    let newest = seen.into_iter().filter_map(|seen| seen.answer.ok()).max_by_key(|status| status.applied_index);
    let has_quorum = together.is_ok();
    let Some(status) = together.ok().or(newest) else {
        report.add("Manifest", draft.map(|(path, read)| alone(path, read)).unwrap_or_default());
        return report;
    };
    of_mesh(&mut report, &mesh, status, has_quorum, args, draft).await;
    report
}

fn you(context: &Context) -> (Option<Profile>, Vec<Finding>) {
    let path = context.profile.clone().or_else(profile::default_path).unwrap_or_else(|| PathBuf::from("(none)"));
    let profile = match profile::load(context.profile.as_deref()) {
        Ok(profile) => profile,
        Err(failure) => return (None, vec![you::without_profile(&path, &failure)]),
    };
    let mut findings = vec![you::profile(&path, profile.coordinators.len())];
    match Identities::load(&profile.tls, &profile.mesh) {
        Ok(identities) => {
            findings.extend(you::certificate(&identities.identity(), identities.not_after(), unix_now()));
        }
        Err(error) => {
            let failure = Failure::new(Exit::NotAllowed, format!("cannot be used: {error}"));
            findings.push(you::without_certificate(&failure));
        }
    }
    (Some(profile), findings)
}

async fn ask(profile: &Profile, address: &str) -> coordinators::Seen {
    let alone = Profile { coordinators: vec![address.to_owned()], ..profile.clone() };
    let asked = unix_now();
    let answer = match Mesh::open(&alone) {
        Ok(mesh) => mesh.with_limits(EACH).status(true).await,
        Err(failure) => Err(failure),
    };
    coordinators::Seen { address: address.to_owned(), answer, asked, heard: unix_now() }
}

type Draft<'a> = (&'a Path, Result<(mesh_core::manifest::Manifest, String), Failure>);

async fn of_mesh(
    report: &mut Report,
    mesh: &Mesh,
    status: v1::GetStatusResponse,
    has_quorum: bool,
    args: &Doctor,
    draft: Option<Draft<'_>>,
) {
    let view = match View::of(status.clone()) {
        Ok(view) => view,
        Err(failure) => {
            let mend = failure.hint.clone().unwrap_or_default();
            report.add("Services", vec![Finding::unknown("state", failure.message, mend)]);
            return;
        }
    };
    let chosen: Vec<&Service> = match (&args.service, &draft) {
        (_, Some(_)) => Vec::new(),
        (Some(id), None) => view.services.get(id).into_iter().collect(),
        (None, None) => view.services.values().collect(),
    };
    // Only the leader knows who is connected.
    if has_quorum {
        let of_draft = draft.as_ref().and_then(|(_, read)| read.as_ref().ok()).map(|(manifest, _)| manifest);
        let regions = of_draft.into_iter().chain(chosen.iter().map(|service| &service.manifest));
        report.add("Agents", agents::agents(&status, regions));
    }
    if !has_quorum {
        without_quorum(report, &chosen, draft);
        return;
    }
    let keys = mesh.keys().await.map(|keys| people::keys(&keys)).unwrap_or_else(unasked("approval keys"));
    report.add("People", vec![keys]);
    if let Some((path, read)) = draft {
        report.add(format!("Manifest {}", path.display()), of_draft(mesh, path, read).await);
        return;
    }
    match &args.service {
        Some(id) if chosen.is_empty() => {
            let mend = "meshctl status lists the services; meshctl apply -f FILE adds one";
            report.add("Services", vec![Finding::problem(id.as_str(), "is not stored", mend)]);
        }
        None if chosen.is_empty() => report.add("Services", vec![services::none()]),
        _ => {}
    }
    for service in chosen {
        let mut findings = services::stored(service);
        findings.extend(examine(mesh, service).await);
        report.add(format!("Service {}", service.manifest.service), findings);
    }
}

/// What one coordinator knows of the services by itself; whatever else would be asked has nobody to answer it.
fn without_quorum(report: &mut Report, chosen: &[&Service], draft: Option<Draft<'_>>) {
    let unasked = || {
        let text = "agents, keys and the world outside were not looked at: no coordinator leads";
        Finding::unknown("the rest", text, "mend the quorum first")
    };
    for service in chosen {
        report.add(format!("Service {}", service.manifest.service), services::stored(service));
    }
    report.add("Manifest", draft.map(|(path, read)| alone(path, read)).unwrap_or_default());
    report.add("Not looked at", vec![unasked()]);
}

/// What agents see of a stored service.
pub async fn examine(mesh: &Mesh, service: &Service) -> Vec<Finding> {
    match mesh.examine(&service.manifest.service).await {
        Ok(answers) => of_survey(answers),
        Err(failure) => vec![unasked("examination")(failure)],
    }
}

async fn of_draft(
    mesh: &Mesh,
    path: &Path,
    read: Result<(mesh_core::manifest::Manifest, String), Failure>,
) -> Vec<Finding> {
    let (manifest, source) = match read {
        Ok(read) => read,
        Err(failure) => return invalid(&failure),
    };
    let shown = path.display().to_string();
    // The status of all services holds no sources.
    let mut findings = match mesh.find_service(&manifest.service).await {
        Ok(stored) => vec![services::draft(&manifest, &source, stored.as_ref(), &shown)],
        Err(failure) => vec![unasked("manifest")(failure)],
    };
    match mesh.examine_draft(&manifest).await {
        Ok(answers) => findings.extend(of_survey(answers)),
        Err(failure) => findings.push(unasked("examination")(failure)),
    }
    findings
}

/// A manifest beside a mesh that cannot be asked.
fn alone(path: &Path, read: Result<(mesh_core::manifest::Manifest, String), Failure>) -> Vec<Finding> {
    match read {
        Ok((manifest, _)) => vec![Finding::ok(path.display().to_string(), format!("{} is valid", manifest.service))],
        Err(failure) => invalid(&failure),
    }
}

fn invalid(failure: &Failure) -> Vec<Finding> {
    let whole = || Finding::problem("manifest", failure.message.clone(), failure.hint.clone().unwrap_or_default());
    let each = failure.details.iter().map(|detail| Finding::problem("manifest", detail.clone(), "correct the file"));
    let found: Vec<Finding> = each.collect();
    if found.is_empty() { vec![whole()] } else { found }
}

fn unasked(subject: &'static str) -> impl Fn(Failure) -> Finding {
    move |failure| {
        let mend = failure.hint.clone().unwrap_or_else(|| "mend what is above first".to_owned());
        Finding::unknown(subject, failure.message, mend)
    }
}
