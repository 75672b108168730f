//! A person who moves a service to another region, makes the former primary a replica, and moves it back, until there is
//! nothing wrong any more; then what has begun is seen to its end.

use std::time::Duration;

use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::client::{CallError, MeshClient};
use rand::Rng;
use tonic::Response;
use tonic::transport::Channel;

use crate::people::Person;
use crate::service::MOVED;
use crate::site::{REGIONS, now};

const LOOKS_EVERY: Duration = Duration::from_millis(300);
/// Of a hundred looks at a run that is going, so many end with an abort, or with a pause.
const ABORTS: u32 = 2;
const PAUSES: u32 = 4;
/// Once everything has healed, of a run that stays held.
const RETRIES_MAX: u32 = 20;

async fn ask<T, F, Fut>(client: &MeshClient, call: F) -> Result<T, CallError>
where
    F: Fn(OperatorClient<Channel>) -> Fut,
    Fut: Future<Output = Result<Response<T>, tonic::Status>>,
{
    let asked = client.call(|channel| {
        let answer = call(OperatorClient::new(channel));
        async move { answer.await.map(Response::into_inner) }
    });
    asked.await
}

impl Person {
    pub async fn move_about(mut self) {
        self.found_service().await;
        let mut moved = false;
        while !self.site.heals() {
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..700))).await;
            let Some(active) = self.active().await else { continue };
            let other = if active == REGIONS[0] { REGIONS[1] } else { REGIONS[0] };
            // The region that it left: what is there has to follow before anything moves back.
            if moved && let Some(run) = self.start(v1::PlanKind::Rejoin, other).await {
                self.follow(&run).await;
            }
            if self.site.heals() {
                return;
            }
            if let Some(run) = self.start(v1::PlanKind::Failover, other).await {
                self.follow(&run).await;
                moved = true;
            }
        }
    }

    /// Nobody moves it but the mesh itself. What it has left is made a replica, and a run that is held is seen to its end.
    pub async fn look_after(mut self) {
        self.found_service().await;
        let mut follows = false;
        loop {
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(50..700))).await;
            let Some(service) = self.service().await else { continue };
            if let Some(run) = service.current_run {
                self.follow(&run).await;
            } else if service.active != REGIONS[0] && !follows && !self.site.heals() {
                follows = self.start(v1::PlanKind::Rejoin, REGIONS[0]).await.is_some();
            }
        }
    }

    async fn found_service(&mut self) {
        while self.known.get(MOVED).is_none_or(|version| *version == 0) && !self.site.heals() {
            self.apply(MOVED).await;
        }
        while !self.site.heals() {
            let request = v1::SetArmedRequest { service: MOVED.to_owned(), armed: true };
            let armed = ask(&self.client, |mut operator| {
                let request = request.clone();
                async move { operator.set_armed(request).await }
            });
            match armed.await {
                Ok(_) => return,
                Err(error) => self.note("arm", &error),
            }
            tokio::time::sleep(LOOKS_EVERY).await;
        }
    }

    async fn active(&self) -> Option<String> {
        self.service().await.map(|service| service.active)
    }

    async fn service(&self) -> Option<v1::ServiceEntity> {
        let request = v1::GetServiceRequest { service: MOVED.to_owned() };
        let service = ask(&self.client, |mut operator| {
            let request = request.clone();
            async move { operator.get_service(request).await }
        });
        service.await.ok()?.entity
    }

    /// Plans and starts; the run, once that is acknowledged.
    async fn start(&self, kind: v1::PlanKind, to: &str) -> Option<String> {
        let services = vec![MOVED.to_owned()];
        let wanted = v1::MakePlanRequest { kind: kind.into(), to: to.to_owned(), services, from: String::new() };
        let planned = ask(&self.client, |mut operator| {
            let wanted = wanted.clone();
            async move { operator.make_plan(wanted).await }
        });
        let planned = planned.await.map_err(|error| self.note("plan", &error)).ok()?.plans.into_iter().next()?;
        let start =
            v1::StartRunRequest { plan: planned.plan, plan_hash: planned.plan_hash, ..v1::StartRunRequest::default() };
        let started = ask(&self.client, |mut operator| {
            let start = start.clone();
            async move { operator.start_run(start).await }
        });
        let run = started.await.map_err(|error| self.note("start", &error)).ok()?.run;
        let mut judge = self.site.judge();
        judge.trace.line(now(), format!("told: {} to {to} begins as {run}", kind.as_str_name()));
        judge.count(if kind == v1::PlanKind::Rejoin { "rejoin begun" } else { "failover begun" });
        judge.promise_run(&run);
        Some(run)
    }

    /// Until it has ended, as was told.
    async fn follow(&mut self, run: &str) {
        use v1::run_state::State;
        let mut retries = 0;
        loop {
            tokio::time::sleep(LOOKS_EVERY).await;
            let request = v1::GetRunRequest { run: run.to_owned() };
            let looked = ask(&self.client, |mut operator| {
                let request = request.clone();
                async move { operator.get_run(request).await }
            });
            let Some(seen) = looked.await.ok().and_then(|looked| looked.run) else { continue };
            let how = match seen.state.and_then(|state| state.state) {
                Some(State::Done(_)) => "run done",
                Some(State::Compensated(_)) => "run compensated",
                Some(State::Refused(_)) => "run refused",
                Some(State::Held(_)) => {
                    self.site.judge().count("run held");
                    retries += u32::from(self.site.heals());
                    let order = match retries > RETRIES_MAX {
                        true => v1::control_run_request::Order::Abort("it stays held".to_owned()),
                        false => v1::control_run_request::Order::Retry(v1::Nothing {}),
                    };
                    self.order(run, order).await;
                    continue;
                }
                Some(State::Running(_) | State::Unwinding(_)) | None => {
                    self.meddle(run, seen.paused.is_some()).await;
                    continue;
                }
            };
            let mut judge = self.site.judge();
            judge.trace.line(now(), format!("told: {how}: {run}"));
            judge.count(how);
            return;
        }
    }

    /// Orders at bad moments, while something is wrong.
    async fn meddle(&mut self, run: &str, paused: bool) {
        use v1::control_run_request::Order;
        if paused {
            return self.order(run, Order::Resume(v1::Nothing {})).await;
        }
        if self.site.heals() {
            return;
        }
        match self.rng.random_range(0..100) {
            draw if draw < ABORTS => self.order(run, Order::Abort("another plan".to_owned())).await,
            draw if draw < ABORTS + PAUSES => self.order(run, Order::Pause(v1::Nothing {})).await,
            _ => {}
        }
    }

    async fn order(&self, run: &str, order: v1::control_run_request::Order) {
        let request = v1::ControlRunRequest { run: run.to_owned(), order: Some(order) };
        let told = ask(&self.client, |mut operator| {
            let request = request.clone();
            async move { operator.control_run(request).await }
        });
        if let Err(error) = told.await {
            self.note("order", &error);
        }
    }
}
