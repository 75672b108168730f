//! `status` and `service`.

use mesh_core::ids::ServiceId;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::render::status as render;

pub async fn status(context: &Context, stale: bool) -> Outcome {
    let status = context.mesh()?.status(stale).await?;
    let view = render::View::of(status)?;
    context.output.either(&view.json(), || view.render(context.output.paint))?;
    Ok(Exit::Ok)
}

pub async fn service(context: &Context, id: &ServiceId) -> Outcome {
    let view = render::View::of(context.mesh()?.status(false).await?)?;
    let Some(service) = view.services.get(id) else {
        return Err(Failure::refused(format!("there is no service {id}"))
            .hint("`meshctl status` lists the services; `meshctl apply -f FILE` adds one"));
    };
    context.output.either(&render::service_json(service, &view.signals_of(id)), || {
        render::service(service, &view.signals_of(id), view.now, context.output.paint)
    })?;
    Ok(Exit::Ok)
}
