use std::collections::BTreeMap;

use super::{World, settings::Settings};
use crate::dynamodb::{self, TableKey};
use crate::rds::{self, InstanceKey};
use crate::{cloudwatch, ecs, eks, route53, sns};

/// What happens later by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    GroupsApplied { instance: InstanceKey, generation: u64 },
    Rebooted { instance: InstanceKey },
    Promoted { instance: InstanceKey },
    Modified { instance: InstanceKey },
    BackedUp { instance: InstanceKey },
    InSync { zone: String, change: String },
    ReplicaCopied { instance: InstanceKey },
    TableSettled { table: TableKey },
    ReplicaSettled { from: TableKey, table: TableKey },
    SampleMetrics,
    DeliverNotices,
    Eks(eks::Due),
    Ecs(ecs::Due),
}

impl Timer {
    /// The region without which it cannot happen.
    fn region(&self, settings: &Settings) -> Option<String> {
        match self {
            Self::GroupsApplied { instance, .. }
            | Self::Rebooted { instance }
            | Self::Promoted { instance }
            | Self::Modified { instance }
            | Self::BackedUp { instance }
            | Self::ReplicaCopied { instance } => Some(instance.region.clone()),
            Self::TableSettled { table } | Self::ReplicaSettled { table, .. } => Some(table.region.clone()),
            Self::Eks(due) => Some(due.cluster.region.clone()),
            Self::Ecs(due) => Some(due.service.region.clone()),
            Self::InSync { .. } => Some(settings.route53_control_plane_region.clone()),
            Self::SampleMetrics | Self::DeliverNotices => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Timers {
    due: BTreeMap<(u64, u64), Timer>,
    /// Those that came due in a dead region: they go on when it does.
    asleep: Vec<(String, Timer)>,
    count: u64,
}

impl Timers {
    pub fn set(&mut self, at_ms: u64, timer: Timer) {
        self.count += 1;
        self.due.insert((at_ms, self.count), timer);
    }

    pub fn wake(&mut self, region: &str, now_ms: u64) {
        let (awake, asleep) = std::mem::take(&mut self.asleep).into_iter().partition(|(of, _)| of == region);
        self.asleep = asleep;
        let awake: Vec<(String, Timer)> = awake;
        awake.into_iter().for_each(|(_, timer)| self.set(now_ms, timer));
    }

    fn pop(&mut self, now_ms: u64) -> Option<(u64, Timer)> {
        let entry = self.due.first_entry()?;
        let at = entry.key().0;
        (at <= now_ms).then(|| (at, entry.remove()))
    }
}

impl World {
    /// Lets everything happen that is due by now, in its order. Time never goes back.
    pub fn advance(&mut self, now_ms: u64) {
        while let Some((at, timer)) = self.timers.pop(now_ms) {
            self.now_ms = self.now_ms.max(at);
            self.replicate();
            match timer.region(&self.settings).filter(|region| !self.is_alive(region)) {
                Some(region) => self.timers.asleep.push((region, timer)),
                None => self.fire(timer),
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
        self.replicate();
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::GroupsApplied { instance, generation } => rds::change::groups_applied(self, &instance, generation),
            Timer::Rebooted { instance } => rds::change::rebooted(self, &instance),
            Timer::Promoted { instance } => rds::change::promoted(self, &instance),
            Timer::Modified { instance } => rds::change::modified(self, &instance),
            Timer::BackedUp { instance } => rds::change::backed_up(self, &instance),
            Timer::ReplicaCopied { instance } => rds::create::copied(self, &instance),
            Timer::TableSettled { table } => dynamodb::manage::settled(self, &table),
            Timer::ReplicaSettled { from, table } => dynamodb::replica::settled(self, &from, &table),
            Timer::InSync { zone, change } => route53::batch::in_sync(self, &zone, &change),
            Timer::SampleMetrics => cloudwatch::sample(self),
            Timer::DeliverNotices => sns::deliver(self),
            Timer::Eks(due) => eks::due(self, due),
            Timer::Ecs(due) => ecs::due(self, due),
        }
    }
}
