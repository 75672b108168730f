//! A run as it fits one message.
//!
//! The core bounds a run far above a gRPC message: 64 steps, two directions, 64 attempts each, with documents. What a
//! person looks at is how it stands, so the oldest attempts go first, then the length of documents and of lines; how
//! much was left out is told. The audit holds all of it.

use mesh_proto::{bounds, v1};
use mesh_runtime::grpc::MESSAGE_MAX;
use prost::Message;

/// Of an answer's largest part: leaves room for what stands beside it.
pub const ANSWER_BYTES_MAX: usize = MESSAGE_MAX - 64 * 1024;
/// Attempts kept of each step and direction, in turn until the run fits.
const ATTEMPTS_KEPT: [usize; 4] = [8, 4, 2, 1];
/// Of each document and text, and lines, when that is not enough. 64 steps in two directions with one attempt of three
/// such texts each, these lines, and a plan of at most half a message fit.
const TEXT_BYTES_KEPT: usize = 2 * 1024;
const LINES_KEPT: usize = 256;

/// The run, and how many attempts and lines were left out of it.
pub fn fit(mut run: v1::Run) -> (v1::Run, u32) {
    let mut left_out = 0;
    for kept in ATTEMPTS_KEPT {
        if run.encoded_len() <= ANSWER_BYTES_MAX {
            return (run, left_out);
        }
        left_out += works(&mut run).map(|work| drop_oldest(&mut work.intents, kept)).sum::<u32>();
    }
    if run.encoded_len() > ANSWER_BYTES_MAX {
        left_out += drop_oldest(&mut run.timeline, LINES_KEPT);
        run.timeline.iter_mut().for_each(|line| clip(&mut line.text));
        let intents = works(&mut run).flat_map(|work| &mut work.intents);
        for outcome in intents.filter_map(|intent| intent.outcome.as_mut()) {
            clip(&mut outcome.detail);
            // Half a JSON document says nothing.
            for document in [&mut outcome.read_back, &mut outcome.before] {
                if document.len() > TEXT_BYTES_KEPT {
                    "{}".clone_into(document);
                    left_out += 1;
                }
            }
        }
    }
    (run, left_out)
}

fn works(run: &mut v1::Run) -> impl Iterator<Item = &mut v1::Work> {
    run.steps.values_mut().flat_map(|step| step.forward.iter_mut().chain(step.undo.iter_mut()))
}

fn drop_oldest<T>(list: &mut Vec<T>, kept: usize) -> u32 {
    let dropped = list.len().saturating_sub(kept);
    list.drain(..dropped);
    u32::try_from(dropped).unwrap_or(u32::MAX)
}

fn clip(text: &mut String) {
    text.truncate(bounds::clip(text, TEXT_BYTES_KEPT).len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(intents: usize, document: usize) -> v1::Run {
        let outcome = v1::Outcome {
            detail: "d".repeat(document.min(8 * 1024)),
            read_back: "r".repeat(document),
            before: "b".repeat(document),
            ..Default::default()
        };
        let intent = v1::Intent { outcome: Some(outcome), ..Default::default() };
        let work = v1::Work { intents: vec![intent; intents], ..Default::default() };
        let step = v1::StepRun { forward: Some(work.clone()), undo: Some(work) };
        v1::Run { steps: (0..64).map(|n| (format!("step-{n}"), step.clone())).collect(), ..Default::default() }
    }

    #[test]
    fn a_run_that_fits_is_left_as_it_is() {
        let small = run(2, 100);
        assert_eq!(fit(small.clone()), (small, 0));
    }

    #[test]
    fn the_largest_run_fits_a_message_and_says_what_is_missing() {
        let (fitted, left_out) = fit(run(64, 32 * 1024));
        assert!(fitted.encoded_len() <= ANSWER_BYTES_MAX, "{} bytes", fitted.encoded_len());
        assert!(left_out > 64 * 2 * 62, "{left_out}");
        assert!(fitted.steps.values().all(|step| step.forward.as_ref().is_some_and(|work| work.intents.len() == 1)));
    }

    #[test]
    fn the_newest_attempts_are_those_that_stay() {
        let mut large = run(64, 2 * 1024);
        for work in works(&mut large) {
            work.intents.iter_mut().zip(1..).for_each(|(intent, seq)| intent.seq = seq);
        }
        let (mut fitted, _) = fit(large);
        assert!(works(&mut fitted).all(|work| work.intents.last().is_some_and(|intent| intent.seq == 64)));
    }
}
