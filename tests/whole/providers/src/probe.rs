//! A health question is its check's name here: the world that is simulated knows what that asks.

use std::time::Duration;

use async_trait::async_trait;
use mesh_core::ids::{RegionId, ServiceId};
use mesh_core::manifest::{Check, Manifest};

#[allow(dead_code)]
#[path = "../../../../crates/providers/src/probe/trouble.rs"]
mod trouble;

pub use trouble::Answer;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub service: ServiceId,
    pub check: String,
    pub about: RegionId,
    pub active: RegionId,
}

impl Question {
    pub fn of(check: &Check, manifest: &Manifest, region: &RegionId, active: &RegionId) -> Option<Self> {
        Some(Self {
            service: manifest.service.clone(),
            check: check.name.clone(),
            about: region.clone(),
            active: active.clone(),
        })
    }

    pub fn place(&self) -> String {
        format!("{} of {} in {}", self.check, self.service, self.about)
    }
}

#[async_trait]
pub trait Asks: Send + Sync {
    async fn ask(&self, question: &Question, about: &RegionId, timeout: Duration) -> Answer;
}
