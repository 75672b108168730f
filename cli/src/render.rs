//! Text for people, as pure functions of what the mesh answered.

pub mod diff;
pub mod json;
pub mod plan;
pub mod progress;
pub mod replay;
pub mod report;
pub mod simulate;
pub mod status;
pub mod table;
pub mod text;
pub mod why;
