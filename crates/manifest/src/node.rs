//! The YAML tree with places. Made from parser events, so that doubled keys, aliases and tags are seen and refused;
//! without aliases, the tree cannot be larger than its text.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::Diagnostics;

/// Deepest nesting that is read. The deepest key of a manifest is at 8.
const DEPTH_MAX: usize = 32;

/// A line and a column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(span: Span) -> Self {
        Self { line: span.start.line().max(1), column: span.start.col().saturating_add(1) }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub place: Place,
    pub data: Data,
}

#[derive(Debug)]
pub(crate) enum Data {
    /// `plain`: written without quotes, so that it may be a number, a boolean or nothing.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub place: Place,
    pub text: String,
}

/// A collection that is not closed yet.
enum Open {
    List { place: Place, items: Vec<Node> },
    Map { place: Place, entries: Vec<(Key, Node)>, key: Option<Key> },
}

/// Reads exactly one document.
pub(crate) fn load(yaml: &str, found: &mut Diagnostics) -> Option<Node> {
    let mut stack: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(yaml) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let place =
                    Place { line: error.marker().line().max(1), column: error.marker().col().saturating_add(1) };
                found.add(place, "", format!("not YAML: {}", error.info()), "see the line and the one before it");
                return None;
            }
        };
        let place = Place::of(span);
        let refusal = match &event {
            Event::Scalar(_, _, anchor, tag) => refused_extras(*anchor, tag.is_some()),
            Event::SequenceStart(anchor, tag) | Event::MappingStart(anchor, tag) => {
                refused_extras(*anchor, tag.is_some())
            }
            Event::Alias(_) => Some(("an alias", "write the value out: aliases are not read")),
            Event::DocumentStart(_) if root.is_some() => Some(("a second document", "one file holds one service")),
            _ => None,
        };
        if let Some((what, hint)) = refusal {
            found.add(place, "", what, hint);
            return None;
        }
        let done = match event {
            Event::Scalar(text, style, _, _) => {
                let data = Data::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                Some(Node { place, data })
            }
            Event::SequenceStart(..) => {
                stack.push(Open::List { place, items: Vec::new() });
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map { place, entries: Vec::new(), key: None });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => stack.pop().map(close),
            _ => None,
        };
        if stack.len() > DEPTH_MAX {
            found.add(place, "", format!("nested deeper than {DEPTH_MAX}"), "no key of a manifest is so deep");
            return None;
        }
        let Some(node) = done else { continue };
        match attach(&mut stack, node) {
            Ok(top) => root = top.or(root),
            Err(place) => {
                found.add(place, "", "a key that is a list or a map", "keys are plain words");
                return None;
            }
        }
    }
    if root.is_none() {
        found.add(Place::START, "", "the file is empty", "begin with `apiVersion: mesh/v1`");
    }
    root
}

fn refused_extras(anchor: usize, tagged: bool) -> Option<(&'static str, &'static str)> {
    match (anchor, tagged) {
        (_, true) => Some(("a tag", "drop it: the type follows from the key")),
        (0, false) => None,
        (_, false) => Some(("an anchor", "drop it: anchors and aliases are not read")),
    }
}

fn close(open: Open) -> Node {
    match open {
        Open::List { place, items } => Node { place, data: Data::List(items) },
        Open::Map { place, entries, key: _ } => Node { place, data: Data::Map(entries) },
    }
}

/// Puts a finished node where it belongs: the root if nothing is open. Refuses a collection as key.
fn attach(stack: &mut [Open], node: Node) -> Result<Option<Node>, Place> {
    match stack.last_mut() {
        None => return Ok(Some(node)),
        Some(Open::List { items, .. }) => items.push(node),
        Some(Open::Map { entries, key, .. }) => match (key.take(), node.data) {
            (Some(key), data) => entries.push((key, Node { place: node.place, data })),
            (None, Data::Scalar { text, .. }) => *key = Some(Key { place: node.place, text }),
            (None, Data::List(_) | Data::Map(_)) => return Err(node.place),
        },
    }
    Ok(None)
}
