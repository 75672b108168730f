//! How items are told apart, and which of two versions of one stays.

use super::value::{Item, Value};
use super::{invalid, value};
use crate::error::ApiError;
use crate::wire::Node;

pub const BYTES_MAX: usize = 400 * 1024;
const HASH_BYTES_MAX: usize = 2048;
const RANGE_BYTES_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    pub name: String,
    /// `S`, `N` or `B`.
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    pub hash: KeyPart,
    pub range: Option<KeyPart>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey {
    pub hash: Value,
    pub range: Option<Value>,
}

/// The moment of a write. Of two writes to one item, in whichever regions, the later one stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub at_ms: u64,
    /// Tells apart what was written in one millisecond.
    pub number: u64,
}

/// None is an item that was deleted then.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub item: Option<Item>,
    pub version: Version,
}

impl Schema {
    pub fn parts(&self) -> impl Iterator<Item = &KeyPart> {
        std::iter::once(&self.hash).chain(self.range.as_ref())
    }

    pub fn is_key(&self, name: &str) -> bool {
        self.parts().any(|part| part.name == name)
    }

    /// The key of a whole item.
    pub fn key_of(&self, item: &Item) -> Result<ItemKey, ApiError> {
        self.take(item, |part, found| match found {
            None => format!("One or more parameter values were invalid: Missing the key {} in the item", part.name),
            Some(value) => format!(
                "One or more parameter values were invalid: Type mismatch for key {} expected: {} actual: {}",
                part.name,
                part.kind,
                value.kind()
            ),
        })
    }

    /// A key that stands alone: these attributes and no others.
    pub fn parse_key(&self, node: &Node) -> Result<ItemKey, ApiError> {
        let item = value::parse_item(node)?;
        let wrong = || "The provided key element does not match the schema".to_owned();
        if item.len() != self.parts().count() {
            return Err(invalid(wrong()));
        }
        self.take(&item, |_, _| wrong())
    }

    pub fn item_of(&self, key: &ItemKey) -> Item {
        let mut item = Item::from([(self.hash.name.clone(), key.hash.clone())]);
        if let (Some(part), Some(value)) = (&self.range, &key.range) {
            item.insert(part.name.clone(), value.clone());
        }
        item
    }

    fn take(&self, item: &Item, wrong: impl Fn(&KeyPart, Option<&Value>) -> String) -> Result<ItemKey, ApiError> {
        let take = |part: &KeyPart, most: usize| {
            let value = item.get(&part.name).filter(|value| value.kind() == part.kind);
            let value = value.cloned().ok_or_else(|| invalid(wrong(part, item.get(&part.name))))?;
            check_key(part, &value, most)?;
            Ok(value)
        };
        let hash = take(&self.hash, HASH_BYTES_MAX)?;
        let range = self.range.as_ref().map(|part| take(part, RANGE_BYTES_MAX)).transpose()?;
        Ok(ItemKey { hash, range })
    }
}

fn check_key(part: &KeyPart, value: &Value, most: usize) -> Result<(), ApiError> {
    if matches!(value, Value::Text(_) | Value::Bytes(_)) && value.size() == 0 {
        return Err(invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: {}",
            part.name
        )));
    }
    if value.size() > most {
        let which = if most == HASH_BYTES_MAX { "hashkey" } else { "rangekey" };
        return Err(invalid(format!(
            "One or more parameter values were invalid: Size of {which} has exceeded the maximum size limit of {most} bytes"
        )));
    }
    Ok(())
}
