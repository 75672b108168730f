//! How far apart the regions are, and what the manifest says.

use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_support::postgres::{MESH, Pair};

use super::{PRIMARY, STANDBY};

pub const SERVICE: &str = "orders";

/// Terms of a lease.
#[derive(Clone, Copy, Debug)]
pub struct Fast {
    pub sustained: Duration,
    pub lease: Duration,
    /// What no pause may exceed that stops every clock of an agent's machine.
    pub margin: Duration,
    /// Check interval, check timeout and longest request of the proxies here.
    pub reaction: Duration,
}

impl Default for Fast {
    fn default() -> Self {
        Self {
            sustained: Duration::from_secs(3),
            lease: Duration::from_secs(5),
            margin: Duration::from_secs(1),
            reaction: Duration::from_secs(1),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Setting {
    /// Between the first and the second region, the first and the third, the second and the third.
    pub round_trips: [Duration; 3],
    /// `full`, `off`, …
    pub automatic: &'static str,
    pub terms: Fast,
    /// Commits are really on the disk.
    pub fsync: bool,
}

impl Setting {
    pub(super) fn manifest(&self, primary: Ipv4Addr, standby: Ipv4Addr, pair: &Pair) -> String {
        let Fast { sustained, lease, margin, reaction } = self.terms;
        let ms = |time: Duration| format!("{}ms", time.as_millis());
        format!(
            "apiVersion: mesh/v1
service: {SERVICE}
writer: single
regions: {{ {PRIMARY}: primary, {STANDBY}: standby }}
objectives: {{ rto: 30s, rpo: 10s }}
checks:
  - name: server
    postgresql: {{ resource: database }}
    interval: 1s
    timeout: 500ms
    fail-after: 2
    pass-after: 2
resources:
  - name: database
    postgresql:
      instances:
        {PRIMARY}: {{ host: {primary}, user: {MESH}, data-directory: {} }}
        {STANDBY}: {{ host: {standby}, user: {MESH}, data-directory: {} }}
fence:
  - lease-endpoint: {{ reaction: {} }}
lease: {{ length: {}, margin: {} }}
policy:
  automatic: {}
  sustained: {}
  cool-down: 10m
  fence-timeout: 1m
",
            pair.primary.data.display(),
            pair.replica.data.display(),
            ms(reaction),
            ms(lease),
            ms(margin),
            self.automatic,
            ms(sustained),
        )
    }
}
