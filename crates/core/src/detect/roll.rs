//! A roll call: many names that come in order, looked up in a map that has them in the same order.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;

/// With fewer entries between two names than this it is quicker to walk than to search.
const WALK_MAX: usize = 8;

/// Finds ascending keys. All of them together cost one walk through the map at most; few of them, a search each.
pub struct Roll<'m, K, V> {
    map: &'m BTreeMap<K, V>,
    rest: Range<'m, K, V>,
    next: Option<(&'m K, &'m V)>,
}

impl<'m, K: Ord, V> Roll<'m, K, V> {
    pub fn of(map: &'m BTreeMap<K, V>) -> Self {
        let mut rest = map.range::<K, _>(..);
        let next = rest.next();
        Self { map, rest, next }
    }

    /// A key that is not after the last one is found all the same, by a search.
    pub fn find(&mut self, key: &K) -> Option<&'m V> {
        for _ in 0..WALK_MAX {
            let Some((known, value)) = self.next else { return self.map.get(key) };
            match known.cmp(key) {
                std::cmp::Ordering::Less => self.next = self.rest.next(),
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Greater => return self.map.get(key),
            }
        }
        self.rest = self.map.range(key..);
        self.next = self.rest.next();
        self.next.filter(|(known, _)| *known == key).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::cmp::Ordering;

    use super::*;

    thread_local! {
        static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    /// Counts how often it is compared.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Name(u32);

    impl Ord for Name {
        fn cmp(&self, other: &Self) -> Ordering {
            COMPARED.with(|compared| compared.set(compared.get() + 1));
            self.0.cmp(&other.0)
        }
    }

    impl PartialOrd for Name {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    fn map(size: u32) -> BTreeMap<Name, u32> {
        (0..size).map(|n| (Name(2 * n), n)).collect()
    }

    fn compared(look: impl FnOnce()) -> usize {
        COMPARED.with(|compared| compared.set(0));
        look();
        COMPARED.with(Cell::get)
    }

    #[test]
    fn every_name_is_found_as_a_search_would_find_it() {
        let map = map(500);
        for step in [1, 2, 3, 7, 40, 300] {
            let mut roll = Roll::of(&map);
            for key in (0..1_003).step_by(step).map(Name) {
                assert_eq!(roll.find(&key), map.get(&key), "{key:?} in steps of {step}");
            }
        }
        let mut roll = Roll::of(&map);
        for key in [9, 8, 998, 4, 1_200, 6, 6].map(Name) {
            assert_eq!(roll.find(&key), map.get(&key), "{key:?} out of order");
        }
    }

    #[test]
    fn a_whole_roll_costs_a_few_comparisons_a_name_whatever_the_size() {
        let of = |size: u32| {
            let map = map(size);
            compared(|| {
                let mut roll = Roll::of(&map);
                assert!((0..size).all(|n| roll.find(&Name(2 * n)) == Some(&n)));
            })
        };
        assert!(of(10_000) < 3 * 10_000 && of(100) < 3 * 100, "{} and {}", of(10_000), of(100));
    }

    #[test]
    fn a_few_names_do_not_walk_through_all() {
        let map = map(10_000);
        let few = compared(|| {
            let mut roll = Roll::of(&map);
            assert!([5, 4_000, 9_000].into_iter().all(|n| roll.find(&Name(2 * n)) == Some(&n)));
        });
        assert!(few < 300, "{few}");
    }
}
