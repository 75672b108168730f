//! AWS clients of every region that a probe asks about, with short deadlines: any of them may be the dead one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use mesh_core::ids::RegionId;

use super::trouble::Trouble;
use crate::aws;
use crate::aws::cloudwatch::CloudWatch;
use crate::aws::ecs::Ecs;
use crate::aws::eks::Eks;
use crate::aws::error::ReadError;
use crate::aws::kafka::Kafka;
use crate::aws::rds::Rds;

/// Clients of so many regions are kept.
const REGIONS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Elsewhere {
    config: SdkConfig,
    period_s: u32,
    call_timeout: Duration,
    clients: Mutex<BTreeMap<RegionId, Arc<Clients>>>,
}

#[derive(Debug)]
pub(crate) struct Clients {
    pub rds: Rds,
    pub eks: Eks,
    pub ecs: Ecs,
    pub kafka: Kafka,
    pub cloudwatch: CloudWatch,
}

impl Elsewhere {
    pub(crate) fn new(config: SdkConfig, period_s: u32, call_timeout: Duration) -> Self {
        Self { config, period_s, call_timeout, clients: Mutex::default() }
    }

    pub(crate) fn of(&self, region: &RegionId) -> Arc<Clients> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= REGIONS_MAX && !clients.contains_key(region) {
            clients.clear();
        }
        let made = clients.entry(region.clone()).or_insert_with(|| {
            let config = aws::config::elsewhere(&self.config, region, self.call_timeout);
            Arc::new(Clients {
                rds: Rds::new(&config),
                eks: Eks::new(&config),
                ecs: Ecs::new(&config),
                kafka: Kafka::new(&config),
                cloudwatch: CloudWatch::new(&config, self.period_s),
            })
        });
        Arc::clone(made)
    }
}

/// What could not be read of AWS says nothing about the target: its control plane fails apart from what it controls.
pub(super) fn unread(error: ReadError) -> Trouble {
    Trouble::Own(error.reason())
}
