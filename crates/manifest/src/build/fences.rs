use mesh_core::lease::{ApiStage, Fence, Fencing, Throttle};

use super::Fields;

pub(super) fn fence(fields: Fields<'_>) -> Option<Fence> {
    if let Some(endpoint) = fields.record("lease-endpoint") {
        return Some(Fence::LeaseEndpoint { reaction: endpoint.duration("reaction")? });
    }
    if let Some(watchdog) = fields.record("watchdog") {
        return Some(Fence::Watchdog { reaction: watchdog.duration("reaction")? });
    }
    if fields.word("active").is_some() {
        return Some(Fence::PostgresqlReadOnly);
    }
    if let Some(name) = fields.text("hook") {
        return Some(Fence::Hook { name });
    }
    if let Some(throttle) = fields.record("api-gateway-throttle") {
        let stages = throttle.regions("stages", |value| value.record().and_then(api_stage))?;
        return Some(Fence::ApiGatewayThrottle { name: throttle.text("name")?, stages });
    }
    fields.word("unfenced").map(|_| Fence::Unfenced)
}

fn api_stage(fields: Fields<'_>) -> Option<ApiStage> {
    Some(ApiStage {
        api: fields.text("api")?,
        stage: fields.text("stage")?,
        open: Throttle { rate: fields.integer("rate")?, burst: fields.integer("burst")? },
    })
}

pub(super) fn fencing(fences: Vec<Fence>, lease: Option<Fields<'_>>) -> Fencing {
    let absent = Fencing::default();
    let of = |key, default| lease.as_ref().and_then(|lease| lease.duration(key)).unwrap_or(default);
    Fencing { fences, length: of("length", absent.length), margin: of("margin", absent.margin) }
}
