use crate::error::ApiError;

/// A value on the wire. Maps keep their order and may repeat a key, as XML does.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Milliseconds since the epoch.
    Time(u64),
    /// The name is that of an item where the protocol needs one (XML).
    List(&'static str, Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub fn map() -> Self {
        Self::Map(Vec::new())
    }

    pub fn text(value: impl Into<String>) -> Self {
        Self::Text(value.into())
    }

    pub fn texts<T: Into<String>>(item: &'static str, values: impl IntoIterator<Item = T>) -> Self {
        Self::List(item, values.into_iter().map(|value| Self::Text(value.into())).collect())
    }

    pub fn with(mut self, key: &str, value: impl Into<Node>) -> Self {
        if let Self::Map(entries) = &mut self {
            entries.push((key.to_owned(), value.into()));
        }
        self
    }

    pub fn with_some<T: Into<Node>>(self, key: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Map(entries) => entries.iter().map(|(name, _)| name.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// The items of a list member, whichever protocol brought it: a JSON array, `<Name><item/></Name>`, `Name.item.1` or `Name.1`.
    pub fn list(&self, key: &str) -> Vec<&Node> {
        match self.get(key) {
            Some(Self::List(_, items)) => items.iter().collect(),
            Some(Self::Map(entries)) => entries
                .iter()
                .flat_map(|(_, value)| match value {
                    Self::List(_, items) => items.iter().collect::<Vec<_>>(),
                    other => vec![other],
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    pub fn str_list(&self, key: &str) -> Vec<String> {
        self.list(key).into_iter().filter_map(Node::as_string).collect()
    }

    pub fn as_string(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Float(number) => Some(number.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Null | Self::Time(_) | Self::List(..) | Self::Map(_) => None,
        }
    }

    pub fn str(&self, key: &str) -> Option<String> {
        self.get(key).and_then(Node::as_string)
    }

    pub fn need(&self, key: &str) -> Result<String, ApiError> {
        self.str(key)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| ApiError::bad("MissingParameter", format!("The request must contain the parameter {key}")))
    }

    pub fn int(&self, key: &str) -> Result<Option<i64>, ApiError> {
        let wrong = || ApiError::bad("InvalidParameterValue", format!("{key} must be an integer"));
        match self.get(key) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Int(number)) => Ok(Some(*number)),
            Some(Self::Text(text)) => text.trim().parse().map(Some).map_err(|_| wrong()),
            Some(_) => Err(wrong()),
        }
    }

    pub fn float(&self, key: &str) -> Result<Option<f64>, ApiError> {
        let wrong = || ApiError::bad("InvalidParameterValue", format!("{key} must be a number"));
        match self.get(key) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Float(number)) => Ok(Some(*number)),
            Some(Self::Int(number)) => number.to_string().parse().map(Some).map_err(|_| wrong()),
            Some(Self::Text(text)) => text.trim().parse().map(Some).map_err(|_| wrong()),
            Some(_) => Err(wrong()),
        }
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>, ApiError> {
        match self.get(key) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Bool(value)) => Ok(Some(*value)),
            Some(Self::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Self::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(ApiError::bad("InvalidParameterValue", format!("{key} must be true or false"))),
        }
    }

    /// A time in milliseconds: a CBOR tag, epoch seconds (JSON) or ISO 8601 (query and XML).
    pub fn time(&self, key: &str) -> Result<Option<u64>, ApiError> {
        let wrong = || ApiError::bad("InvalidParameterValue", format!("{key} must be a timestamp"));
        match self.get(key) {
            None | Some(Self::Null) => Ok(None),
            Some(Self::Time(at)) => Ok(Some(*at)),
            Some(Self::Int(seconds)) => {
                u64::try_from(*seconds).map(|s| Some(s.saturating_mul(1000))).map_err(|_| wrong())
            }
            Some(Self::Float(seconds)) => super::clock::from_seconds(*seconds).map(Some).ok_or_else(wrong),
            Some(Self::Text(text)) => super::clock::parse_iso(text).map(Some).ok_or_else(wrong),
            Some(_) => Err(wrong()),
        }
    }
}

impl From<String> for Node {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<&String> for Node {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&str> for Node {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Node {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Node {
    fn from(value: u32) -> Self {
        Self::Int(i64::from(value))
    }
}

impl From<usize> for Node {
    fn from(value: usize) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Node {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
