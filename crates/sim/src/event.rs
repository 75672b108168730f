//! Whatever happens, and when. Events of the same time happen in the order in which they were caused.

use std::collections::BTreeSet;
use std::rc::Rc;

use mesh_core::detect::SelfReport;
use mesh_core::execute::{CallResult, Job, Observation};
use mesh_core::fleet::Command;
use mesh_core::ids::{Generation, IntentSeq, RunId, StepId};
use mesh_core::lease::{Ack, Ask, News};
use mesh_core::run::{Direction, Outcome};
use mesh_core::time::Timestamp;

use crate::Micros;
use crate::aim;
use crate::desk::{Told, ToldLag};
use crate::people;
use crate::zone;

/// One entry of a node's log; the same entry is the same allocation on every node.
#[derive(Debug)]
pub struct Entry {
    pub term: u64,
    pub at: Timestamp,
    /// `None`: the first entry of a term.
    pub command: Option<Command>,
}

pub type Log = Rc<Vec<Rc<Entry>>>;

/// What an agent says in its session.
#[derive(Clone, Debug)]
pub enum Say {
    Hello,
    Ping {
        nonce: u64,
        report: SelfReport,
        ack: Ack,
    },
    Standings(Ack),
    Signals(Vec<Told>, Vec<ToldLag>),
    /// No call of the run starts any more, and none is out.
    Halted {
        asking: u64,
        run: RunId,
    },
    Outcome(Box<Report>),
}

/// The outcome of an intent, as it is told.
#[derive(Clone, Debug)]
pub struct Report {
    pub run: RunId,
    pub step: StepId,
    pub direction: Direction,
    pub seq: IntentSeq,
    pub outcome: Outcome,
}

/// What a coordinator says in it.
#[derive(Clone, Debug)]
pub enum Heard {
    Welcome { term: u64 },
    NotLeader { leader: Option<usize> },
    Pong { nonce: u64, paused: BTreeSet<RunId>, news: Option<News> },
    Offer(Box<Job>),
    Revoked(Generation),
    OutcomeAck(IntentSeq),
    Halt { asking: u64, run: RunId },
}

/// What agents say to each other.
#[derive(Clone, Debug)]
pub enum Peer {
    Ask(Ask),
    Promised { round: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    Passed,
    Failed,
    Unknown,
}

/// What an agent's journal has on disk when the write ends.
#[derive(Clone, Debug)]
pub enum Written {
    Floor { generation: Generation, tell: bool },
    Promise { ask: Ask, to: usize },
    Accepted(IntentSeq),
    CallStarted { seq: IntentSeq, before: String },
    CallEnded { seq: IntentSeq, result: CallResult },
    Outcome { seq: IntentSeq, outcome: Outcome },
    Acknowledged(IntentSeq),
}

/// A mutating call on its way to a provider.
#[derive(Clone, Debug)]
pub struct Call {
    pub agent: usize,
    pub epoch: u32,
    pub job: Job,
    /// After this the provider does nothing with it.
    pub until: Micros,
    pub reply_lost: bool,
    /// What the look before it saw.
    pub before: String,
}

#[derive(Debug)]
pub enum Event {
    Probe {
        agent: usize,
        subject: usize,
        epoch: u32,
    },
    Answer {
        agent: usize,
        subject: usize,
        epoch: u32,
        answer: Answer,
    },
    Tick {
        agent: usize,
        epoch: u32,
    },
    /// Is a right running out that nobody renews?
    Look {
        agent: usize,
        epoch: u32,
    },
    /// No Welcome came in time.
    Unanswered {
        agent: usize,
        conn: usize,
    },
    ToNode {
        conn: usize,
        say: Say,
    },
    ToAgent {
        conn: usize,
        heard: Heard,
    },
    ToPeer {
        from: usize,
        to: usize,
        peer: Box<Peer>,
    },
    Flush {
        conn: usize,
    },
    /// A quorum answered the leader after the question was here.
    ReadIndexed {
        node: usize,
        epoch: u32,
        term: u64,
        conn: usize,
        nonce: Option<u64>,
    },
    Round {
        node: usize,
        epoch: u32,
    },
    Silence {
        node: usize,
        epoch: u32,
        silence: u32,
    },
    Elected {
        node: usize,
        epoch: u32,
        term: u64,
    },
    StepDown {
        node: usize,
        term: u64,
        newer: u64,
    },
    Append {
        to: usize,
        from: usize,
        term: u64,
        log: Log,
        commit: usize,
    },
    Appended {
        to: usize,
        from: usize,
        term: u64,
        len: usize,
        told: usize,
    },
    Synced {
        node: usize,
        epoch: u32,
        len: usize,
        reply: Option<(usize, u64)>,
    },
    Resend {
        node: usize,
        term: u64,
    },
    Disk {
        agent: usize,
        epoch: u32,
        written: Box<Written>,
    },
    Work {
        agent: usize,
        epoch: u32,
        seq: IntentSeq,
    },
    Observed {
        agent: usize,
        epoch: u32,
        seq: IntentSeq,
        observation: Box<Observation>,
    },
    Effect(Box<Call>),
    CallEnded {
        agent: usize,
        epoch: u32,
        seq: IntentSeq,
        call: u32,
        result: Box<CallResult>,
    },
    Proxy {
        region: usize,
    },
    Promoted {
        region: usize,
        generation: Generation,
    },
    /// A process that crashed at a certain point is back.
    Restart {
        agent: usize,
        epoch: u32,
    },
    Fault {
        nth: usize,
        begins: bool,
    },
    Flip {
        nth: usize,
        cut: bool,
    },
    People(Box<people::Step>),
    Zone(zone::Step),
    Mix(aim::Step),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Agent(usize),
    Node(usize),
}

impl Event {
    /// Whose process has to run for it.
    pub fn of(&self) -> Option<Who> {
        match self {
            Self::Probe { agent, .. }
            | Self::Answer { agent, .. }
            | Self::Tick { agent, .. }
            | Self::Look { agent, .. }
            | Self::Unanswered { agent, .. }
            | Self::Disk { agent, .. }
            | Self::Work { agent, .. }
            | Self::Observed { agent, .. }
            | Self::CallEnded { agent, .. } => Some(Who::Agent(*agent)),
            Self::ToPeer { to, .. } => Some(Who::Agent(*to)),
            Self::ReadIndexed { node, .. }
            | Self::Round { node, .. }
            | Self::Silence { node, .. }
            | Self::Elected { node, .. }
            | Self::StepDown { node, .. }
            | Self::Synced { node, .. }
            | Self::Resend { node, .. } => Some(Who::Node(*node)),
            Self::Append { to, .. } | Self::Appended { to, .. } => Some(Who::Node(*to)),
            Self::People(step) => step.of().map(Who::Node),
            Self::ToNode { .. }
            | Self::Zone(_)
            | Self::Mix(_)
            | Self::ToAgent { .. }
            | Self::Flush { .. }
            | Self::Effect(_)
            | Self::Proxy { .. }
            | Self::Promoted { .. }
            | Self::Restart { .. }
            | Self::Fault { .. }
            | Self::Flip { .. } => None,
        }
    }

