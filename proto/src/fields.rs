//! Decoding of single fields: every helper names the message and the field that it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_core::ids::{Hash32, NameError};
use mesh_core::time::Timestamp;

use crate::bounds::{DURATION_MAX, LIST_LEN_MAX, TEXT_BYTES_MAX};
use crate::error::DecodeError;

pub(crate) type Decoded<T> = Result<T, DecodeError>;

/// The message that is being decoded.
#[derive(Clone, Copy)]
pub(crate) struct Fields(pub &'static str);

impl Fields {
    pub fn refuse(self, field: &str, reason: impl Into<String>) -> DecodeError {
        DecodeError::new(self.0, field, reason)
    }

    pub fn text(self, field: &str, given: String) -> Decoded<String> {
        self.text_max(field, given, TEXT_BYTES_MAX)
    }

    pub fn text_max(self, field: &str, given: String, bytes_max: usize) -> Decoded<String> {
        if given.len() > bytes_max {
            return Err(self.refuse(field, format!("has {} bytes, at most {bytes_max} are accepted", given.len())));
        }
        Ok(given)
    }

    pub fn text_optional(self, field: &str, given: Option<String>) -> Decoded<Option<String>> {
        given.map(|text| self.text(field, text)).transpose()
    }

    pub fn texts(self, field: &str, given: Vec<String>) -> Decoded<Vec<String>> {
        self.len(field, given.len(), LIST_LEN_MAX)?;
        given.into_iter().map(|text| self.text(field, text)).collect()
    }

    pub fn text_set(self, field: &str, given: Vec<String>) -> Decoded<BTreeSet<String>> {
        self.set(field, self.texts(field, given)?)
    }

    pub fn name<T: TryFrom<String, Error = NameError>>(self, field: &str, given: String) -> Decoded<T> {
        T::try_from(given).map_err(|e| self.refuse(field, e.to_string()))
    }

    pub fn name_optional<T: TryFrom<String, Error = NameError>>(
        self,
        field: &str,
        given: Option<String>,
    ) -> Decoded<Option<T>> {
        given.map(|name| self.name(field, name)).transpose()
    }

    pub fn names<T: TryFrom<String, Error = NameError>>(self, field: &str, given: Vec<String>) -> Decoded<Vec<T>> {
        self.len(field, given.len(), LIST_LEN_MAX)?;
        given.into_iter().map(|name| self.name(field, name)).collect()
    }

    pub fn name_set<T: TryFrom<String, Error = NameError> + Ord>(
        self,
        field: &str,
        given: Vec<String>,
    ) -> Decoded<BTreeSet<T>> {
        self.set(field, self.names(field, given)?)
    }

    fn set<T: Ord>(self, field: &str, given: Vec<T>) -> Decoded<BTreeSet<T>> {
        let len = given.len();
        let set: BTreeSet<T> = given.into_iter().collect();
        if set.len() == len { Ok(set) } else { Err(self.refuse(field, "holds a member twice")) }
    }

    pub fn len(self, field: &str, len: usize, len_max: usize) -> Decoded<()> {
        if len > len_max {
            return Err(self.refuse(field, format!("has {len} entries, at most {len_max} are accepted")));
        }
        Ok(())
    }

    pub fn required<T>(self, field: &str, given: Option<T>) -> Decoded<T> {
        given.ok_or_else(|| self.refuse(field, "is missing"))
    }

    pub fn message<W, C: TryFrom<W, Error = DecodeError>>(self, field: &str, given: Option<W>) -> Decoded<C> {
        self.nested(field, self.required(field, given)?)
    }

    pub fn optional<W, C: TryFrom<W, Error = DecodeError>>(self, field: &str, given: Option<W>) -> Decoded<Option<C>> {
        given.map(|message| self.nested(field, message)).transpose()
    }

    pub fn nested<W, C: TryFrom<W, Error = DecodeError>>(self, field: &str, given: W) -> Decoded<C> {
        C::try_from(given).map_err(|e| e.within(self.0, field))
    }

    pub fn list<W, C: TryFrom<W, Error = DecodeError>>(self, field: &str, given: Vec<W>) -> Decoded<Vec<C>> {
        self.list_max(field, given, LIST_LEN_MAX)
    }

    pub fn list_max<W, C: TryFrom<W, Error = DecodeError>>(
        self,
        field: &str,
        given: Vec<W>,
        len_max: usize,
    ) -> Decoded<Vec<C>> {
        self.len(field, given.len(), len_max)?;
        let member = |(i, message)| self.nested(&format!("{field}[{i}]"), message);
        given.into_iter().enumerate().map(member).collect()
    }

    /// A map by name. `value` decodes one member and gets its path.
    pub fn map<K, W, C>(
        self,
        field: &str,
        given: BTreeMap<String, W>,
        value: impl Fn(&str, W) -> Decoded<C>,
    ) -> Decoded<BTreeMap<K, C>>
    where
        K: TryFrom<String, Error = NameError> + Ord,
    {
        self.len(field, given.len(), LIST_LEN_MAX)?;
        let member = |(key, wire): (String, W)| {
            let path = format!("{field}.{key}");
            let key = self.name(field, key)?;
            Ok((key, value(&path, wire)?))
        };
        given.into_iter().map(member).collect()
    }

    pub fn text_map<K>(self, field: &str, given: BTreeMap<String, String>) -> Decoded<BTreeMap<K, String>>
    where
        K: TryFrom<String, Error = NameError> + Ord,
    {
        self.map(field, given, |path, text| self.text(path, text))
    }

    pub fn counts(self, field: &str, given: BTreeMap<String, u32>) -> Decoded<BTreeMap<String, u32>> {
        self.len(field, given.len(), LIST_LEN_MAX)?;
        given.into_iter().map(|(key, count)| Ok((self.text(field, key)?, count))).collect()
    }

    /// An enum as it stands in a message; unspecified and unknown numbers are refused.
    pub fn enumeration<W, C>(self, field: &str, given: i32) -> Decoded<C>
    where
        W: TryFrom<i32>,
        C: TryFrom<W, Error = DecodeError>,
    {
        let wire = W::try_from(given).map_err(|_| self.refuse(field, format!("has the unknown value {given}")))?;
        self.nested(field, wire)
    }

    /// A duration that somebody declared.
    pub fn duration(self, field: &str, millis: u64) -> Decoded<Duration> {
        let duration = Duration::from_millis(millis);
        if duration > DURATION_MAX {
            return Err(self.refuse(field, format!("is {millis} ms, longer than 366 days")));
        }
        Ok(duration)
    }

    pub fn hash(self, field: &str, given: &[u8]) -> Decoded<Hash32> {
        Ok(Hash32(self.bytes(field, given)?))
    }

    pub fn bytes<const N: usize>(self, field: &str, given: &[u8]) -> Decoded<[u8; N]> {
        let wrong = || self.refuse(field, format!("has {} bytes, {N} are needed", given.len()));
        given.try_into().map_err(|_| wrong())
    }

    pub fn status(self, field: &str, given: u32) -> Decoded<u16> {
        let wrong = || self.refuse(field, format!("{given} is no HTTP status (100 to 599)"));
        u16::try_from(given).ok().filter(|status| (100..=599).contains(status)).ok_or_else(wrong)
    }
}

pub(crate) fn timestamp(millis: u64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(crate) fn strings<'a, T: ToString + 'a>(names: impl IntoIterator<Item = &'a T>) -> Vec<String> {
    names.into_iter().map(ToString::to_string).collect()
}

pub(crate) fn by_name<'a, K: ToString, C, W>(
    map: &'a BTreeMap<K, C>,
    value: impl Fn(&'a C) -> W,
) -> BTreeMap<String, W> {
    map.iter().map(|(key, member)| (key.to_string(), value(member))).collect()
}
