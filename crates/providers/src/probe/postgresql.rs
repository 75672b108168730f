//! A PostgreSQL server: does it answer, as what, and how far is it behind?

use std::time::Duration;

use mesh_core::manifest::PostgresInstance;

use super::trouble::Trouble;
use crate::ServerSeen;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresqlQuestion {
    pub instance: PostgresInstance,
    /// What it has to be; none: either will do.
    pub is_primary: Option<bool>,
    pub lag_max: Option<Duration>,
    pub lag_bytes_max: Option<u64>,
}

impl PostgresqlQuestion {
    pub(crate) fn answer(&self, seen: Result<ServerSeen, Trouble>) -> Result<Duration, Trouble> {
        let seen = seen?;
        self.judge(&seen).map_err(|reason| Trouble::Target(format!("{}: {reason}", self.instance.address())))?;
        Ok(seen.latency)
    }

    fn judge(&self, seen: &ServerSeen) -> Result<(), String> {
        let timeline = seen.timeline;
        match (self.is_primary, seen.in_recovery) {
            (Some(true), true) => {
                return Err(format!("it is in recovery (timeline {timeline}), where the primary belongs"));
            }
            (Some(false), false) => {
                return Err(format!("it is a primary (timeline {timeline}), where the service is not active"));
            }
            _ => {}
        }
        let Some(replica) = &seen.replica else {
            return Ok(());
        };
        // It stops to stream when the primary dies, and then it is needed. What it lacks by then is the loss gate's business.
        if !replica.streaming {
            return Ok(());
        }
        match (self.lag_max, replica.lag) {
            (Some(max), Some(lag)) if lag > max => {
                return Err(format!("it is {} ms behind, more than {} ms", lag.as_millis(), max.as_millis()));
            }
            _ => {}
        }
        match (self.lag_bytes_max, replica.lag_bytes) {
            (Some(max), Some(bytes)) if bytes > max => Err(format!("it is {bytes} bytes behind, more than {max}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use mesh_core::time::Timestamp;

    use super::*;
    use crate::ReplicaSeen;

    fn question(is_primary: Option<bool>, lag_max: Option<u64>, lag_bytes_max: Option<u64>) -> PostgresqlQuestion {
        let instance = PostgresInstance {
            host: "localhost".to_owned(),
            port: 5432,
            database: "postgres".to_owned(),
            user: "mesh".to_owned(),
            password_file: None,
            ca_file: None,
            data_directory: None,
        };
        PostgresqlQuestion { instance, is_primary, lag_max: lag_max.map(Duration::from_millis), lag_bytes_max }
    }

    fn replica(streaming: bool, lag_ms: u64, lag_bytes: u64) -> ServerSeen {
        let lag = streaming.then_some(Duration::from_millis(lag_ms));
        let lag_bytes = streaming.then_some(lag_bytes);
        let replica = ReplicaSeen { streaming, lag, lag_bytes, measured_at: Timestamp::default() };
        ServerSeen { in_recovery: true, timeline: 3, writable: false, replica: Some(replica), ..PRIMARY }
    }

    const PRIMARY: ServerSeen =
        ServerSeen { latency: Duration::ZERO, in_recovery: false, timeline: 4, writable: true, replica: None };

    #[test]
    fn the_role_is_wrong_where_it_is_not_what_the_region_is_for() {
        for (wanted, said, passes) in [
            (None, PRIMARY, true),
            (None, replica(true, 0, 0), true),
            (Some(true), PRIMARY, true),
            (Some(false), PRIMARY, false),
            (Some(true), replica(true, 0, 0), false),
            (Some(false), replica(true, 0, 0), true),
        ] {
            let judged = question(wanted, None, None).judge(&said);
            assert_eq!(judged.is_ok(), passes, "{wanted:?} {said:?} {judged:?}");
            assert!(judged.is_ok() || judged.is_err_and(|text| text.contains("timeline")));
        }
    }

    #[test]
    fn a_replica_too_far_behind_fails_and_one_whose_primary_died_does_not() {
        for (lag_max, bytes_max, said, passes) in [
            (Some(1000), None, replica(true, 1000, 0), true),
            (Some(1000), None, replica(true, 1001, 0), false),
            (None, Some(10), replica(true, 9_999, 10), true),
            (None, Some(10), replica(true, 0, 11), false),
            (Some(1000), Some(10), replica(false, 0, 0), true),
            (None, None, replica(false, 0, 0), true),
            (Some(1), Some(1), PRIMARY, true),
        ] {
            assert_eq!(
                question(None, lag_max, bytes_max).judge(&said).is_ok(),
                passes,
                "{lag_max:?} {bytes_max:?} {said:?}"
            );
        }
    }
}
