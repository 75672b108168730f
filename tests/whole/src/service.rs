//! The services that people apply, which are only watched, and the one that is moved: a database with a fence, a name and a
//! notice.

use std::time::Duration;

use mesh_core::manifest::Manifest;

pub const MOVED: &str = "shop";
pub const RECORD: &str = "shop.example.com";

const WATCHED: &str = "\
apiVersion: mesh/v1
service: NAME
writer: multi
regions: { us-east-1: primary, us-west-2: standby }
objectives: { rto: 15m, rpo: 30s }
checks:
  - name: api
    tcp:
      addresses: { us-east-1: 'NAME.east.example.com:443', us-west-2: 'NAME.west.example.com:443' }
    interval: 10s
    timeout: 1s
traffic:
  - name: www
    zone-id: ZWHOLE
    record: NAME.example.com
    active:
      us-east-1:
        - { type: A, ttl: 30s, values: [10.0.0.1] }
      us-west-2:
        - { type: A, ttl: 30s, values: [10.0.1.1] }
";

const MOVES: &str = "\
apiVersion: mesh/v1
service: shop
writer: single
regions: { us-east-1: primary, us-west-2: standby }
objectives: { rto: 5m, rpo: 5s }
checks:
  - name: api
    tcp:
      addresses: { us-east-1: 'shop.east.example.com:443', us-west-2: 'shop.west.example.com:443' }
    interval: 1s
    timeout: 500ms
resources:
  - name: database
    postgresql:
      instances:
        us-east-1: { host: pg.us-east-1.example.com, user: mesh, data-directory: /pg, tls: { ca-file: ca.pem } }
        us-west-2: { host: pg.us-west-2.example.com, user: mesh, data-directory: /pg, tls: { ca-file: ca.pem } }
traffic:
  - name: www
    zone-id: ZWHOLE
    record: shop.example.com
    active:
      us-east-1:
        - { type: A, ttl: 30s, values: [10.0.0.1, 10.0.0.2] }
      us-west-2:
        - { type: A, ttl: 30s, values: [10.0.1.1, 10.0.1.2] }
notices:
  - name: oncall
    sns:
      us-east-1: arn:aws:sns:us-east-1:123456789012:oncall.fifo
      us-west-2: arn:aws:sns:us-west-2:123456789012:oncall.fifo
fence:
  - lease-endpoint: { reaction: 1s }
lease: { length: 5s, margin: 1s }
policy:
  loss: accept
  fence-timeout: 15s
  catch-up-timeout: 15s
  promote-timeout: 20s
  traffic-timeout: 40s
  notice-timeout: 40s
";

/// What is added to the policy of a service that nobody moves but the mesh itself. It is armed for one move: the cool-down is
/// an hour.
const BY_ITSELF: &str = "  automatic: full\n  sustained: 2s\n";
pub const SUSTAINED: Duration = Duration::from_secs(2);

/// Beside the moved one, any name is one of a service that is watched. `automatic`: the moved one moves by itself.
pub fn manifest(name: &str, automatic: bool) -> Manifest {
    let yaml = match name == MOVED {
        true if automatic => format!("{MOVES}{BY_ITSELF}"),
        true => MOVES.to_owned(),
        false => WATCHED.replace("NAME", name),
    };
    mesh_manifest::parse(&yaml, "whole.yaml").unwrap_or_else(|found| panic!("{found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_are_good() {
        for name in [MOVED, "ann-1"] {
            assert_eq!(manifest(name, false).service.as_str(), name);
        }
        assert_eq!(manifest(MOVED, true).policy.sustained, SUSTAINED);
    }
}
