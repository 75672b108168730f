//! `arm` and `disarm`: from observing to acting, and back.

use mesh_core::ids::ServiceId;
use mesh_core::survey::{Finding, Level};
use serde_json::json;

use super::{Context, doctor};
use crate::args::first_hour::Arm;
use crate::doctor as findings;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Mesh;
use crate::prompt::confirm;

pub async fn arm(context: &Context, args: &Arm) -> Outcome {
    let mesh = context.mesh()?;
    let id = &args.service;
    let service = mesh.find_service(id).await?.ok_or_else(|| no_service(id))?;
    if service.armed {
        return done(context, id, true, false);
    }
    let found = doctor::examine(&mesh, &service).await;
    let wrong: Vec<&Finding> = found.iter().filter(|finding| finding.level != Level::Ok).collect();
    for finding in &wrong {
        context.output.note(findings::line(finding, context.output.paint).trim_end());
    }
    let stopping = wrong.iter().filter(|finding| finding.level.stands_in_the_way()).count();
    let question = if stopping == 0 {
        format!("Nothing found would stop a failover of {id}. Type yes to let the mesh act for it:")
    } else {
        format!("{stopping} of these would stop a failover of {id}. Type yes to arm it nonetheless:")
    };
    confirm(&question, &["yes", id.as_str()], args.yes, "arm a service")?;
    set(context, &mesh, id, true).await
}

pub async fn disarm(context: &Context, args: &Arm) -> Outcome {
    let mesh = context.mesh()?;
    let id = &args.service;
    let service = mesh.find_service(id).await?.ok_or_else(|| no_service(id))?;
    if !service.armed {
        return done(context, id, false, false);
    }
    let question = format!("Type yes to let the mesh only observe {id}; no failover can be started then:");
    confirm(&question, &["yes", id.as_str()], args.yes, "disarm a service")?;
    set(context, &mesh, id, false).await
}

async fn set(context: &Context, mesh: &Mesh, id: &ServiceId, armed: bool) -> Outcome {
    mesh.set_armed(id, armed).await?;
    done(context, id, armed, true)
}

fn done(context: &Context, id: &ServiceId, armed: bool, changed: bool) -> Outcome {
    context.output.either(&json!({ "service": id, "armed": armed, "changed": changed }), || {
        match (armed, changed) {
            (true, true) => {
                format!("{id}: armed\nnext: meshctl traffic setup --service {id}, then a failover with --dry-run")
            }
            (true, false) => format!("{id}: was armed already"),
            (false, true) => format!("{id}: only observed from here on"),
            (false, false) => format!("{id}: was only observed already"),
        }
    })?;
    Ok(Exit::Ok)
}

fn no_service(id: &ServiceId) -> Failure {
    Failure::refused(format!("there is no service {id}"))
        .hint("`meshctl status` lists the services; `meshctl apply -f FILE` adds one")
}
