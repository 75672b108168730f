//! `why` and `why-not`.

use mesh_core::ids::{RegionId, RunId, ServiceId};
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::render::{json as shapes, report, why as render};

pub async fn why(context: &Context, run: &RunId) -> Outcome {
    let (run, left_out) = context.mesh()?.why(run).await?;
    let value = json!({
        "run": shapes::run(&run),
        "judgement": render::cause(&run).map(render::json),
        "left_out": left_out,
    });
    context.output.either(&value, || {
        let paint = context.output.paint;
        let cause = match render::cause(&run) {
            Some(judged) => render::acted(judged, paint),
            None => render::asked(&run),
        };
        format!("{cause}\n{}", report::timeline(&run))
    })?;
    Ok(Exit::Ok)
}

pub async fn why_not(context: &Context, service: &ServiceId, to: Option<&RegionId>) -> Outcome {
    let judged = context.mesh()?.why_not(service, to).await?;
    context.output.either(&render::json(&judged), || render::judgement(&judged, context.output.paint))?;
    Ok(Exit::Ok)
}
