//! Nodes to values by the table of [`crate::fields`]. Everything that is wrong is reported; a value with anything wrong
//! in it is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::ids::StepId;
use mesh_core::manifest::Decimal;

use crate::diagnostic::Diagnostics;
use crate::fields::{Field, Kind, MANIFEST, Presence, Record};
use crate::node::{Data, Key, Node, Place};
use crate::suggest::nearest;

mod leaf;

use leaf::{described, example, quoted, scalar};

/// A value of the kind that the table names for it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Integer(u32),
    Boolean(bool),
    Decimal(Decimal),
    Duration(Duration),
    Word(&'static str),
    List(Vec<Value>),
    Regions(BTreeMap<String, Value>),
    Record(BTreeMap<&'static str, Value>),
}

/// The top level: one value for each key that could be read.
pub(crate) struct Values {
    pub top: BTreeMap<&'static str, Value>,
    /// For each list at the top level, its entries by their number in the file, as far as they could be read.
    pub lists: BTreeMap<&'static str, Vec<(usize, Value)>>,
    places: BTreeMap<String, Place>,
}

impl Values {
    pub fn places(&self) -> &BTreeMap<String, Place> {
        &self.places
    }
}

/// Words about the keys of a map.
struct Keys {
    noun: &'static str,
    described: &'static str,
    example: &'static str,
}

const REGION: Keys = Keys { noun: "region", described: "region name", example: "like us-east-1" };
const NAME: Keys = Keys { noun: "name", described: "name", example: "like maip-api" };

struct Reader<'a> {
    found: &'a mut Diagnostics,
    places: BTreeMap<String, Place>,
}

/// Reads the value of one field: its node, its place and its path.
type ReadField<'a, R> = dyn FnMut(&mut R, &'static Field, &Node, Place, &str) -> Option<Value> + 'a;

pub(crate) fn manifest(root: &Node, found: &mut Diagnostics) -> Values {
    let mut reader = Reader { found, places: BTreeMap::new() };
    let mut lists = BTreeMap::new();
    let mut each = |reader: &mut Reader<'_>, field: &'static Field, node: &Node, place: Place, path: &str| {
        match (field.kind, &node.data) {
            (Kind::List(of @ Kind::Record(_)), Data::List(items)) => {
                reader.places.insert(path.to_owned(), place);
                lists.insert(field.key, reader.items(of, items, path));
                None
            }
            // What could be read of it is enough for the rules about it.
            (Kind::Record(record), Data::Map(_)) => {
                reader.places.insert(path.to_owned(), place);
                reader.record(record, node, place, path).map(|read| Value::Record(read.values))
            }
            _ => reader.value(field.kind, node, place, path),
        }
    };
    let top = reader.record_with(&MANIFEST, root, root.place, "", &mut each);
    Values { top: top.unwrap_or_default().values, lists, places: reader.places }
}

/// A record as far as it could be read.
#[derive(Default)]
struct ReadRecord {
    values: BTreeMap<&'static str, Value>,
    complete: bool,
}

