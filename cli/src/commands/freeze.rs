//! `freeze`, `unfreeze`, `ack`.

use std::time::Duration;

use mesh_core::fleet::Freeze;
use mesh_core::ids::ServiceId;
use mesh_core::time::duration_millis;
use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::mesh::Frozen;
use crate::render::status::View;
use crate::render::text;

pub async fn freeze(context: &Context, service: Option<&ServiceId>, lasting: Duration, reason: &str) -> Outcome {
    let frozen = context.mesh()?.freeze(service, lasting, reason).await?;
    let value = json!({
        "service": service,
        "until": frozen.until,
        "halted": frozen.halted,
        "unacknowledged": frozen.unacknowledged,
        "silent_after_ms": duration_millis(frozen.silent_after),
    });
    context.output.either(&value, || said(service, &frozen))?;
    Ok(Exit::Ok)
}

fn said(service: Option<&ServiceId>, frozen: &Frozen) -> String {
    let what = service.map_or_else(|| "every service".to_owned(), ToString::to_string);
    let end = service.map_or_else(|| "meshctl unfreeze".to_owned(), |service| format!("meshctl unfreeze {service}"));
    let mut out = format!("{what}: nothing is changed until {}; `{end}` ends it", text::time(frozen.until));
    if !frozen.halted.is_empty() {
        out.push_str(&format!("\nstanding still: {}", frozen.halted.join(", ")));
    }
    if !frozen.unacknowledged.is_empty() {
        out.push_str(&format!(
            "\nnot confirmed yet by {}. Their permission ends {} from now at the latest; until then they may still send a \
             change.",
            frozen.unacknowledged.join(", "),
            text::duration(frozen.silent_after)
        ));
    }
    out
}

pub async fn unfreeze(context: &Context, service: Option<&ServiceId>) -> Outcome {
    let mesh = context.mesh()?;
    mesh.unfreeze(service).await?;
    // It is ended, whether what else is frozen can be told or not.
    let view = mesh.status(false).await.and_then(View::of).ok();
    let still = view.map(|view| still_frozen(&view, service)).unwrap_or_default();
    context.output.either(&json!({ "service": service, "frozen": false, "still_frozen": still }), || {
        let what = service.map_or_else(|| "the mesh".to_owned(), ToString::to_string);
        let rest = |still: &String| format!("\n{still}");
        format!("{what}: no longer frozen{}", still.iter().map(rest).collect::<String>())
    })?;
    Ok(Exit::Ok)
}

/// The other freezes that concern whoever ended this one, each with what ends it.
fn still_frozen(view: &View, ended: Option<&ServiceId>) -> Vec<String> {
    let lasts = |freeze: &Option<Freeze>| freeze.clone().filter(|freeze| freeze.until > view.now);
    let said = |what: &str, freeze: &Freeze, end: &str| {
        format!("{what} is still frozen until {}: {}; `{end}` ends that", text::time(freeze.until), freeze.reason)
    };
    if ended.is_some() {
        return lasts(&view.freeze).iter().map(|freeze| said("every service", freeze, "meshctl unfreeze")).collect();
    }
    let own = view.services.iter().filter_map(|(id, service)| Some((id, lasts(&service.freeze)?)));
    own.map(|(id, freeze)| said(id.as_str(), &freeze, &format!("meshctl unfreeze {id}"))).collect()
}

pub async fn acknowledge(context: &Context, service: &ServiceId) -> Outcome {
    context.mesh()?.acknowledge(service).await?;
    context.output.either(&json!({ "service": service, "acknowledged": true }), || {
        format!("{service}: its cool-down is over; `meshctl why-not {service}` says what would happen now")
    })?;
    Ok(Exit::Ok)
}
