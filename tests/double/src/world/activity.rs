//! What the provider itself spent time on: promotion, reboot, propagation. It is the floor under any failover's duration.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Activity {
    pub resource: String,
    pub operation: String,
    pub started_ms: u64,
    pub ended_ms: Option<u64>,
}

/// Beyond this many the oldest are forgotten.
const ACTIVITIES_MAX: usize = 100_000;

#[derive(Debug, Default)]
pub struct Activities {
    all: Vec<Activity>,
}

impl Activities {
    pub fn start(&mut self, resource: impl Into<String>, operation: &str, now_ms: u64) {
        if self.all.len() >= ACTIVITIES_MAX {
            self.all.drain(..ACTIVITIES_MAX / 10);
        }
        self.all.push(Activity {
            resource: resource.into(),
            operation: operation.to_owned(),
            started_ms: now_ms,
            ended_ms: None,
        });
    }

    /// Ends the oldest open activity of this kind on the resource.
    pub fn end(&mut self, resource: &str, operation: &str, now_ms: u64) {
        let open = self
            .all
            .iter_mut()
            .find(|one| one.ended_ms.is_none() && one.resource == resource && one.operation == operation);
        if let Some(activity) = open {
            activity.ended_ms = Some(now_ms);
        }
    }

    pub fn all(&self) -> &[Activity] {
        &self.all
    }
}
