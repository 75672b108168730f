//! `why` and `why-not`.

use mesh_core::ids::{RegionId, RunId, ServiceId};
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::render::{json as shapes, report, text, why as render};

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
    let mesh = context.mesh()?;
    let (judged, passed_on) = mesh.why_not_by_way(service, to).await?;
    // What was noted is beside the judgement: its absence is no reason to show neither.
    let noted = mesh.find_service(service).await.ok().flatten().and_then(|service| service.noted);
    let mut value = render::json(&judged);
    if let Some(value) = value.as_object_mut() {
        if let Some(noted) = &noted {
            value.insert("noted".to_owned(), json!(noted));
        }
        if !passed_on.is_empty() {
            value.insert("passed_on".to_owned(), json!(passed_on));
        }
    }
    context.output.either(&value, || {
        let judgement = render::judgement(&judged, context.output.paint) + &render::passed_on(&passed_on);
        match &noted {
            Some(noted) => format!("{}\n\n{}", judgement.trim_end(), text::noted(noted)),
            None => judgement,
        }
    })?;
    Ok(Exit::Ok)
}
