use super::super::value::{Item, Value};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Name(String),
    Index(usize),
}

/// A way into an item: an attribute, and perhaps further into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    pub top: String,
    pub rest: Vec<Step>,
}

impl Path {
    pub fn find<'a>(&self, item: &'a Item) -> Option<&'a Value> {
        self.rest.iter().try_fold(item.get(&self.top)?, |value, step| match (step, value) {
            (Step::Name(name), Value::Map(map)) => map.get(name),
            (Step::Index(at), Value::List(list)) => list.get(*at),
            _ => None,
        })
    }

    /// Puts the value there; false where the way does not lead anywhere.
    pub fn put(&self, item: &mut Item, value: Value) -> bool {
        let Some((last, before)) = self.rest.split_last() else {
            item.insert(self.top.clone(), value);
            return true;
        };
        match (last, self.walk(item, before)) {
            (Step::Name(name), Some(Value::Map(map))) => {
                map.insert(name.clone(), value);
                true
            }
            (Step::Index(at), Some(Value::List(list))) => {
                match list.get_mut(*at) {
                    Some(slot) => *slot = value,
                    None => list.push(value),
                }
                true
            }
            _ => false,
        }
    }

    /// Takes out what is there; false where the way does not lead anywhere.
    pub fn take(&self, item: &mut Item) -> bool {
        let Some((last, before)) = self.rest.split_last() else {
            item.remove(&self.top);
            return true;
        };
        match (last, self.walk(item, before)) {
            (Step::Name(name), Some(Value::Map(map))) => {
                map.remove(name);
                true
            }
            (Step::Index(at), Some(Value::List(list))) => {
                if *at < list.len() {
                    list.remove(*at);
                }
                true
            }
            _ => false,
        }
    }

    fn walk<'a>(&self, item: &'a mut Item, steps: &[Step]) -> Option<&'a mut Value> {
        steps.iter().try_fold(item.get_mut(&self.top)?, |value, step| match (step, value) {
            (Step::Name(name), Value::Map(map)) => map.get_mut(name),
            (Step::Index(at), Value::List(list)) => list.get_mut(*at),
            _ => None,
        })
    }

    /// Whether one is the other, or leads into it.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.top == other.top && self.rest.iter().zip(&other.rest).all(|(left, right)| left == right)
    }

    /// The order in which list elements are removed so that the others keep their places until then.
    pub fn last_index(&self) -> Option<usize> {
        match self.rest.last() {
            Some(Step::Index(at)) => Some(*at),
            Some(Step::Name(_)) | None => None,
        }
    }
}
