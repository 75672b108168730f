//! All zones with the names in them that carry an address, for a survey.

use std::collections::BTreeMap;

use mesh_core::survey::{NAMES_MAX, SETS_MAX, ZONES_MAX, Zone, ZoneName};
use tokio::time::Instant;

use super::{Route53, Start, convert};
use crate::aws::error::ReadError;
use crate::aws::lists::Listed;
use crate::route53::name::normal_name;

/// Pages of one zone: 100 record sets each.
const ZONE_PAGES_MAX: usize = 20;
/// Pages of the list of zones: 100 each.
const LIST_PAGES_MAX: usize = 4;

impl Route53 {
    /// Zones without their names, public ones first.
    pub(crate) async fn zones(&self) -> Result<Listed<Zone>, ReadError> {
        let mut zones = Vec::new();
        let mut marker = None;
        for _ in 0..LIST_PAGES_MAX {
            self.pace().await;
            let sent = self.client.list_hosted_zones().set_marker(marker).send().await;
            let output = sent.map_err(|error| ReadError::of("route53:ListHostedZones", &error))?;
            zones.extend(output.hosted_zones().iter().map(|zone| Zone {
                id: zone.id().trim_start_matches("/hostedzone/").to_owned(),
                name: normal_name(zone.name()),
                private: zone.config().is_some_and(|config| config.private_zone()),
                names: Vec::new(),
            }));
            marker = output.next_marker().filter(|_| output.is_truncated()).map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        zones.sort_by(|a, b| (a.private, &a.name, &a.id).cmp(&(b.private, &b.name, &b.id)));
        let more = marker.is_some() || zones.len() > ZONES_MAX;
        zones.truncate(ZONES_MAX);
        Ok(Listed { items: zones, more })
    }

    /// Reads the names of a zone until `deadline`.
    pub(crate) async fn names(&self, zone_id: &str, deadline: Instant) -> Result<Listed<ZoneName>, ReadError> {
        let mut names: BTreeMap<String, ZoneName> = BTreeMap::new();
        let mut from = None;
        let mut more = false;
        for _ in 0..ZONE_PAGES_MAX {
            let (sets, next) = self.page_from(zone_id, from).await?;
            for set in &sets {
                let Some(read) = convert::record_set(set) else { continue };
                let record = normal_name(set.name());
                if names.len() >= NAMES_MAX && !names.contains_key(&record) {
                    more = true;
                    continue;
                }
                let name = names.entry(record.clone()).or_insert_with(|| ZoneName { record, ..ZoneName::default() });
                match read {
                    Ok(set) if name.sets.len() < SETS_MAX => name.sets.push(set),
                    Err(why) if name.foreign.len() < SETS_MAX => name.foreign.push(why),
                    Ok(_) | Err(_) => more = true,
                }
            }
            from = next;
            if from.is_none() || Instant::now() >= deadline {
                break;
            }
        }
        Ok(Listed { items: names.into_values().collect(), more: more || from.is_some() })
    }

    async fn page_from(
        &self,
        zone_id: &str,
        from: Option<Start>,
    ) -> Result<(Vec<aws_sdk_route53::types::ResourceRecordSet>, Option<Start>), ReadError> {
        match from {
            Some(from) => self.page(zone_id, from).await,
            None => {
                self.pace().await;
                let sent = self.client.list_resource_record_sets().hosted_zone_id(zone_id).max_items(super::PAGE);
                let sent = sent.send().await;
                let output = sent.map_err(|error| ReadError::of("route53:ListResourceRecordSets", &error))?;
                let next = output.next_record_name.filter(|_| output.is_truncated).map(|name| Start {
                    name,
                    kind: output.next_record_type,
                    identifier: output.next_record_identifier,
                });
                Ok((output.resource_record_sets, next))
            }
        }
    }
}
