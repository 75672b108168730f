//! Manifests: YAML in, [`mesh_core::manifest::Manifest`] out, or everything that is wrong with it, each with its place.
//!
//! One table ([`fields`]) says which keys there are and what stands in them. The reader and the JSON Schema both come
//! from it, so they cannot disagree. Rules about several keys at once are [`mesh_core::manifest::check`]'s; here their
//! problems get a line and a column.

mod build;
mod diagnostic;
pub mod fields;
mod node;
mod read;
mod scalar;
mod schema;
mod suggest;

use mesh_core::manifest::Manifest;

pub use diagnostic::Diagnostic;
pub use schema::json_schema;

use diagnostic::Diagnostics;

/// Largest manifest that is read: what the coordinators keep, so that nothing is valid here and refused there.
pub const MANIFEST_BYTES_MAX: usize = mesh_core::manifest::check::SOURCE_BYTES_MAX;

/// Reads one manifest. `file_name` is for the diagnostics only.
///
/// # Errors
/// Everything that is wrong, by position; of a text that is no YAML, the first thing.
pub fn parse(yaml: &str, file_name: &str) -> Result<Manifest, Vec<Diagnostic>> {
    let mut found = Diagnostics::new(file_name);
    let manifest = read_all(yaml, &mut found);
    match (manifest, found.is_empty()) {
        (Some(manifest), true) => Ok(manifest),
        (_, false) => Err(found.into_sorted()),
        (None, true) => {
            // The table accepted what the builder does not know: a mistake of ours, never a manifest half read.
            found.add(node::Place::START, "", "this manifest cannot be represented", "report this with the file");
            Err(found.into_sorted())
        }
    }
}

fn read_all(yaml: &str, found: &mut Diagnostics) -> Option<Manifest> {
    if yaml.len() > MANIFEST_BYTES_MAX {
        let message = format!("the file has {} bytes, at most {MANIFEST_BYTES_MAX} are read", yaml.len());
        found.add(node::Place::START, "", message, "one file holds one service");
        return None;
    }
    let root = node::load(yaml, found)?;
    let values = read::manifest(&root, found);
    let built = build::manifest(&values)?;
    found.add_problems(&built, values.places());
    built.complete.then_some(built.manifest)
}
