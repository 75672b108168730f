//! Which resource of one region belongs to which of the other? By name, without what only says the place or the role.

use std::collections::BTreeSet;

/// Words that tell two regions' copies of one thing apart.
const PLACES: [&str; 22] = [
    "dr",
    "standby",
    "secondary",
    "primary",
    "replica",
    "failover",
    "backup",
    "main",
    "active",
    "passive",
    "east",
    "west",
    "north",
    "south",
    "central",
    "us",
    "eu",
    "ap",
    "sa",
    "ca",
    "writer",
    "reader",
];

/// The words of a name that say what it is.
fn words(name: &str) -> Vec<String> {
    let split = name.split(|character: char| !character.is_ascii_alphanumeric());
    let words = split.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase);
    words.filter(|word| !PLACES.contains(&word.as_str()) && !is_region_code(word) && !is_number(word)).collect()
}

/// `use1`, `usw2`, `euc1`, `apne1`: an area, a direction, a number.
fn is_region_code(word: &str) -> bool {
    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let direction = ["us", "eu", "ap", "sa", "ca"].iter().find_map(|area| letters.strip_prefix(area));
    let is_direction = |rest: &str| (1..=2).contains(&rest.len()) && rest.bytes().all(|byte| b"nsewc".contains(&byte));
    letters.len() < word.len() && direction.is_some_and(is_direction)
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

/// 0 for nothing in common, 100 for the same thing.
pub fn score(one: &str, other: &str) -> u32 {
    let (one, other) = (words(one), words(other));
    if one == other {
        return if one.is_empty() { 0 } else { 100 };
    }
    let (one, other): (BTreeSet<_>, BTreeSet<_>) = (one.into_iter().collect(), other.into_iter().collect());
    let all = one.union(&other).count();
    let common = one.intersection(&other).count();
    u32::try_from(common * 100 / all.max(1)).unwrap_or(0)
}

/// Does the name belong to the service? All of the service's words are in it.
pub fn is_of(service: &str, name: &str) -> bool {
    let (service, name) = (words(service), words(name));
    !service.is_empty() && service.iter().all(|word| name.contains(word))
}

/// Least score of a pair.
const ALIKE: u32 = 50;

#[derive(Debug, PartialEq, Eq)]
pub struct Matches<'a> {
    /// Each of the first list with its one best partner of the second.
    pub pairs: Vec<(&'a str, &'a str)>,
    /// Those with no partner, or with several that are as good: a person must decide.
    pub unsure: Vec<(&'a str, Vec<&'a str>)>,
}

/// Pairs of the service; of everything when nothing has the service's name and there is one pair alone.
pub fn matches<'a>(service: &str, here: &[&'a str], there: &[&'a str]) -> Matches<'a> {
    let related: Vec<&str> = here.iter().copied().filter(|name| is_of(service, name)).collect();
    let candidates = if related.is_empty() { here.to_vec() } else { related.clone() };
    let (mut pairs, mut unsure) = (Vec::new(), Vec::new());
    for name in candidates {
        let best = there.iter().map(|other| score(name, other)).max().unwrap_or(0);
        let partners: Vec<&str> =
            there.iter().copied().filter(|other| best >= ALIKE && score(name, other) == best).collect();
        match partners.as_slice() {
            [one] => pairs.push((name, *one)),
            _ => unsure.push((name, partners)),
        }
    }
    // One partner for two is no partner.
    let doubled: BTreeSet<&str> = pairs
        .iter()
        .filter(|(_, partner)| pairs.iter().filter(|(_, other)| other == partner).count() > 1)
        .map(|(_, partner)| *partner)
        .collect();
    let (clear, shared): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(_, partner)| !doubled.contains(partner));
    unsure.extend(shared.into_iter().map(|(name, partner)| (name, vec![partner])));
    if related.is_empty() && clear.len() > 1 {
        unsure.extend(clear.into_iter().map(|(name, partner)| (name, vec![partner])));
        return Matches { pairs: Vec::new(), unsure };
    }
    Matches { pairs: clear, unsure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_their_places() {
        assert_eq!(score("maip-prod-kafka", "maip-prod-dr-kafka"), 100);
        assert_eq!(score("maip-prod-postgres", "maip-prod-postgres-replica"), 100);
        assert_eq!(score("orders-use1", "orders-usw2"), 100);
        assert!(score("orders-db", "billing-queue") < ALIKE);
        assert!(score("api1", "eus1") < ALIKE, "a name that looks like a region's code is none");
        assert_eq!(score("dr", "replica"), 0, "nothing is left to compare");
    }

    #[test]
    fn the_service_s_own_are_preferred() {
        let found = matches("maip", &["maip-prod-eks", "other-eks"], &["maip-prod-dr-eks", "other-dr-eks"]);
        assert_eq!(found.pairs, [("maip-prod-eks", "maip-prod-dr-eks")]);
        assert!(found.unsure.is_empty());
    }

    #[test]
    fn several_that_are_as_good_are_left_to_a_person() {
        let found = matches("maip", &["maip-kafka"], &["maip-dr-kafka", "maip-standby-kafka"]);
        assert!(found.pairs.is_empty());
        assert_eq!(found.unsure, [("maip-kafka", vec!["maip-dr-kafka", "maip-standby-kafka"])]);
    }

    #[test]
    fn two_with_one_partner_are_left_to_a_person() {
        let found = matches("maip", &["maip-kafka", "maip-kafka-1"], &["maip-dr-kafka"]);
        assert!(found.pairs.is_empty(), "{found:?}");
        assert_eq!(found.unsure.len(), 2);
    }

    #[test]
    fn without_the_service_s_name_one_pair_is_taken_and_several_are_not() {
        assert_eq!(matches("shop", &["kafka"], &["dr-kafka"]).pairs, [("kafka", "dr-kafka")]);
        let several = matches("shop", &["kafka", "queue"], &["dr-kafka", "dr-queue"]);
        assert!(several.pairs.is_empty());
        assert_eq!(several.unsure.len(), 2);
    }
}
