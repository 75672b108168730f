//! `validate`, `schema`, `apply`.

use std::io::Read;
use std::path::Path;

use mesh_core::manifest::Manifest;
use mesh_manifest::{Diagnostic, MANIFEST_BYTES_MAX};
use serde_json::json;

use super::Context;
use crate::args::Apply;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::prompt::confirm;
use crate::render::diff;

pub fn validate(context: &Context, path: &Path) -> Outcome {
    let source = read(path)?;
    let found = mesh_manifest::parse(&source, &path.display().to_string());
    let diagnostics: &[Diagnostic] = found.as_ref().err().map_or(&[], Vec::as_slice);
    let value = json!({
        "file": path,
        "ok": diagnostics.is_empty(),
        "service": found.as_ref().ok().map(|manifest| &manifest.service),
        "diagnostics": diagnostics.iter().map(|diagnostic| json!({
            "line": diagnostic.line, "column": diagnostic.column, "path": diagnostic.path,
            "message": diagnostic.message, "hint": diagnostic.hint,
        })).collect::<Vec<_>>(),
    });
    context.output.either(&value, || match &found {
        Ok(manifest) => format!("{}: service {} is valid", path.display(), manifest.service),
        Err(diagnostics) => diagnostics.iter().map(Diagnostic::to_string).collect::<Vec<_>>().join("\n"),
    })?;
    Ok(if diagnostics.is_empty() { Exit::Ok } else { Exit::Failed })
}

pub fn schema(context: &Context) -> Outcome {
    let schema = mesh_manifest::json_schema();
    context.output.either(&schema, || serde_json::to_string_pretty(&schema).unwrap_or_default())?;
    Ok(Exit::Ok)
}

pub async fn apply(context: &Context, args: &Apply) -> Outcome {
    let (manifest, source) = load(&args.manifest.file)?;
    let mesh = context.mesh()?;
    let stored = mesh.find_service(&manifest.service).await?;
    let expected = stored.as_ref().map_or(0, |service| service.version);
    let unchanged = stored.as_ref().is_some_and(|service| service.source == source);
    if unchanged {
        let value = json!({ "service": manifest.service, "version": expected, "changed": false });
        context.output.either(&value, || {
            format!("{}: version {expected} is this very manifest; nothing to do", manifest.service)
        })?;
        return Ok(Exit::Ok);
    }
    let former = stored.as_ref().map_or("", |service| &service.source);
    match &stored {
        None => context.output.note(&format!("{} is new to the mesh:", manifest.service)),
        Some(service) => context.output.note(&format!(
            "{}: changes against version {} (by {}):",
            manifest.service,
            service.version,
            crate::render::text::person(&service.applied_by)
        )),
    }
    context.output.note(&diff::render(former, &source, context.output.paint));
    let question = format!("Type yes to apply this as version {}:", expected.saturating_add(1));
    confirm(&question, &["yes", manifest.service.as_str()], args.yes, "apply a manifest")?;
    let version = mesh.apply(&manifest, &source, expected).await?;
    let armed = stored.as_ref().is_some_and(|service| service.armed);
    let value = json!({ "service": manifest.service, "version": version, "changed": true, "armed": armed });
    context.output.either(&value, || format!("{}: version {version} is stored", manifest.service))?;
    if !armed {
        let service = &manifest.service;
        context.output.note(&format!(
            "{service} is only observed: nothing outside is changed, and no failover can be started\n\
             next: meshctl doctor {service}, then meshctl arm {service}"
        ));
    }
    Ok(Exit::Ok)
}

/// A valid manifest with its source, or every reason why it is none.
pub(super) fn load(path: &Path) -> Result<(Manifest, String), Failure> {
    let source = read(path)?;
    match mesh_manifest::parse(&source, &path.display().to_string()) {
        Ok(manifest) => Ok((manifest, source)),
        Err(diagnostics) => Err(Failure::refused(format!("{} is no valid manifest", path.display()))
            .details(diagnostics.iter().map(Diagnostic::to_string).collect())
            .hint(
                "nothing was sent; `meshctl validate -f FILE` checks without a mesh, `meshctl schema` is for editors",
            )),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let refuse = |error: std::io::Error| Failure::file(path, "read", &error);
    let file = std::fs::File::open(path).map_err(refuse)?;
    let mut source = String::new();
    // One byte more than is accepted, so that the parser sees, and says, that it is too large.
    file.take(MANIFEST_BYTES_MAX as u64 + 1).read_to_string(&mut source).map_err(refuse)?;
    Ok(source)
}