    /// For the trace.
    pub fn code(&self) -> u64 {
        match self {
            Self::Probe { agent, subject, .. } => 0x0100 + (*agent * 16 + *subject) as u64,
            Self::Answer { agent, subject, answer, .. } => {
                0x0200_0000 + ((*agent * 16 + *subject) * 4 + answer.code()) as u64
            }
            Self::Tick { agent, .. } => 0x0300_0000 + *agent as u64,
            Self::Look { agent, .. } => 0x0400_0000 + *agent as u64,
            Self::Unanswered { conn, .. } => 0x0500_0000 + (*conn as u64 & 0x00ff_ffff),
            Self::ToNode { conn, .. } => 0x0600_0000 + *conn as u64,
            Self::ToAgent { conn, .. } => 0x0700_0000 + *conn as u64,
            Self::ToPeer { from, to, .. } => 0x0800 + (*from * 16 + *to) as u64,
            Self::Flush { conn } => 0x0900_0000 + *conn as u64,
            Self::ReadIndexed { node, term, .. } => 0x0a00_0000 + *term * 8 + *node as u64,
            Self::Round { node, .. } => 0x0b00 + *node as u64,
            Self::Silence { node, .. } => 0x0c00 + *node as u64,
            Self::Elected { node, term, .. } => 0x0d00_0000 + *term * 8 + *node as u64,
            Self::StepDown { node, .. } => 0x0e00 + *node as u64,
            Self::Append { to, from, .. } => 0x0f00 + (*to * 8 + *from) as u64,
            Self::Appended { to, from, len, .. } => 0x1000_0000 + (*len * 64 + *to * 8 + *from) as u64,
            Self::Synced { node, len, .. } => 0x1100_0000 + (*len * 8 + *node) as u64,
            Self::Resend { node, .. } => 0x1200 + *node as u64,
            Self::Disk { agent, .. } => 0x1300 + *agent as u64,
            Self::Work { agent, seq, .. } => 0x1400_0000 + seq.0 * 16 + *agent as u64,
            Self::Observed { agent, seq, .. } => 0x1500_0000 + seq.0 * 16 + *agent as u64,
            Self::Effect(call) => 0x1600_0000 + call.job.token.intent.0,
            Self::CallEnded { agent, seq, .. } => 0x1700_0000 + seq.0 * 16 + *agent as u64,
            Self::Proxy { region } => 0x1800 + *region as u64,
            Self::Promoted { region, .. } => 0x1900 + *region as u64,
            Self::Restart { agent, .. } => 0x19c0 + *agent as u64,
            Self::Fault { nth, begins } => 0x1a00_0000 + *nth as u64 * 2 + u64::from(*begins),
            Self::Flip { nth, cut } => 0x1b00_0000 + *nth as u64 * 2 + u64::from(*cut),
            Self::People(step) => 0x1c00_0000 + step.code(),
            Self::Zone(step) => 0x1d00_0000 + step.code(),
            Self::Mix(step) => 0x1e00_0000 + step.code(),
        }
    }
}

impl Answer {
    const fn code(&self) -> usize {
        match self {
            Self::Passed => 0,
            Self::Failed => 1,
            Self::Unknown => 2,
        }
    }
}
