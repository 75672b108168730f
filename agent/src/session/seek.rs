//! Which coordinator to try next.

/// Hints followed in a row: two nodes that each name the other must not be asked for ever without a pause.
const HINTS_MAX: u32 = 3;

#[derive(Debug)]
pub struct Seeker {
    coordinators: Vec<String>,
    turn: usize,
    hint: Option<String>,
    hints: u32,
}

impl Seeker {
    pub const fn new(coordinators: Vec<String>) -> Self {
        Self { coordinators, turn: 0, hint: None, hints: 0 }
    }

    /// `None` without any coordinator.
    pub fn target(&mut self) -> Option<String> {
        let in_turn = self.coordinators.get(self.turn.checked_rem(self.coordinators.len())?);
        self.hint.take().or_else(|| in_turn.cloned())
    }

    /// The target does not lead. True if it named who does and that one is to be tried at once.
    pub fn redirect(&mut self, leader: Option<String>) -> bool {
        let Some(leader) = leader.filter(|leader| !leader.is_empty() && self.hints < HINTS_MAX) else {
            self.failed();
            return false;
        };
        self.hints = self.hints.saturating_add(1);
        // Where that is one of ours, the turn goes on from there.
        if let Some(turn) = self.coordinators.iter().position(|ours| *ours == leader) {
            self.turn = turn;
        }
        self.hint = Some(leader);
        true
    }

    pub fn failed(&mut self) {
        self.hints = 0;
        self.hint = None;
        self.turn = self.turn.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeker() -> Seeker {
        Seeker::new(vec!["a:1".to_owned(), "b:1".to_owned(), "c:1".to_owned()])
    }

    #[test]
    fn coordinators_are_tried_in_turn() {
        let mut seeker = seeker();
        let mut tried = Vec::new();
        for _ in 0..4 {
            tried.extend(seeker.target());
            seeker.failed();
        }
        assert_eq!(tried, ["a:1", "b:1", "c:1", "a:1"]);
    }

    #[test]
    fn a_hint_is_followed_at_once_even_to_an_unlisted_node() {
        let mut seeker = seeker();
        assert!(seeker.redirect(Some("d:1".to_owned())));
        assert_eq!(seeker.target().as_deref(), Some("d:1"));
    }

    #[test]
    fn nodes_that_point_at_each_other_are_not_followed_for_ever() {
        let mut seeker = seeker();
        let followed = (0..10).take_while(|_| seeker.redirect(Some("b:1".to_owned()))).count();
        assert_eq!(followed, HINTS_MAX as usize);
        assert_eq!(seeker.target().as_deref(), Some("c:1"), "the turn goes on after the last hint");
    }

    #[test]
    fn without_coordinators_there_is_no_target() {
        assert_eq!(Seeker::new(Vec::new()).target(), None);
    }
}
