//! `watch` without a run: what the mesh makes of its services and does about them, a line for each change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::render::{status, text};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Without a word from any coordinator for so long, watching ends.
const SILENCE_MAX: Duration = Duration::from_secs(300);

pub async fn watch(context: &Context) -> Outcome {
    tokio::select! {
        ended = follow(context) => ended,
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

async fn follow(context: &Context) -> Outcome {
    let mesh = context.mesh()?;
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    let mut heard = Instant::now();
    loop {
        match mesh.status(false).await {
            Ok(answer) => {
                heard = Instant::now();
                let view = status::View::of(answer)?;
                let now = view.lines();
                for (subject, line) in &now {
                    if said.get(subject) != Some(line) {
                        show(context, &view, subject, line)?;
                    }
                }
                said = now;
            }
            Err(failure) if heard.elapsed() >= SILENCE_MAX => return Err(failure),
            Err(failure) => {
                let lost = format!("no answer: {failure}");
                if said.insert("answer".to_owned(), lost.clone()).as_ref() != Some(&lost) {
                    context.output.note(&lost);
                }
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// With `--json` one value a line.
fn show(context: &Context, view: &status::View, subject: &str, line: &str) -> Result<(), Failure> {
    let value = json!({ "at": view.now, "subject": subject, "text": line });
    context.output.either(&value, || format!("{}  {line}", text::time(view.now)))
}
