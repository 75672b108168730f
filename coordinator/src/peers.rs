//! Channels to the other coordinators, one an address, made when first needed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_core::time::Timestamp;
use mesh_runtime::grpc;
use mesh_runtime::tls::Identities;
use tonic::Status;
use tonic::transport::Channel;

pub mod lanes;

use lanes::Lanes;

/// More addresses than a mesh has coordinators (5), their predecessors included.
const CHANNELS_MAX: usize = 32;

pub struct Peers {
    identities: Arc<Identities>,
    channels: Mutex<BTreeMap<String, Channel>>,
    /// For agents' sessions that this node passes on.
    pub lanes: Lanes,
}

impl Peers {
    pub fn new(identities: Arc<Identities>) -> Self {
        let lanes = Lanes::new(Arc::clone(&identities));
        Self { identities, channels: Mutex::default(), lanes }
    }

    /// When this node's own certificate ends.
    pub fn certificate_until(&self) -> Timestamp {
        self.identities.not_after()
    }

    pub fn channel(&self, address: &str) -> Result<Channel, Status> {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let channel = grpc::connect(address, &self.identities)
            .map_err(|error| Status::unavailable(format!("coordinator at {address}: {error}")))?;
        channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}
