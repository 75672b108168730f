//! The two listeners of leases: the endpoint, and promises to agents of other regions.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_core::ids::RegionId;
use mesh_runtime::grpc::{self, Listener};
use mesh_runtime::shutdown::Shutdown;
use mesh_runtime::tls::Identities;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::service::Routes;

use super::{Leases, asking, endpoint, peers};
use crate::config::LeaseConfig;

/// Promises that are being written when the agent stops.
const DRAIN: Duration = Duration::from_secs(1);

/// Bound before anything starts, so that a wrong address is told at once.
pub struct Serving {
    endpoint: Option<TcpListener>,
    promises: Option<Box<dyn Listener>>,
    pub promise_address: Option<String>,
}

impl Serving {
    pub async fn bind(config: &LeaseConfig) -> anyhow::Result<Self> {
        let bind = |address| async move {
            match address {
                None => Ok(None),
                Some(address) => {
                    let listener = TcpListener::bind(address).await;
                    listener.map(Some).with_context(|| format!("binding {address}"))
                }
            }
        };
        let (endpoint, promises) = (bind(config.listen).await?, bind(config.promise_listen).await?);
        let bound = promises.as_ref().map(TcpListener::local_addr).transpose().context("a bound address")?;
        let promise_address = config.promise_advertise.clone().or_else(|| bound.map(|address| address.to_string()));
        if let Some(listener) = &endpoint {
            let address = listener.local_addr().context("a bound address")?;
            tracing::info!(%address, "the lease endpoint listens");
        }
        let promises = promises.map(|listener| Box::new(listener) as Box<dyn Listener>);
        Ok(Self { endpoint, promises, promise_address: promise_address.filter(|_| bound.is_some()) })
    }

    /// Promises are asked for there, and others are told `address`.
    pub fn promises_at(mut self, listener: Box<dyn Listener>, address: String) -> Self {
        (self.promises, self.promise_address) = (Some(listener), Some(address));
        self
    }

    /// Runs until `stop`, or until what it returns is dropped.
    pub fn start(
        self,
        leases: &Arc<Leases>,
        identities: &Arc<Identities>,
        region: &RegionId,
        stop: &CancellationToken,
    ) -> Vec<AbortOnDropHandle<()>> {
        let mut tasks = Vec::new();
        let asking = asking::run(Arc::clone(leases), Arc::clone(identities), stop.clone());
        tasks.push(AbortOnDropHandle::new(tokio::spawn(asking)));
        if let Some(listener) = self.endpoint {
            let served = endpoint::serve(listener, Arc::clone(leases), stop.clone());
            tasks.push(AbortOnDropHandle::new(tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::error!(error = &error as &dyn std::error::Error, "the lease endpoint serves no more");
                }
            })));
        }
        if let Some(listener) = self.promises {
            let (shutdown, stop) = (Shutdown::manual(DRAIN), stop.clone());
            let routes = Routes::new(peers::service(Arc::clone(leases), region.clone()));
            let served = grpc::serve(listener, Arc::clone(identities), routes, shutdown.clone());
            tasks.push(AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::pin!(served);
                let ended = tokio::select! {
                    () = stop.cancelled() => { shutdown.begin(); served.await }
                    ended = &mut served => ended,
                };
                if let Err(error) = ended {
                    tracing::error!(error = &error as &dyn std::error::Error, "promises are given no more");
                }
            })));
        }
        tasks
    }
}
