//! How much a message may hold. Texts that the core composes out of others have a larger bound than those, so that
//! what was accepted once can always be stored and read again.

use std::time::Duration;

/// A text that somebody gives: a URL, a description, a reason.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;
/// A text that the core composes: a title, a line of the timeline, a notice with `{region}` filled in.
pub const COMPOSED_BYTES_MAX: usize = 64 * 1024;
/// A JSON document that shows what a provider answered. 64 steps of these fit into one gRPC message.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024;
/// A manifest's source.
pub const SOURCE_BYTES_MAX: usize = 1024 * 1024;
/// Members of one list or map that people declare.
pub const LIST_LEN_MAX: usize = 256;
/// Entries of a list that grows while a run goes on; its own bounds in the core are far below.
pub const HISTORY_LEN_MAX: usize = 4096;
/// A declared duration. Beyond it, adding one to a clock could overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The beginning of `text` that fits `bytes_max`, whole characters only.
pub fn clip(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}
