//! `replay`: a recording through a changed policy, and each decision that differs.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use mesh_core::decide::{self, Conclusion, JudgementRecord, RuleState};
use mesh_core::detect::{self, Evidence};
use mesh_core::manifest::Manifest;
use mesh_core::notice::{About, AutomaticNote};
use mesh_core::time::Timestamp;

use super::{Context, manifest};
use crate::args::replay::Replay;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::recording::{Eyes, FORMAT, LINE_BYTES_MAX, Moment, State};
use crate::render::replay as render;

/// What came of a moment, as far as two policies can differ in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Nothing,
    /// The rules in the way.
    Blocked(Vec<String>),
    Notify(String),
    Act(String),
}

impl Decision {
    pub fn of(judged: &JudgementRecord) -> Self {
        match &judged.conclusion {
            Conclusion::Nothing { .. } => Self::Nothing,
            Conclusion::Blocked { .. } => {
                let stops =
                    judged.rules.iter().filter(|rule| matches!(rule.state, RuleState::Blocks | RuleState::Missing));
                Self::Blocked(stops.map(|rule| rule.rule.clone()).collect())
            }
            Conclusion::Notify { to, .. } => Self::Notify(to.to_string()),
            Conclusion::Act { to, .. } => Self::Act(to.to_string()),
        }
    }
}

/// From one moment to another both policies decided otherwise, and the same all the time.
#[derive(Clone, Debug)]
pub struct Difference {
    pub from: Timestamp,
    pub until: Timestamp,
    pub recorded: JudgementRecord,
    pub changed: JudgementRecord,
}

#[derive(Clone, Debug, Default)]
pub struct Replayed {
    pub moments: usize,
    pub from: Timestamp,
    pub until: Timestamp,
    /// Moments at which the recorded policy comes to what the leader had come to.
    pub agree: usize,
    /// First moment at which each would have acted.
    pub acts: Option<Timestamp>,
    pub acts_changed: Option<Timestamp>,
    pub differences: Vec<Difference>,
    /// Why it ends before the recording does.
    pub ends: Option<String>,
    /// Checks of the changed manifest of which nothing was recorded.
    pub unseen: Vec<String>,
}

pub fn replay(context: &Context, args: &Replay) -> Outcome {
    let changed = args.file.as_deref().map(manifest::load).transpose()?.map(|(manifest, _)| manifest);
    let file = File::open(&args.recording).map_err(|error| Failure::file(&args.recording, "read", &error))?;
    let replayed = run(BufReader::new(file), &args.recording, changed.as_ref())?;
    context.output.either(&render::json(&replayed), || render::text(&replayed, context.output.paint))?;
    Ok(Exit::Ok)
}

fn run(mut lines: impl BufRead, path: &Path, changed: Option<&Manifest>) -> Result<Replayed, Failure> {
    let (mut replayed, mut eyes, mut state): (_, _, Option<State>) = (Replayed::default(), Eyes::default(), None);
    let (mut number, mut notes) = (0, Notes::default());
    while let Some(mut moment) = next(&mut lines, path, &mut number)? {
        if let Some(news) = moment.state.take() {
            notes.hear(state.as_ref(), &news);
            state = Some(news);
        }
        let Some(known) = &state else {
            return Err(Failure::refused(format!("{}: its first line has no state", path.display())));
        };
        let new = changed.unwrap_or(&known.manifest);
        if new.service != known.manifest.service {
            let text = format!("{} is of {}, the manifest of {}", path.display(), known.manifest.service, new.service);
            return Err(Failure::refused(text));
        }
        if replayed.moments == 0 {
            replayed.from = moment.at;
        }
        if let Some(run) = &known.run {
            let text =
                format!("run {run} began in the recording: what was seen from then on is of a world that it changes");
            replayed.ends = Some(text);
            break;
        }
        let evidence = eyes.evidence(&moment);
        note_unseen(&mut replayed, new, &evidence);
        let old = judged(known, &known.manifest, &evidence, &mut notes.recorded);
        let new = judged(known, new, &evidence, &mut notes.changed);
        replayed.note(&moment, old, new);
        if replayed.acts_changed.is_some() && replayed.acts.is_some() {
            replayed.ends = Some("both policies have acted: what comes after was not recorded".to_owned());
            break;
        }
    }
    if replayed.moments == 0 {
        return Err(Failure::refused(format!("{} has no moment before a run", path.display())));
    }
    Ok(replayed)
}

