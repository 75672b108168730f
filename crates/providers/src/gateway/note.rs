//! The former limits, in a variable of the stage: what a close of an earlier run changed is known to whoever opens it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::aws::apigateway::Limits;

/// Name of the variable. Letters, digits and underscores are allowed in it.
pub(super) const NOTE: &str = "mesh_fence";
/// Longest value that is written.
const NOTE_MAX: usize = 2048;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Of the run that closed the stage.
    #[serde(rename = "g")]
    pub generation: u64,
    /// None if it was closed before.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Limits>,
    /// Of the routes that had settings of their own and were not closed before.
    #[serde(rename = "r", default, skip_serializing_if = "BTreeMap::is_empty")]
    pub routes: BTreeMap<String, Limits>,
}

impl Note {
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("the stage's variable {NOTE} is not what the mesh writes; find out whose it is, and take it away")
        };
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        serde_json::from_slice(&json).map_err(|_| wrong())
    }

    /// In the letters that a variable's value may have.
    pub(super) fn write(&self) -> Result<String, String> {
        let json = serde_json::to_vec(self).map_err(|error| format!("the limits cannot be written down: {error}"))?;
        let text = URL_SAFE_NO_PAD.encode(json);
        match text.len() <= NOTE_MAX {
            true => Ok(text),
            false => Err(format!(
                "{} routes have settings of their own, more than a variable of the stage can note; close it by a `hook`",
                self.routes.len()
            )),
        }
    }
}
