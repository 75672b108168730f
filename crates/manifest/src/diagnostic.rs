//! What is wrong, where, and what to do about it.

use std::collections::BTreeMap;
use std::fmt;

use mesh_core::manifest::check;

use crate::build::Built;
use crate::node::Place;

/// Most diagnostics that are given at once: beyond that the file is of another kind.
pub const DIAGNOSTICS_MAX: usize = 200;

/// One thing that is wrong with a manifest. Shown as `file:line:column: path: message (hint: …)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Like `resources[0].rds.instances.us-west-2`; empty for the file as a whole.
    pub path: String,
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, path, message, hint } = self;
        write!(f, "{file}:{line}:{column}: ")?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        write!(f, "{message}")?;
        if hint.is_empty() { Ok(()) } else { write!(f, " (hint: {hint})") }
    }
}

impl std::error::Error for Diagnostic {}

/// Diagnostics as they are found.
pub(crate) struct Diagnostics {
    file: String,
    found: Vec<Diagnostic>,
}

impl Diagnostics {
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.found.len() >= DIAGNOSTICS_MAX
    }

    pub fn add(&mut self, place: Place, path: &str, message: impl Into<String>, hint: impl Into<String>) {
        if self.is_full() {
            return;
        }
        self.found.push(Diagnostic {
            file: self.file.clone(),
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            message: message.into(),
            hint: hint.into(),
        });
    }

    /// Adds what the rules of the core say of what could be read, unless it follows from what is reported already.
    pub fn add_problems(&mut self, built: &Built, places: &BTreeMap<String, Place>) {
        if self.found.iter().any(|d| is_within(&d.path, "regions")) {
            return;
        }
        let reported: Vec<String> = self.found.iter().map(|d| d.path.clone()).collect();
        let writer_unsure = reported.iter().any(|path| is_within(path, "resources"));
        for problem in check::check(&built.manifest) {
            let path = built.original_path(&problem.path);
            let follows = reported.iter().any(|other| is_within(&path, other) || is_within(other, &path));
            let unsure = path == "writer" && writer_unsure;
            if !follows && !unsure {
                self.add(place_of(&path, places), &path, problem.message, problem.hint);
            }
        }
    }

    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|a, b| (a.line, a.column, &a.path).cmp(&(b.line, b.column, &b.path)));
        self.found
    }
}

/// Is `path` the node at `outer`, or inside it?
fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The place of a node, or of the nearest one around it when it is not in the file (a default).
fn place_of(path: &str, places: &BTreeMap<String, Place>) -> Place {
    let mut path = path;
    loop {
        if let Some(place) = places.get(path) {
            return *place;
        }
        match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
            Some(outer) => path = outer,
            None => return Place::START,
        }
    }
}
