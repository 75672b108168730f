//! What clients asked and what they were answered, line by line as it happened, and whether one order of all of it explains
//! every answer (linearizability, Herlihy and Wing 1990).
//!
//! Two checkers that share nothing but [`Operation`] judge each object of a history: [`search`] tries orders until one fits,
//! [`intervals`] computes when each value must have been there. A history on which they differ is a mistake in one of them.
//! An object is judged for itself: a history is linearizable if each of its objects is.

pub mod committed;
pub mod intervals;
pub mod line;
pub mod operation;
pub mod recorder;
pub mod search;
pub mod tally;
pub mod verdict;

pub use line::{Line, Op, Outcome};
pub use operation::{Operation, operations};
pub use recorder::Recorder;
pub use verdict::{Judged, Verdict, judge};
