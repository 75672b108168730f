//! One execution of a plan, as it is replicated. How it moves is in [`crate::fleet`]; what to do next is in
//! [`crate::engine`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decide::{Conclusion, JudgementRecord};
use crate::ids::{AgentId, Generation, Hash32, IntentSeq, KeyId, RegionId, RunId, StepId};
use crate::manifest::AutomaticMode;
use crate::plan::{Plan, PredictedLoss, Reversibility, Step};
use crate::time::Timestamp;

/// Most intents one direction of one step may use, whatever its retry says: a bound on the log.
pub const INTENTS_MAX: usize = 64;
/// Most lines a run's timeline keeps.
pub const TIMELINE_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub plan: Plan,
    pub plan_hash: Hash32,
    pub requested_by: String,
    pub started_at: Timestamp,
    pub state: RunState,
    pub paused: Option<Pause>,
    pub unwind: Option<Unwind>,
    pub approvals: Vec<Approval>,
    pub steps: BTreeMap<StepId, StepRun>,
    pub timeline: Vec<TimelineEntry>,
    pub ended_at: Option<Timestamp>,
    /// Why it began.
    pub cause: Cause,
    /// What is expected to be lost, as far as it is known now: the plan's, or more.
    pub loss: PredictedLoss,
    /// What was lost, once the promotion has shown it.
    pub measured: Option<MeasuredLoss>,
    /// Mode `fence`: no one-way step is opened before this is there.
    pub released: Option<Release>,
    /// Safety rules that two people set aside for exactly this plan, by name.
    pub overrides: BTreeSet<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// A person asked for it.
    #[default]
    Asked,
    /// A person asked for it, though its service was frozen, for this reason. A freeze of later halts it.
    DespiteFreeze { reason: String },
    /// The mesh decided by itself, from this.
    Automatic { judgement: Box<JudgementRecord> },
}

/// What the accepted writes that the target has not amount to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum MeasuredLoss {
    Nothing {
        because: String,
    },
    /// The writes of so long a time.
    Time {
        lost: Duration,
        source: String,
    },
    /// So many bytes of the old primary's log.
    Bytes {
        lost: u64,
        source: String,
    },
    /// The old primary cannot be asked: what is known is a moment up to which the target has everything.
    After {
        through: Timestamp,
        /// When the outage was first seen.
        outage: Option<Timestamp>,
        /// From here on the old region certainly accepted nothing more. None: nobody proved it.
        closed: Option<Timestamp>,
        /// Of the old primary's log, seen there before the outage and missing at the target.
        bytes_at_least: Option<u64>,
        source: String,
    },
    Unknown {
        reason: String,
    },
}

/// The approval by which a run of mode `fence` goes beyond what can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub keys: Vec<KeyId>,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RunState {
    Running,
    /// Undoing what is reversible, in reverse order, at a generation of its own.
    Unwinding,
    /// Stopped until a person decides. Not an end of the service's claim: `retry`, `approve` or `abort` go on from here.
    Held {
        reason: String,
        need: Need,
    },
    Done,
    Compensated,
    Refused {
        reason: String,
    },
}

/// The decision that a held run waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Need {
    /// Two enrolled keys accept that `region` is not proven closed and that its last writes may be lost.
    Consent { region: RegionId },
    /// A person looks at `step`, then retries or aborts.
    Decision { step: StepId },
    /// So many enrolled keys let it go on to `step`, which cannot be undone.
    Approval { step: StepId, people: u32 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub by: String,
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unwind {
    pub generation: Generation,
    pub by: String,
    pub reason: String,
    pub at: Timestamp,
}

/// One enrolled key's signature over a subject (see [`crate::access::approval_message`]), with an expiry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    pub key: KeyId,
    pub subject: String,
    pub expires_at: Timestamp,
    /// Ed25519, 64 bytes.
    pub signature: Vec<u8>,
    /// Stamped by the leader; zero before.
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRun {
    pub forward: Work,
    /// There once the run unwinds and the step has something to undo.
    pub undo: Option<Work>,
}

/// The carrying out of a step in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    pub state: WorkState,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Oldest first; at most one, the last, has no outcome.
    pub intents: Vec<Intent>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum WorkState {
    #[default]
    Waiting,
    /// An intent is out.
    Open,
    /// The last intent ended without success; the next may be opened from `until`.
    Backoff {
        until: Timestamp,
        reason: String,
    },
    Done,
    /// Never needed, or taken over by a decision of two people.
    Skipped {
        reason: String,
    },
    Failed {
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    Forward,
    Undo,
}

/// The committed permission for one agent to carry out one direction of one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub seq: IntentSeq,
    /// Same for every attempt at the same logical effect: `<run>/<step>` or `<run>/<step>/undo`.
    pub key: String,
    pub generation: Generation,
    pub agent: AgentId,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub outcome: Option<Outcome>,
}

/// How an intent ended. A timeout is `Unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub result: OutcomeResult,
    /// For people.
    pub detail: String,
    /// JSON of what the provider showed when it was done; later steps may read it.
    pub read_back: String,
    /// JSON of what the provider showed before the first call that can have been applied.
    pub before: String,
    /// Mutating calls that were sent.
    pub calls: u32,
    /// Time spent waiting for the provider to reach its terminal state.
    pub provider_wait: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeResult {
    Done,
    /// Nothing was changed by this intent. `retry`: another attempt can succeed.
    Refused {
        retry: bool,
    },
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    pub at: Timestamp,
    pub step: Option<StepId>,
    pub text: String,
}

impl Cause {
    /// Absent when a person asked.
    pub fn mode(&self) -> Option<AutomaticMode> {
        match self {
            Self::Asked | Self::DespiteFreeze { .. } => None,
            Self::Automatic { judgement } => match &judgement.conclusion {
                Conclusion::Act { mode, .. } => Some(*mode),
                // It would not have begun; the stricter of the modes that act.
                Conclusion::Nothing { .. } | Conclusion::Blocked { .. } | Conclusion::Notify { .. } => {
                    Some(AutomaticMode::Fence)
                }
            },
        }
    }
}

impl RunState {
    /// Has the run given up its claim on the service?
    pub const fn is_terminal(&self) -> bool {
        match self {
            Self::Done | Self::Compensated | Self::Refused { .. } => true,
            Self::Running | Self::Unwinding | Self::Held { .. } => false,
        }
    }

    pub const fn name(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Unwinding => "unwinding",
            Self::Held { .. } => "held",
            Self::Done => "done",
            Self::Compensated => "compensated",
            Self::Refused { .. } => "refused",
        }
    }
}

