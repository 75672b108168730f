//! Hosted zone ids of load balancers, which an alias record has to name. AWS publishes them: "Elastic Load Balancing
//! endpoints and quotas", AWS General Reference. The common regions are kept here; for others nothing is concluded.

/// Region, zone of Application and Classic Load Balancers, zone of Network Load Balancers.
const ZONES: [(&str, &str, &str); 22] = [
    ("us-east-1", "Z35SXDOTRQ7X7K", "Z26RNL4JYFTOTI"),
    ("us-east-2", "Z3AADJGX6KTTL2", "ZLMOA37VPKANP"),
    ("us-west-1", "Z368ELLRRE2KJ0", "Z24FKFUX50B4VW"),
    ("us-west-2", "Z1H1FL5HABSF5", "Z18D5FSROUN65G"),
    ("af-south-1", "Z268VQBMOI5EKX", "Z203XCE67M25HM"),
    ("ap-east-1", "Z3DQVH9N71FHZ0", "Z12Y7K3UBGUAD1"),
    ("ap-northeast-1", "Z14GRHDCWA56QT", "Z31USIVHYNEOWT"),
    ("ap-northeast-2", "ZWKZPGTI48KDX", "ZIBE1TIR4HY56"),
    ("ap-northeast-3", "Z5LXEXXYW11ES", "Z1GWIQ4HH19I5X"),
    ("ap-south-1", "ZP97RAFLXTNZK", "ZVDDRBQ08TROA"),
    ("ap-southeast-1", "Z1LMS91P8CMLE5", "ZKVM4W9LS7TM"),
    ("ap-southeast-2", "Z1GM3OXH4ZPM65", "ZCT6FZBF4DROD"),
    ("ca-central-1", "ZQSVJUPU6J1EY", "Z2EPGBW3API2WT"),
    ("eu-central-1", "Z215JYRZR1TBD5", "Z3F0SRJ5LGBH90"),
    ("eu-north-1", "Z23TAZ6LKFMNIO", "Z1UDT6IFJ4EJM"),
    ("eu-south-1", "Z3ULH7SSC9OV64", "Z23146JA1KNAFP"),
    ("eu-west-1", "Z32O12XQLNTSW2", "Z2IFOLAFXWLO4F"),
    ("eu-west-2", "ZHURV8PSTC4K8", "ZD4D7Y8KGAS4G"),
    ("eu-west-3", "Z3Q77PNBQS71R4", "Z1CMS0P5QUZ6D5"),
    ("me-south-1", "ZS929ML54UICD", "Z3QSRYVP46NYYV"),
    ("sa-east-1", "Z2P70J7HTTTPLU", "ZTK26PT1VY4CU"),
    ("us-gov-west-1", "Z33AYJ8TM3BH4J", "ZMG1MZ2THAWF1"),
];

/// Region of a load balancer by its DNS name: `NAME.REGION.elb.amazonaws.com`, of a Network Load Balancer
/// `NAME.elb.REGION.amazonaws.com`; and whether it is a Network Load Balancer.
fn place(dns_name: &str) -> Option<(&str, bool)> {
    let bare = dns_name.trim_end_matches('.');
    if let Some(front) = bare.strip_suffix(".elb.amazonaws.com") {
        return front.rsplit_once('.').map(|(_, region)| (region, false));
    }
    let front = bare.strip_suffix(".amazonaws.com")?;
    let (name, region) = front.rsplit_once('.')?;
    name.ends_with(".elb").then_some((region, true))
}

/// The region that a load balancer's DNS name says.
pub fn region_of(dns_name: &str) -> Option<&str> {
    place(dns_name).map(|(region, _)| region)
}

/// The hosted zone id that an alias to this load balancer has to name. `None`: no load balancer's name, or of a region
/// that is not kept here.
pub fn zone_of(dns_name: &str) -> Option<&'static str> {
    let (region, is_network) = place(dns_name)?;
    let found = ZONES.iter().find(|(name, _, _)| *name == region)?;
    Some(if is_network { found.2 } else { found.1 })
}

/// Zone of Application Load Balancers of a region.
pub fn application_zone(region: &str) -> Option<&'static str> {
    ZONES.iter().find(|(name, _, _)| *name == region).map(|(_, zone, _)| *zone)
}

/// The region whose load balancers have this zone.
pub fn region_of_zone(zone_id: &str) -> Option<&'static str> {
    ZONES.iter().find(|(_, one, other)| *one == zone_id || *other == zone_id).map(|(region, _, _)| *region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_follows_from_the_load_balancer_s_own_name() {
        assert_eq!(zone_of("maip-prod-alb.us-east-1.elb.amazonaws.com"), Some("Z35SXDOTRQ7X7K"));
        assert_eq!(zone_of("maip-prod-dr-alb.us-west-2.elb.amazonaws.com."), Some("Z1H1FL5HABSF5"));
        assert_eq!(zone_of("net-1a2b.elb.us-west-2.amazonaws.com"), Some("Z18D5FSROUN65G"));
        for other in ["d111.cloudfront.net", "elb.amazonaws.com", "x.mars-1.elb.amazonaws.com", ""] {
            assert_eq!(zone_of(other), None, "{other}");
        }
        assert_eq!(region_of("x.mars-1.elb.amazonaws.com"), Some("mars-1"));
    }

    #[test]
    fn a_zone_names_its_region() {
        assert_eq!(region_of_zone("Z35SXDOTRQ7X7K"), Some("us-east-1"));
        assert_eq!(region_of_zone("Z18D5FSROUN65G"), Some("us-west-2"));
        assert_eq!(region_of_zone("ZMAIP0000000000"), None);
    }

    #[test]
    fn no_zone_stands_for_two_regions() {
        let mut all: Vec<&str> = ZONES.iter().flat_map(|(_, one, other)| [*one, *other]).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 2 * ZONES.len());
    }
}