impl Reader<'_> {
    fn value(&mut self, kind: Kind, node: &Node, place: Place, path: &str) -> Option<Value> {
        self.places.insert(path.to_owned(), place);
        match (kind, &node.data) {
            (Kind::List(of), Data::List(items)) => {
                let read = self.items(of, items, path);
                (read.len() == items.len())
                    .then(|| Value::List(read.into_iter().map(|(_, value)| value).collect()))
                    .and_then(|list| self.without_doubles(of, list, items, path))
            }
            (Kind::Regions(of), Data::Map(entries)) => self.by_name(&REGION, of, entries, path),
            (Kind::Names(of), Data::Map(entries)) => self.by_name(&NAME, of, entries, path),
            (Kind::Record(record), Data::Map(_)) => {
                let read = self.record(record, node, place, path)?;
                read.complete.then_some(Value::Record(read.values))
            }
            (_, Data::Scalar { text, plain }) => match scalar(kind, text, *plain) {
                Ok(value) => Some(value),
                Err((message, hint)) => {
                    self.found.add(place, path, message, hint);
                    None
                }
            },
            (_, Data::List(_)) => self.wrong_type(kind, "a list", place, path),
            (_, Data::Map(_)) => self.wrong_type(kind, "a map", place, path),
        }
    }

    fn wrong_type(&mut self, kind: Kind, given: &str, place: Place, path: &str) -> Option<Value> {
        let message = format!("{given} stands here, {} is needed", described(kind));
        self.found.add(place, path, message, format!("like {}", example(kind)));
        None
    }

    fn items(&mut self, of: &Kind, items: &[Node], path: &str) -> Vec<(usize, Value)> {
        let mut read = Vec::new();
        for (i, item) in items.iter().enumerate() {
            if let Some(value) = self.value(*of, item, item.place, &format!("{path}[{i}]")) {
                read.push((i, value));
            }
        }
        read
    }

    /// Lists of words are sets: a doubled one is a slip.
    fn without_doubles(&mut self, of: &Kind, list: Value, items: &[Node], path: &str) -> Option<Value> {
        if !matches!(of, Kind::Name | Kind::Text) {
            return Some(list);
        }
        let mut seen = BTreeSet::new();
        let mut unique = true;
        for (i, item) in items.iter().enumerate() {
            if let Data::Scalar { text, .. } = &item.data
                && !seen.insert(text)
            {
                self.found.add(item.place, &format!("{path}[{i}]"), format!("{text:?} stands here twice"), "drop one");
                unique = false;
            }
        }
        unique.then_some(list)
    }

    fn by_name(&mut self, keys: &Keys, of: &Kind, entries: &[(Key, Node)], path: &str) -> Option<Value> {
        let mut regions = BTreeMap::new();
        let mut complete = true;
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for (key, node) in entries {
            let path = format!("{path}.{}", key.text);
            if let Some(first) = seen.get(key.text.as_str()) {
                self.found.add(key.place, &path, format!("this {} stands here twice", keys.noun), first_at(*first));
                complete = false;
                continue;
            }
            seen.insert(&key.text, key.place);
            if let Err(error) = StepId::new(key.text.as_str()) {
                self.found.add(key.place, &path, format!("no {}: it {}", keys.described, error.rule), keys.example);
                complete = false;
                continue;
            }
            match self.value(*of, node, place_of_value(key, node), &path) {
                Some(value) => {
                    regions.insert(key.text.clone(), value);
                }
                None => complete = false,
            }
        }
        complete.then_some(Value::Regions(regions))
    }

    fn record(&mut self, record: &Record, node: &Node, place: Place, path: &str) -> Option<ReadRecord> {
        self.record_with(record, node, place, path, &mut |reader, field, node, place, path| {
            reader.value(field.kind, node, place, path)
        })
    }

    /// Reads a record; `each` reads one field's value. `None` if the node is no map.
    fn record_with(
        &mut self,
        record: &Record,
        node: &Node,
        place: Place,
        path: &str,
        each: &mut ReadField<'_, Self>,
    ) -> Option<ReadRecord> {
        let Data::Map(entries) = &node.data else {
            self.found.add(place, path, "no keys stand here", "a manifest begins with `apiVersion: mesh/v1`");
            return None;
        };
        let mut read = ReadRecord { values: BTreeMap::new(), complete: true };
        let mut seen: BTreeMap<&'static str, Place> = BTreeMap::new();
        for (key, node) in entries {
            let path = joined(path, &key.text);
            let Some(field) = record.field(&key.text) else {
                self.unknown_key(record, key, &path);
                read.complete = false;
                continue;
            };
            if let Some(first) = seen.get(field.key) {
                self.found.add(key.place, &path, "this key stands here twice", first_at(*first));
                read.complete = false;
                continue;
            }
            seen.insert(field.key, key.place);
            match each(self, field, node, place_of_value(key, node), &path) {
                Some(value) => {
                    read.values.insert(field.key, value);
                }
                None => read.complete = false,
            }
        }
        read.complete &= self.keys_together(record, &seen, place, path);
        for field in record.fields.iter().filter(|field| !seen.contains_key(field.key)) {
            match field.presence {
                Presence::Required => {
                    let hint = format!("add `{}: {}`. {}", field.key, example(field.kind), field.doc);
                    self.found.add(place, &joined(path, field.key), "this key is missing", hint);
                    read.complete = false;
                }
                Presence::Optional => {}
                Presence::Default(text) => match scalar(field.kind, text, !text.is_empty()) {
                    Ok(value) => {
                        read.values.insert(field.key, value);
                    }
                    // Proven impossible by the test that reads every default of the table.
                    Err(_) => read.complete = false,
                },
            }
        }
        Some(read)
    }

    fn unknown_key(&mut self, record: &Record, key: &Key, path: &str) {
        if self.found.is_full() {
            return;
        }
        let known = record.fields.iter().map(|field| field.key);
        let hint = match nearest(&key.text, known.clone()) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.found.add(key.place, path, "this key is unknown", hint);
    }

    /// The rules about which keys of a record go together.
    fn keys_together(
        &mut self,
        record: &Record,
        seen: &BTreeMap<&'static str, Place>,
        place: Place,
        path: &str,
    ) -> bool {
        let mut good = true;
        let mut refuse = |place: Place, message: String, hint: String| {
            self.found.add(place, path, message, hint);
            good = false;
        };
        let given =
            |keys: &[&'static str]| keys.iter().copied().filter(|key| seen.contains_key(key)).collect::<Vec<_>>();
        let place_of = |key: &str| seen.get(key).copied().unwrap_or(place);
        if !record.one_of.is_empty() {
            match given(record.one_of).as_slice() {
                [_] => {}
                [] => {
                    refuse(place, format!("one of {} is needed", quoted(record.one_of)), "add exactly one".to_owned())
                }
                [_, second, ..] => {
                    refuse(
                        place_of(second),
                        format!("only one of {} may stand here", quoted(record.one_of)),
                        "keep one".to_owned(),
                    );
                }
            }
        }
        if let [_, second, ..] = given(record.at_most_one).as_slice() {
            let message = format!("only one of {} may stand here", quoted(record.at_most_one));
            refuse(place_of(second), message, "keep one".to_owned());
        }
        for (key, needed) in record.needs {
            if seen.contains_key(key) && !seen.contains_key(needed) {
                let kind = record.field(needed).map_or(String::new(), |field| example(field.kind));
                let hint = format!("add `{needed}: {kind}`, or drop `{key}`");
                refuse(place_of(key), format!("`{key}` needs `{needed}` beside it"), hint);
            }
        }
        good
    }
}

/// A collection is at its key, since its own begin is the next line; a scalar is where it stands.
fn place_of_value(key: &Key, node: &Node) -> Place {
    match &node.data {
        Data::Scalar { .. } => node.place,
        Data::List(_) | Data::Map(_) => key.place,
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn first_at(place: Place) -> String {
    format!("the first is in line {}", place.line)
}
