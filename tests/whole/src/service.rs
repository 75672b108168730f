//! The services that people apply and move: one database, one name, one notice.

use mesh_core::manifest::Manifest;

const YAML: &str = "\
apiVersion: mesh/v1
service: NAME
writer: single
regions: { us-east-1: primary, us-west-2: standby }
objectives: { rto: 15m, rpo: 30s }
checks:
  - name: api
    tcp:
      addresses: { us-east-1: 'NAME.east.example.com:443', us-west-2: 'NAME.west.example.com:443' }
    interval: 2s
    timeout: 1s
resources:
  - name: database
    rds:
      backup-retention-days: 7
      instances:
        us-east-1: { instance: NAME-east, security-groups: [sg-open], closed-security-group: sg-closed }
        us-west-2: { instance: NAME-west, security-groups: [sg-open], closed-security-group: sg-closed }
traffic:
  - name: www
    zone-id: ZWHOLE
    record: NAME.example.com
    active:
      us-east-1:
        - { type: A, ttl: 30s, values: [10.0.0.1] }
      us-west-2:
        - { type: A, ttl: 30s, values: [10.0.1.1] }
notices:
  - name: oncall
    sns:
      us-east-1: arn:aws:sns:us-east-1:123456789012:oncall.fifo
      us-west-2: arn:aws:sns:us-west-2:123456789012:oncall.fifo
";

pub fn manifest(name: &str) -> Manifest {
    mesh_manifest::parse(&YAML.replace("NAME", name), "whole.yaml").unwrap_or_else(|found| panic!("{found:?}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_manifest_is_good() {
        assert_eq!(super::manifest("shop").service.as_str(), "shop");
    }
}
