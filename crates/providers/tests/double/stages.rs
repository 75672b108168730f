use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::lease::Throttle;
use mesh_core::plan::Action;
use mesh_double::WorldFile;
use serde_json::{Value, json};

use crate::rig::{Rig, job};

const API: &str = "awest12345";
const OPEN: Throttle = Throttle { rate: 1000, burst: 500 };

fn close() -> Job {
    let action = Action::ApiGatewayClose { api: API.to_owned(), stage: "prod".to_owned() };
    job("api-gateway-close-web", "7.8", action)
}

fn open() -> Job {
    let action = Action::ApiGatewayOpen { api: API.to_owned(), stage: "prod".to_owned(), open: OPEN };
    job("api-gateway-open-web", "9.2", action)
}

/// A stage with limits, one route of its own, and a variable.
fn serving(file: &mut WorldFile) {
    let api = file.apis.iter_mut().find(|api| api.id == API).expect("it is shipped");
    let stage = json!({
        "default": { "rate": 800.5, "burst": 400, "metrics": true },
        "routes": { "POST /orders": { "rate": 20, "burst": 10, "metrics": false } },
        "variables": { "color": "blue" },
    });
    api.stages.insert("prod".to_owned(), serde_json::from_value(stage).expect("a stage"));
}

impl Rig {
    fn stage(&self) -> Value {
        self.double.double.world(|world| {
            let key = ("us-west-2".to_owned(), API.to_owned());
            let stage = world.apigateway.apis[&key].stages["prod"].clone();
            json!({ "default": stage.default, "routes": stage.routes, "variables": stage.variables })
        })
    }

    /// As somebody else.
    fn edit(&self, change: impl FnOnce(&mut mesh_double::apigateway::Stage)) {
        self.double.double.world(|world| {
            let key = ("us-west-2".to_owned(), API.to_owned());
            let api = world.apigateway.apis.get_mut(&key).expect("it is there");
            change(api.stages.get_mut("prod").expect("it is there"));
        });
    }
}

#[tokio::test]
async fn a_stage_is_closed_in_one_call_and_opened_with_what_it_had() {
    let rig = Rig::start(serving).await;
    let before = rig.stage();
    let (closed, sent) = rig.carry_out(&close()).await;
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "{sent:?}");
    assert_eq!((closed["rate"].as_f64(), closed["burst"].as_i64()), (Some(0.0), Some(0)), "{closed}");
    assert_eq!(closed["former"]["default"]["rate"], 800.5, "{closed}");
    let during = rig.stage();
    assert_eq!(during["routes"]["POST /orders"]["rate"], 0.0, "{during}");
    assert_eq!((&during["default"]["metrics"], &during["variables"]["color"]), (&json!(true), &json!("blue")));
    let (_, sent) = rig.carry_out(&close()).await;
    assert!(sent.is_empty(), "it is closed");
    let (_, sent) = rig.carry_out(&open()).await;
    assert!(matches!(sent.as_slice(), [CallResult::Accepted { .. }]), "{sent:?}");
    assert_eq!(rig.stage(), before);
    let (_, sent) = rig.carry_out(&open()).await;
    assert!(sent.is_empty(), "it is open");
}

#[tokio::test]
async fn a_lost_reply_is_looked_up_before_it_is_repeated() {
    let rig = Rig::start(serving).await;
    let before = rig.stage();
    let lost = || rig.fault(json!({ "service": "apigateway", "operation": "UpdateStage", "kind": "timeout-applied" }));
    for job in [close(), open()] {
        let fault = lost();
        let (_, sent) = rig.carry_out(&job).await;
        assert!(matches!(sent.as_slice(), [CallResult::Unknown { .. }]), "{sent:?}");
        assert_eq!(rig.fired(fault), 1);
    }
    assert_eq!((rig.applied("UpdateStage").len(), rig.stage()), (2, before));
}

#[tokio::test]
async fn a_call_that_never_arrived_is_sent_again() {
    let rig = Rig::start(serving).await;
    let before = rig.stage();
    let order = json!({ "service": "apigateway", "operation": "UpdateStage", "kind": "timeout-not-applied" });
    let fault = rig.fault(order);
    let (_, sent) = rig.carry_out(&close()).await;
    assert!(matches!(sent.as_slice(), [CallResult::Unknown { .. }, CallResult::Accepted { .. }]), "{sent:?}");
    assert_eq!(rig.fired(fault), 1);
    rig.carry_out(&open()).await;
    assert_eq!(rig.stage(), before);
}

#[tokio::test]
async fn what_turned_the_call_away_did_not_apply_it() {
    let rig = Rig::start(serving).await;
    let throttle = rig.fault(json!({ "service": "apigateway", "operation": "UpdateStage", "kind": "throttle" }));
    let (_, sent) = rig.carry_out(&close()).await;
    assert!(matches!(sent.as_slice(), [CallResult::NotApplied { .. }, CallResult::Accepted { .. }]), "{sent:?}");
    let conflict = json!({ "service": "apigateway", "operation": "UpdateStage", "kind": "error",
        "code": "ConflictException", "status": 409 });
    let conflict = rig.fault(conflict);
    let (_, sent) = rig.carry_out(&open()).await;
    assert!(matches!(sent.as_slice(), [CallResult::NotApplied { .. }, CallResult::Accepted { .. }]), "{sent:?}");
    assert_eq!((rig.fired(throttle), rig.fired(conflict)), (1, 1));
}

#[tokio::test]
async fn what_somebody_sets_while_it_is_closed_is_theirs() {
    let rig = Rig::start(serving).await;
    rig.carry_out(&close()).await;
    rig.edit(|stage| stage.default.rate = Some(5.0));
    rig.edit(|stage| stage.default.burst = Some(5));
    let (_, sent) = rig.carry_out(&open()).await;
    assert_eq!(sent.len(), 1);
    let after = rig.stage();
    assert_eq!((&after["default"]["rate"], &after["default"]["burst"]), (&json!(5.0), &json!(5)), "{after}");
    assert_eq!(after["routes"]["POST /orders"]["rate"], 20.0, "{after}");
    assert_eq!(after["variables"], json!({ "color": "blue" }));
}

#[tokio::test]
async fn a_stage_that_was_closed_from_the_first_is_opened_as_declared() {
    let rig = Rig::start(|_| {}).await;
    rig.carry_out(&open()).await;
    let after = rig.stage();
    assert_eq!((&after["default"]["rate"], &after["default"]["burst"]), (&json!(1000.0), &json!(500)), "{after}");
}

#[tokio::test]
async fn what_is_no_http_api_is_left_to_a_hook() {
    let rig = Rig::start(serving).await;
    for (api, stage, words) in [
        ("rest123456", "prod", "Invalid API identifier"),
        (API, "test", "Invalid stage identifier"),
        ("asocket123", "$default", "it is a WEBSOCKET API"),
    ] {
        let mut other = close();
        other.action = Action::ApiGatewayClose { api: api.to_owned(), stage: stage.to_owned() };
        let seen = rig.observe(&other).await;
        let Observation::Blocked { reason } = &seen else { panic!("{seen:?}") };
        assert!(reason.contains(words) && reason.contains("`hook`"), "{reason}");
    }
}
