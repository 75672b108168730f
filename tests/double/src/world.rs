//! The state of the pretended AWS. Pure: the time of each call and all randomness come from outside, so that the same
//! calls at the same times give the same answers.

pub mod activity;
pub mod build;
pub mod file;
pub mod settings;
pub mod timers;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use crate::apigateway::ApiGateway;
use crate::cloudwatch::CloudWatch;
use crate::dynamodb::DynamoDb;
use crate::ecs::Ecs;
use crate::eks::Eks;
use crate::error::ApiError;
use crate::kafka::Kafka;
use crate::rds::Rds;
use crate::route53::Route53;
use crate::sns::Sns;
use crate::sqs::Sqs;
use crate::wire::Node;
use crate::wire::request::{Call, Service};
use crate::{apigateway, cloudwatch, dynamodb, ecs, eks, kafka, rds, route53, sns, sqs, sts};
use activity::Activities;
use file::AccessKey;
use settings::Settings;
use timers::Timers;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegionState {
    Up,
    /// Control and data plane are dead.
    Down,
    /// Alive, and reachable from inside only.
    Partitioned,
}

/// The sample application of a region: where it listens, what it writes to, and its pooled session.
#[derive(Clone, Debug)]
pub struct App {
    pub database: String,
    pub alb_name: String,
    pub alb_zone: String,
    pub address: Option<SocketAddr>,
    pub session: Option<rds::data::Session>,
    /// API and stage that its orders come through.
    pub gateway: Option<(String, String)>,
}

pub struct World {
    pub now_ms: u64,
    pub account: String,
    pub settings: Settings,
    pub regions: BTreeMap<String, RegionState>,
    pub access_keys: BTreeMap<String, AccessKey>,
    pub apps: BTreeMap<String, App>,
    pub route53: Route53,
    pub rds: Rds,
    pub sns: Sns,
    pub sqs: Sqs,
    pub cloudwatch: CloudWatch,
    pub dynamodb: DynamoDb,
    pub eks: Eks,
    pub ecs: Ecs,
    pub kafka: Kafka,
    pub apigateway: ApiGateway,
    pub activities: Activities,
    pub timers: Timers,
    pub rng: StdRng,
    counter: u64,
}

impl World {
    pub fn empty(account: &str, seed: u64, now_ms: u64) -> Self {
        Self {
            now_ms,
            account: account.to_owned(),
            settings: Settings::default(),
            regions: BTreeMap::new(),
            access_keys: BTreeMap::new(),
            apps: BTreeMap::new(),
            route53: Route53::default(),
            rds: Rds::default(),
            sns: Sns::default(),
            sqs: Sqs::default(),
            cloudwatch: CloudWatch::default(),
            dynamodb: DynamoDb::default(),
            eks: Eks::default(),
            ecs: Ecs::default(),
            kafka: Kafka::default(),
            apigateway: ApiGateway::default(),
            activities: Activities::default(),
            timers: Timers::default(),
            rng: StdRng::seed_from_u64(seed),
            counter: 0,
        }
    }

    /// Carries out a call that has arrived, is authentic and was not refused on the way.
    pub fn call(&mut self, call: &Call) -> Result<Node, ApiError> {
        match call.service {
            Service::Route53 => route53::call(self, call),
            Service::Rds => rds::call(self, call),
            Service::Sns => sns::call(self, call),
            Service::Sqs => sqs::call(self, call),
            Service::Sts => sts::call(self, call),
            Service::CloudWatch => cloudwatch::call(self, call),
            Service::DynamoDb => dynamodb::call(self, call),
            Service::Eks => eks::call(self, call),
            Service::Ecs => ecs::call(self, call),
            Service::Kafka => kafka::call(self, call),
            Service::ApiGateway => apigateway::call(self, call),
            Service::Kubernetes => Err(ApiError::unsupported("kubernetes at the AWS endpoint")),
        }
    }

    /// The region whose control plane answers a call.
    pub fn home_of(&self, service: Service, region: &str) -> String {
        match service {
            Service::Route53 => self.settings.route53_control_plane_region.clone(),
            Service::Rds | Service::Sns | Service::Sqs | Service::Sts | Service::CloudWatch => region.to_owned(),
            Service::DynamoDb | Service::Eks | Service::Ecs | Service::Kafka | Service::Kubernetes => region.to_owned(),
            Service::ApiGateway => region.to_owned(),
        }
    }

    pub fn region_state(&self, region: &str) -> RegionState {
        self.regions.get(region).copied().unwrap_or(RegionState::Up)
    }

    pub fn is_alive(&self, region: &str) -> bool {
        self.region_state(region) != RegionState::Down
    }

    /// Whether a caller (in a region, or somewhere on the internet) reaches a region.
    pub fn reaches(&self, from: Option<&str>, to: &str) -> bool {
        let cut_off = |region: &str| self.region_state(region) == RegionState::Partitioned;
        let from_is_down = from.is_some_and(|from| !self.is_alive(from));
        let inside = from == Some(to);
        self.is_alive(to) && !from_is_down && (inside || !(cut_off(to) || from.is_some_and(cut_off)))
    }

    pub fn set_region(&mut self, region: &str, state: RegionState) -> bool {
        match self.regions.get_mut(region) {
            Some(slot) => *slot = state,
            None => return false,
        }
        match state {
            RegionState::Down => rds::data::cut_sessions(self, region),
            RegionState::Up | RegionState::Partitioned => self.timers.wake(region, self.now_ms),
        }
        self.replicate();
        true
    }

    /// Whatever crosses regions by itself comes as far as it can by now.
    pub fn replicate(&mut self) {
        rds::replication::replicate(self);
        dynamodb::replication::replicate(self);
    }

    /// A number that no earlier call got.
    pub fn next_number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// An identifier such as AWS gives out: unguessable, upper-case letters and digits.
    pub fn random_id(&mut self, length: usize) -> String {
        const LETTERS: [char; 32] = [
            'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P', 'Q', 'R', 'S', 'T', 'U',
            'V', 'W', 'X', 'Y', 'Z', '0', '1', '2', '3', '4', '5',
        ];
        (0..length).filter_map(|_| LETTERS.get(self.rng.random_range(0..LETTERS.len())).copied()).collect()
    }

    pub fn uuid(&mut self) -> String {
        let mut hex = crate::wire::digest::hex(&self.rng.random::<[u8; 16]>());
        for at in [20, 16, 12, 8] {
            hex.insert(at, '-');
        }
        hex
    }
}