impl WorkState {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Backoff { .. } => "backoff",
            Self::Done => "done",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
        }
    }

    /// Nothing more will be tried in this direction without a person.
    pub const fn is_settled(&self) -> bool {
        match self {
            Self::Done | Self::Skipped { .. } | Self::Failed { .. } => true,
            Self::Waiting | Self::Open | Self::Backoff { .. } => false,
        }
    }
}

impl Work {
    pub fn open_intent(&self) -> Option<&Intent> {
        self.intents.last().filter(|intent| intent.outcome.is_none())
    }

    /// When a mutating call for this work may first have been sent, if an intent ended unknown.
    pub fn maybe_sent_since(&self) -> Option<Timestamp> {
        self.intents
            .iter()
            .find(|intent| intent.outcome.as_ref().is_some_and(|outcome| outcome.result == OutcomeResult::Unknown))
            .map(|intent| intent.opened_at)
    }

    /// Has an intent been refused for good? The step failed with it, and only a person lets a failed step go on.
    pub fn retried_by_person(&self) -> bool {
        let refused = |outcome: &Outcome| outcome.result == OutcomeResult::Refused { retry: false };
        self.intents.iter().any(|intent| intent.outcome.as_ref().is_some_and(refused))
    }
}

impl Run {
    pub fn step(&self, id: &StepId) -> Option<(&Step, &StepRun)> {
        Some((self.plan.step(id)?, self.steps.get(id)?))
    }

    pub fn work(&self, id: &StepId, direction: Direction) -> Option<&Work> {
        let step = self.steps.get(id)?;
        match direction {
            Direction::Forward => Some(&step.forward),
            Direction::Undo => step.undo.as_ref(),
        }
    }

    /// Is what is expected to be lost now within what an approval accepted? An older approval names no bound: it accepted
    /// what the plan says.
    pub fn covers(&self, bound: Option<&str>) -> bool {
        match bound {
            Some(bound) => self.loss.is_covered_by(bound),
            None => !self.loss.exceeds(&self.plan.loss),
        }
    }

    /// Must a person approve before this step is opened?
    pub fn awaits_release(&self, step: &Step) -> bool {
        let notice = step.action.name() == "sns-notify";
        self.cause.mode() == Some(AutomaticMode::Fence)
            && self.released.is_none()
            && step.reversibility == Reversibility::OneWay
            && !notice
    }

    /// Generation that the run's newest mutations carry.
    pub fn generation(&self) -> Generation {
        self.unwind.as_ref().map_or(self.plan.generation, |unwind| unwind.generation)
    }

    /// The open intents, with the step and direction they belong to.
    pub fn open_intents(&self) -> impl Iterator<Item = (&Step, Direction, &Intent)> {
        self.plan.steps.iter().flat_map(|step| {
            let run = self.steps.get(&step.id);
            let forward = run.and_then(|r| r.forward.open_intent()).map(|i| (step, Direction::Forward, i));
            let undo =
                run.and_then(|r| r.undo.as_ref()).and_then(Work::open_intent).map(|i| (step, Direction::Undo, i));
            forward.into_iter().chain(undo)
        })
    }
}

/// The key that all attempts at one logical effect share.
pub fn effect_key(run: &RunId, step: &StepId, direction: Direction) -> String {
    match direction {
        Direction::Forward => format!("{run}/{step}"),
        Direction::Undo => format!("{run}/{step}/undo"),
    }
}
