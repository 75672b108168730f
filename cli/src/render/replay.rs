//! What a replay came to.

use mesh_core::time::Timestamp;
use serde_json::{Value, json};

use super::{text as words, why};
use crate::commands::replay::{Decision, Difference, Replayed};
use crate::output::Paint;

/// Differences that are shown with every rule and view; the others in a line each.
const SHOWN_WHOLE: usize = 3;

pub fn text(replayed: &Replayed, paint: Paint) -> String {
    let lasted = words::duration(replayed.until.since(replayed.from));
    let mut out = format!(
        "{} moments over {lasted}, from {}\n\
         the recorded policy, replayed, decides as the mesh did at {} of them\n",
        replayed.moments,
        words::time(replayed.from),
        replayed.agree
    );
    for check in &replayed.unseen {
        out.push_str(&format!("nothing was recorded of check {check}: it counts as unknown\n"));
    }
    out.push_str(&format!("would act: recorded policy {}", acts(replayed.acts, replayed.from)));
    out.push_str(&format!(", changed policy {}\n", acts(replayed.acts_changed, replayed.from)));
    if let Some(ends) = &replayed.ends {
        out.push_str(&format!("it ends there: {ends}\n"));
    }
    if replayed.differences.is_empty() {
        out.push_str("\nNo decision differs\n");
    }
    for (nth, difference) in replayed.differences.iter().enumerate() {
        out.push_str(&of(difference, replayed.from, nth < SHOWN_WHOLE, paint));
    }
    out
}

fn acts(at: Option<Timestamp>, from: Timestamp) -> String {
    at.map_or_else(|| "never".to_owned(), |at| format!("at {}", words::offset(at.since(from))))
}

fn of(difference: &Difference, from: Timestamp, whole: bool, paint: Paint) -> String {
    let at = words::offset(difference.from.since(from));
    let until = match difference.until == difference.from {
        true => String::new(),
        false => format!(" to {}", words::offset(difference.until.since(from))),
    };
    let decided = |judged| in_words(&Decision::of(judged));
    let (recorded, changed) = (decided(&difference.recorded), decided(&difference.changed));
    let mut out = format!(
        "\n{}\n  recorded policy  {recorded}\n  changed policy   {changed}\n",
        paint.bold(&format!("From {at}{until}"))
    );
    if whole {
        let judged = why::judgement(&difference.changed, paint);
        let lines = judged.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n");
        out.push_str(&format!("  by the changed policy at {at}:\n{}", lines.collect::<String>()));
    }
    out
}

fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::Nothing => "nothing to do".to_owned(),
        Decision::Blocked(rules) => format!("does not act: {}", rules.join(", ")),
        Decision::Notify(to) => format!("tells a person to move it to {to}"),
        Decision::Act(to) => format!("moves it to {to}"),
    }
}

/// docs/simulation.md has the shape. Times are Unix milliseconds.
pub fn json(replayed: &Replayed) -> Value {
    json!({
        "moments": replayed.moments,
        "from": replayed.from,
        "until": replayed.until,
        "agree": replayed.agree,
        "acts": replayed.acts,
        "acts_changed": replayed.acts_changed,
        "ends": replayed.ends,
        "unseen": replayed.unseen,
        "differences": replayed.differences.iter().map(|it| json!({
            "from": it.from,
            "until": it.until,
            "recorded": why::json(&it.recorded),
            "changed": why::json(&it.changed),
        })).collect::<Vec<_>>(),
    })
}
