//! What there is in a region, list by list, for a survey. Each list is bounded; `more` says that it was cut.

pub(crate) mod dynamodb;
pub(crate) mod ecs;
pub(crate) mod eks;
pub(crate) mod kafka;
pub(crate) mod rds;
pub(crate) mod sns;
pub(crate) mod sts;

/// Pages of one list: what does not fit them does not fit an answer either.
const PAGES_MAX: usize = 16;
/// Things described at the same time.
const AT_ONCE: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed<T> {
    pub items: Vec<T>,
    pub more: bool,
}

impl<T> Listed<T> {
    fn new() -> Self {
        Self { items: Vec::new(), more: false }
    }

    /// Takes a page; true when nothing more is wanted.
    fn take(&mut self, page: impl IntoIterator<Item = T>, max: usize, last: bool) -> bool {
        self.items.extend(page);
        self.more = self.items.len() > max || (self.items.len() == max && !last);
        self.items.truncate(max);
        last || self.more
    }
}

fn next(token: Option<&str>) -> Option<String> {
    token.filter(|token| !token.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_cut_says_so() {
        let mut listed = Listed::new();
        assert!(!listed.take([1, 2], 4, false));
        assert!(listed.take([3, 4, 5], 4, true));
        assert_eq!(listed, Listed { items: vec![1, 2, 3, 4], more: true });
        let mut whole = Listed::new();
        assert!(whole.take([1, 2], 2, true));
        assert!(!whole.more);
    }
}
