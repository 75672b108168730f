//! People at their command lines: `mesh_runtime`'s client, as meshctl has it, and the programs' own API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::v1;
use mesh_proto::v1::operator_client::OperatorClient;
use mesh_runtime::client::{CallError, MeshClient};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tonic::Response;

use crate::service;
use crate::site::{Site, now};

const THINKS: std::ops::Range<u64> = 50..900;
const FROZEN_MS: u64 = 1_000;

pub struct Person {
    pub name: String,
    pub site: Arc<Site>,
    pub client: MeshClient,
    pub rng: StdRng,
    /// The versions of this person's services, as far as known.
    pub known: BTreeMap<String, u64>,
}

impl Person {
    pub fn new(site: &Arc<Site>, client: MeshClient, name: &str, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { name: name.to_owned(), site: Arc::clone(site), client, rng, known: BTreeMap::new() }
    }

    /// Until everybody rests.
    pub async fn work(mut self) {
        while !self.site.rests() {
            let pause = Duration::from_millis(self.rng.random_range(THINKS));
            tokio::time::sleep(pause).await;
            match self.rng.random_range(0..40) {
                0..18 => self.apply_one().await,
                18..36 => self.read().await,
                36 => self.freeze().await,
                _ => self.unfreeze().await,
            }
        }
    }

    async fn apply_one(&mut self) {
        let nth = self.rng.random_range(0..4);
        let service = format!("{}-{nth}", self.name);
        self.apply(&service).await;
    }

    /// A new service, or a new version of one.
    pub async fn apply(&mut self, service: &str) {
        let expected_version = self.known.get(service).copied().unwrap_or_default();
        let manifest = service::manifest(service, self.site.automatic);
        let request = v1::ApplyManifestRequest {
            manifest: Some(v1::Manifest::from(&manifest)),
            source: format!("{service} {:.3}", now().as_secs_f64()),
            expected_version,
        };
        let applied = self.client.call(|channel| {
            let request = request.clone();
            async move { OperatorClient::new(channel).apply_manifest(request).await.map(Response::into_inner) }
        });
        match applied.await {
            Ok(applied) => {
                self.site.judge().promise(now(), service, applied.version);
                self.known.insert(service.to_owned(), applied.version);
            }
            Err(error) => {
                self.note("apply", &error);
                self.look_up(service).await;
            }
        }
    }

    /// What has become of a service whose version is not known for certain.
    async fn look_up(&mut self, service: &str) {
        let request = v1::GetServiceRequest { service: service.to_owned() };
        let looked = self.client.call(|channel| {
            let request = request.clone();
            async move { OperatorClient::new(channel).get_service(request).await.map(Response::into_inner) }
        });
        if let Ok(looked) = looked.await {
            let version = looked.entity.map_or(0, |entity| entity.version);
            self.known.insert(service.to_owned(), version);
            self.site.judge().promise(now(), service, version);
        }
    }

    async fn read(&mut self) {
        let floor = self.site.judge().begin_read();
        let status = self.client.call(|channel| async move {
            let request = v1::GetStatusRequest { stale: false };
            OperatorClient::new(channel).get_status(request).await.map(Response::into_inner)
        });
        match status.await {
            Ok(status) => {
                let version = |service: v1::ServiceStatus| Some((service.service, service.entity?.version));
                let versions = status.services.into_iter().filter_map(version).collect();
                self.site.judge().end_read(now(), &floor, status.applied_index, &versions);
            }
            Err(error) => self.note("read", &error),
        }
    }

    async fn freeze(&mut self) {
        let reason = "maintenance".to_owned();
        let request = v1::FreezeRequest { service: String::new(), lasting_ms: FROZEN_MS, reason };
        let frozen = self.client.call(|channel| {
            let request = request.clone();
            async move { OperatorClient::new(channel).freeze(request).await.map(Response::into_inner) }
        });
        match frozen.await {
            Ok(_) => self.site.judge().count("frozen"),
            Err(error) => self.note("freeze", &error),
        }
    }

    async fn unfreeze(&mut self) {
        let unfrozen = self.client.call(|channel| async move {
            let request = v1::UnfreezeRequest { service: String::new() };
            OperatorClient::new(channel).unfreeze(request).await.map(Response::into_inner)
        });
        if let Err(error) = unfrozen.await {
            self.note("unfreeze", &error);
        }
    }

    pub fn note(&self, what: &str, error: &CallError) {
        let mut judge = self.site.judge();
        judge.trace.line(now(), format!("{}: {what}: {:?}", self.name, error.code()));
        judge.count(match error {
            CallError::Refused { .. } => "refused",
            CallError::Unavailable { .. } => "unanswered",
        });
    }
}
