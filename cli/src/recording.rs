//! What a mesh saw of one service, moment by moment: JSON lines that `record` writes and `replay` reads.
//!
//! A leader keeps what it sees in memory only, so this is what it says when it is asked, once a second: the newest signals,
//! who was heard when, and its judgement, whose views say since when each observer's failures count.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesh_core::decide::JudgementRecord;
use mesh_core::detect::{Doubt, Evidence, Observer, Sees, Sight, View};
use mesh_core::fleet::{Fleet, Freeze, Service};
use mesh_core::ids::{AgentId, Generation, IntentSeq, RegionId, RunId};
use mesh_core::manifest::Manifest;
use mesh_core::notice::AutomaticNote;
use mesh_core::signal::{Reading, Signal};
use mesh_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub const FORMAT: &str = "mesh-recording/1";
/// One moment: 8,192 signals of the longest text would be more, and is no recording of one service.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Earlier measurements of lag that are kept of one observer, as a coordinator does.
const LAGS_MAX: usize = 64;
const DOUBTS: &str = "the observer doubts itself";
const PASSED_LAST: &str = "its last answer was a pass";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Moment {
    pub format: String,
    /// The leader's time.
    pub at: Timestamp,
    /// Only when it is another than the moment before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    pub agents: Vec<Heard>,
    pub signals: Vec<Signal>,
    pub judgement: JudgementRecord,
}

/// What is replicated of the service and matters to a judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub manifest: Manifest,
    pub applied_at: Timestamp,
    pub active: RegionId,
    pub armed: bool,
    pub run: Option<RunId>,
    pub automatic_at: Option<Timestamp>,
    pub acknowledged_at: Option<Timestamp>,
    pub freeze: Option<Freeze>,
    /// Of the whole mesh.
    pub mesh_freeze: Option<Freeze>,
    /// What people had been told.
    #[serde(default)]
    pub noted: Option<AutomaticNote>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub agent: AgentId,
    pub region: RegionId,
    pub ms_ago: Option<u64>,
}

impl State {
    pub fn of(service: &Service, mesh_freeze: Option<Freeze>) -> Self {
        Self {
            manifest: service.manifest.clone(),
            applied_at: service.applied_at,
            active: service.active.clone(),
            armed: service.armed,
            run: service.current_run.clone(),
            automatic_at: service.automatic_at,
            acknowledged_at: service.acknowledged_at,
            freeze: service.freeze.clone(),
            mesh_freeze,
            noted: service.noted.clone(),
        }
    }

    /// With this policy, the recorded one or another, and what it has noted by then.
    pub fn fleet(&self, manifest: &Manifest, noted: Option<AutomaticNote>) -> Fleet {
        let service = Service {
            manifest: manifest.clone(),
            version: 1,
            source: String::new(),
            applied_by: String::new(),
            applied_at: self.applied_at,
            generation: Generation(1),
            intent: IntentSeq(0),
            active: self.active.clone(),
            authority: BTreeMap::new(),
            current_run: None,
            open_calls: Vec::new(),
            armed: self.armed,
            asks: Vec::new(),
            lease_longest: Duration::ZERO,
            automatic_at: self.automatic_at,
            acknowledged_at: self.acknowledged_at,
            freeze: self.freeze.clone(),
            noted,
        };
        let services = BTreeMap::from([(manifest.service.clone(), service)]);
        Fleet { services, freeze: self.mesh_freeze.clone(), ..Fleet::default() }
    }
}

/// Evidence of one moment after the other. Lags of earlier moments stay known, as with a leader.
#[derive(Default)]
pub struct Eyes {
    lags: BTreeMap<(AgentId, RegionId, String), VecDeque<Sight>>,
}

impl Eyes {
    pub fn evidence(&mut self, moment: &Moment) -> Evidence {
        let at = moment.at;
        let observers: BTreeMap<AgentId, Observer> = moment
            .agents
            .iter()
            .map(|heard| {
                let heard_at = heard.ms_ago.map(|ago| at.minus(Duration::from_millis(ago)));
                let doubt = doubt(&moment.judgement, &heard.agent);
                (heard.agent.clone(), Observer { region: heard.region.clone(), heard_at, doubt })
            })
            .collect();
        let mut sights = Vec::new();
        for signal in &moment.signals {
            let heard_at = observers.get(&signal.observer).and_then(|observer| observer.heard_at).unwrap_or_default();
            let sight = sight(signal, view(&moment.judgement, signal), at, heard_at);
            match signal.reading {
                Reading::ReplicaLag { .. } => self.keep(sight),
                Reading::Passing { .. } | Reading::Failing { .. } | Reading::Items { .. } | Reading::Unknown { .. } => {
                    sights.push(sight);
                }
            }
        }
        sights.extend(self.lags.values().flatten().cloned());
        Evidence::new(at, Timestamp::default(), observers, sights)
    }

    fn keep(&mut self, sight: Sight) {
        let signal = &sight.signal;
        let key = (signal.observer.clone(), signal.region.clone(), signal.subject.clone());
        let known = self.lags.entry(key).or_default();
        if known.iter().all(|other| other.signal.at != signal.at) {
            if known.len() >= LAGS_MAX {
                known.pop_front();
            }
            known.push_back(sight);
        }
    }
}

fn sight(signal: &Signal, view: Option<&View>, at: Timestamp, heard_at: Timestamp) -> Sight {
    let failing_since = match (&signal.reading, view.map(|view| (&view.sees, view.because.as_str()))) {
        (Reading::Failing { .. }, Some((_, because))) if because.contains(PASSED_LAST) => None,
        (Reading::Failing { .. }, Some((Sees::Failing { since, .. }, _))) => Some(*since),
        (Reading::Failing { since, .. }, _) => Some(*since),
        _ => None,
    };
    // By the observer's wall clock: a leader counts ages instead, of which it tells nobody.
    let observed_at = signal.at.min(at);
    Sight { signal: std::sync::Arc::new(signal.clone()), observed_at, failing_since, heard_at, alternations: 0 }
}

fn view<'a>(judgement: &'a JudgementRecord, signal: &Signal) -> Option<&'a View> {
    let of_region = judgement.regions.get(&signal.region)?;
    of_region.views.iter().find(|view| view.observer == signal.observer && view.subject == signal.subject)
}

/// That it doubts itself is in its views; of what, matters to nobody who counts votes.
fn doubt(judgement: &JudgementRecord, agent: &AgentId) -> Option<Doubt> {
    let mut views = judgement.regions.values().flat_map(|region| &region.views);
    views.any(|view| view.observer == *agent && view.because.starts_with(DOUBTS)).then_some(Doubt::TimersSlip)
}