/// What each policy has told people by then: it tells once a cool-down.
#[derive(Default)]
struct Notes {
    recorded: Option<AutomaticNote>,
    changed: Option<AutomaticNote>,
}

impl Notes {
    /// What had been told before the recording began counts for both, until somebody acknowledges it.
    fn hear(&mut self, before: Option<&State>, news: &State) {
        if before.is_none_or(|before| before.acknowledged_at != news.acknowledged_at) {
            let noted = news.noted.clone().filter(|_| before.is_none());
            *self = Self { recorded: noted.clone(), changed: noted };
        }
    }
}

fn judged(
    state: &State,
    manifest: &Manifest,
    evidence: &Evidence,
    noted: &mut Option<AutomaticNote>,
) -> JudgementRecord {
    let fleet = state.fleet(manifest, noted.clone());
    let verdicts = fleet.services.get(&manifest.service).map(|service| detect::assess(service, evidence));
    let verdicts = verdicts.unwrap_or_default();
    let judged = JudgementRecord::from(&decide::judge(&fleet, &manifest.service, &verdicts, evidence));
    if let Conclusion::Notify { to, text } = &judged.conclusion {
        *noted = Some(AutomaticNote::new(evidence.now, to, text, About::ShouldMove, manifest));
    }
    judged
}

fn note_unseen(replayed: &mut Replayed, manifest: &Manifest, evidence: &Evidence) {
    let sights = evidence.of_service(&manifest.service);
    let unseen = manifest.checks.iter().filter(|check| sights.iter().all(|it| it.signal.subject != check.name));
    let unseen: Vec<String> = unseen.map(|check| check.name.clone()).collect();
    if replayed.moments == 0 {
        replayed.unseen = unseen;
    } else {
        replayed.unseen.retain(|check| unseen.contains(check));
    }
}

impl Replayed {
    fn note(&mut self, moment: &Moment, old: JudgementRecord, new: JudgementRecord) {
        self.moments += 1;
        self.until = moment.at;
        let (was, is) = (Decision::of(&old), Decision::of(&new));
        self.agree += usize::from(was == Decision::of(&moment.judgement));
        if matches!(was, Decision::Act(_)) {
            self.acts.get_or_insert(moment.at);
        }
        // A policy that has acted decides in another world from then on.
        let over = self.acts.is_some_and(|at| at < moment.at) || self.acts_changed.is_some_and(|at| at < moment.at);
        if matches!(is, Decision::Act(_)) {
            self.acts_changed.get_or_insert(moment.at);
        }
        if was == is || over {
            return;
        }
        match self.differences.last_mut() {
            Some(last) if (Decision::of(&last.recorded), Decision::of(&last.changed)) == (was, is) => {
                last.until = moment.at;
            }
            _ => self.differences.push(Difference { from: moment.at, until: moment.at, recorded: old, changed: new }),
        }
    }
}

fn next(lines: &mut impl BufRead, path: &Path, number: &mut usize) -> Result<Option<Moment>, Failure> {
    let mut line = String::new();
    *number += 1;
    let read = lines.take(LINE_BYTES_MAX as u64).read_line(&mut line);
    if read.map_err(|error| Failure::file(path, "read", &error))? == 0 {
        return Ok(None);
    }
    let wrong = |what: String| Failure::refused(format!("{}, line {number}: {what}", path.display()));
    let moment: Moment = serde_json::from_str(&line).map_err(|error| {
        wrong(format!("no moment of a recording: {error}")).hint("`meshctl record` writes recordings")
    })?;
    if moment.format != FORMAT {
        return Err(wrong(format!("its format is {:?}, not {FORMAT:?}", moment.format)));
    }
    Ok(Some(moment))
}
