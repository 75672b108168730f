//! The world: its parts, its time, what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use mesh_core::fleet::{Fleet, Reply};

use crate::agent::Agent;
use crate::clock::Clocks;
use crate::cloud::Cloud;
use crate::consensus::{FOUNDING_TERM, Node, coordinator};
use crate::event::{Entry, Event, Heard, Log, Peer, Say, Who};
use crate::fault::Planned;
use crate::judge::Judge;
use crate::net::{Net, Place};
use crate::people::People;
use crate::plant::Bug;
use crate::plant::spoil::spoil_founding;
use crate::queue::{Item, Queue};
use crate::rng::Rng;
use crate::setting::{AGENTS_PER_REGION, Names, Setting, spread_intents};
use crate::trace::Trace;
use crate::zone::Zone;
use crate::{MILLI, Micros, SECOND};

/// A connection on which nothing passes for so long is given up by its ends' kernels.
const STUCK_MAX: Micros = 20 * SECOND;
/// What a kernel sends before it wants to know that something arrived.
const UNACKNOWLEDGED_MAX: Micros = 4 * SECOND;
const FLUSH_EVERY: Micros = 400 * MILLI;

/// One session between an agent and a coordinator, in order in each direction.
pub struct Connection {
    pub agent: usize,
    pub node: usize,
    /// Of the coordinator's process.
    pub epoch: u32,
    pub ended: bool,
    stuck: VecDeque<Message>,
    stuck_since: Micros,
    unacknowledged: Option<Micros>,
    last: [Micros; 2],
    pub rng: Rng,
}

enum Message {
    Say(Say),
    Heard(Heard),
}

/// What happened, counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub events: u64,
    pub probes: u64,
    pub elections: u64,
    pub sessions: u64,
    pub sessions_lost: u64,
    pub judgements: u64,
    pub promises: u64,
    pub holds: u64,
    pub calls: u64,
    pub unknown_calls: u64,
    pub replies_lost: u64,
    pub calls_late: u64,
    pub provider_errors: u64,
    pub promotions: u64,
    pub failovers: u64,
    /// Times a fault was where it fires, by kind: what it touched, it changed.
    pub faults: BTreeMap<&'static str, u64>,
    /// Committed commands by kind.
    pub decisions: BTreeMap<String, u64>,
}

pub struct World {
    pub now: Micros,
    queue: Queue,
    /// Do lanes rest while nothing can come of them? A test says no.
    pub rests: bool,
    /// Agents that rest now.
    pub resting: usize,
    /// Links that flap now.
    pub flapping: u32,
    pub seed: u64,
    pub set: Setting,
    pub names: Names,
    pub rng: Rng,
    pub net: Net,
    pub nodes: Vec<Node>,
    pub agents: Vec<Agent>,
    pub conns: Vec<Connection>,
    pub cloud: Cloud,
    pub zone: Zone,
    pub people: People,
    pub faults: Vec<Planned>,
    /// The last faults are over.
    pub heals_at: Micros,
    pub met_before: Vec<u64>,
    /// Did it fire, by the number of the fault?
    pub fired: Vec<bool>,
    /// Faults that wait for their moment.
    pub armed: Vec<usize>,
    /// What was put off because its process stood still.
    pub put_off: Vec<u64>,
    /// Flapping links that are cut now, by the number of the fault.
    pub flapped: BTreeSet<usize>,
    pub judge: Judge,
    pub trace: Trace,
    /// Every verdict on the active region, and when.
    pub verdicts: Trace,
    pub counts: Counts,
    pub plant: Option<Bug>,
}

/// What was committed before the world begins, and the state that it makes.
fn founded(set: &Setting, names: &Names, plant: Option<Bug>) -> (Log, Fleet) {
    let mut fleet = Fleet::default();
    let mut log = Vec::new();
    for command in set.founding(names) {
        let at = mesh_core::time::Timestamp::from_millis(1_780_000_000_000);
        let applied = fleet.apply(at, &command);
        assert!(!matches!(applied.reply, Reply::Refused(_)), "{:?}", applied.reply);
        log.push(Rc::new(Entry { term: FOUNDING_TERM, at, command: Some(command) }));
    }
    spread_intents(&mut fleet, names);
    spoil_founding(plant, &mut fleet);
    (Rc::new(log), fleet)
}

impl Connection {
    /// Nothing is held up on it.
    pub fn is_quiet(&self) -> bool {
        !self.ended && self.stuck.is_empty() && self.unacknowledged.is_none()
    }
}

impl World {
    pub fn new(set: Setting, seed: u64, plant: Option<Bug>) -> Self {
        let names = Names::of(&set);
        let (log, fleet) = founded(&set, &names, plant);
        let places = set.regions * (AGENTS_PER_REGION + 1);
        let mut world = Self {
            now: 0,
            queue: Queue::default(),
            rests: set.given.is_none(),
            resting: 0,
            flapping: 0,
            seed,
            net: Net::new(set.regions, set.far),
            cloud: Cloud::new(set.workloads),
            zone: Zone::of(&fleet),
            people: People::default(),
            judge: Judge::new(&log, fleet.clone(), set.regions * AGENTS_PER_REGION, set.workloads),
            set,
            names,
            rng: Rng::new(seed),
            nodes: Vec::new(),
            agents: Vec::new(),
            conns: Vec::new(),
            faults: Vec::new(),
            heals_at: Micros::MAX,
            met_before: Vec::new(),
            fired: Vec::new(),
            armed: Vec::new(),
            put_off: vec![0; places],
            flapped: BTreeSet::new(),
            trace: Trace::default(),
            verdicts: Trace::default(),
            counts: Counts::default(),
            plant,
        };
        for _ in 0..world.set.regions {
            let clocks = world.some_clocks();
            let (fsync, nodes) = (world.set.fsync, world.set.regions);
            world.nodes.push(Node::new(clocks, Rc::clone(&log), fleet.clone(), fsync, nodes));
        }
        for agent in 0..world.set.regions * AGENTS_PER_REGION {
            let made = world.new_agent(agent);
            world.agents.push(made);
        }
        world
    }

    /// Everybody begins; `leader` leads.
    pub fn begin(&mut self, leader: usize) {
        self.lead(leader, 2);
        for agent in 0..self.agents.len() {
            self.start_agent(agent);
        }
        self.gather_people();
        for region in 0..self.set.workloads {
            let first = self.rng.below(SECOND);
            self.after(first, Event::Proxy { region });
        }
    }

    pub fn some_clocks(&mut self) -> Clocks {
        let drift = i64::try_from(self.rng.below(2 * self.set.drift_ppm + 1)).unwrap_or_default();
        let drift_ppm = drift - i64::try_from(self.set.drift_ppm).unwrap_or_default();
        let wall_off = i64::try_from(self.rng.below(400 * MILLI) + self.set.calendar).unwrap_or_default() - 200_000;
        Clocks::drifting(drift_ppm, wall_off)
    }

    pub fn bug(&self, bug: Bug) -> bool {
        self.plant == Some(bug)
    }

    pub fn at(&mut self, at: Micros, event: Event) {
        self.queue.push(at, at, event);
    }

    pub fn after(&mut self, delay: Micros, event: Event) {
        self.at(self.now + delay, event);
    }

    /// Everything up to `until`.
    pub fn run(&mut self, until: Micros) {
        loop {
            while let Some(item) = self.queue.pop(until) {
                self.step(item);
            }
            self.now = until;
            if self.resting == 0 {
                self.reckon_all();
                return;
            }
            self.wake_sessions();
        }
    }

    fn step(&mut self, Item { at, due, code, event }: Item) {
        self.now = at;
        if self.resting > 0 && self.relies_on_rest(&event) {
            self.wake_sessions();
            self.queue.push(at, due, event);
            return;
        }
        if let Some(who) = event.of()
            && let Some(resumes) = self.stands_still(who)
        {
            let place = self.place(who);
            self.put_off[place] += 1;
            self.queue.push(resumes, due, event);
            return;
        }
        self.counts.events += 1;
        self.trace.note(at);
        self.trace.note(code);
        self.happen(event, due);
    }

    pub fn place(&self, who: Who) -> usize {
        match who {
            Who::Agent(agent) => agent,
            Who::Node(node) => self.agents.len() + node,
        }
    }

    fn stands_still(&self, who: Who) -> Option<Micros> {
        let (paused, resumes) = match who {
            Who::Agent(agent) => (self.agents[agent].paused, self.agents[agent].resumes),
            Who::Node(node) => (self.nodes[node].paused, self.nodes[node].resumes),
        };
        paused.then(|| resumes.max(self.now + 1))
    }

    fn happen(&mut self, event: Event, due: Micros) {
        let late = self.now - due;
        match event {
            Event::Probe { agent, subject, epoch } => self.probe(agent, subject, epoch, due),
            Event::Answer { agent, subject, epoch, answer } => self.answer(agent, subject, epoch, answer, late),
            Event::Tick { agent, epoch } => self.tick(agent, epoch, late),
            Event::Look { agent, epoch } => self.look(agent, epoch),
            Event::Unanswered { agent, conn: usize::MAX } => self.seek_again(agent),
            Event::Unanswered { agent, conn } => self.unanswered(agent, conn),
            Event::ToNode { conn, say } => self.arrive_at_node(conn, say),
            Event::ToAgent { conn, heard } => self.arrive_at_agent(conn, heard),
            Event::ToPeer { from, to, peer } => self.hear_peer(from, to, *peer),
            Event::Flush { conn } => self.flush(conn),
            Event::ReadIndexed { node, epoch, term, conn, nonce } => self.read_indexed(node, epoch, term, conn, nonce),
            Event::Round { node, epoch } => self.round(node, epoch),
            Event::Silence { node, epoch, silence } => self.silence(node, epoch, silence),
            Event::Elected { node, epoch, term } => self.elected(node, epoch, term),
            Event::StepDown { node, term, newer } => self.step_down(node, term, newer),
            Event::Append { to, from, term, log, commit } => self.append(to, from, term, log, commit),
            Event::Appended { to, from, term, len, told } => self.appended(to, from, term, len, told),
            Event::Synced { node, epoch, len, reply } => self.synced(node, epoch, len, reply),
            Event::Resend { node, term } => self.resend(node, term),
            Event::Disk { agent, epoch, written } => self.written(agent, epoch, *written),
            Event::Work { agent, epoch, seq } => self.work(agent, epoch, seq),
            Event::Observed { agent, epoch, seq, observation } => self.observed(agent, epoch, seq, *observation),
            Event::Effect(call) => self.effect(*call),
            Event::CallEnded { agent, epoch, seq, call, result } => self.call_ended(agent, epoch, seq, call, *result),
            Event::Proxy { region } => self.proxy(region),
            Event::Promoted { region, generation } => self.disturb(|world| world.promoted(region, generation)),
            Event::Restart { agent, epoch } => self.restart(agent, epoch),
            Event::Fault { nth, begins } => self.disturb(|world| world.fault(nth, begins)),
            Event::Flip { nth, cut } => self.disturb(|world| world.flip(nth, cut)),
            Event::People(step) if !step.relies_on_agents() => self.people_step(*step),
            Event::People(step) => self.disturb(|world| world.people_step(*step)),
            Event::Zone(step) => self.disturb(|world| world.zone_step(step)),
            Event::Mix(step) => self.disturb(|world| world.mix_step(step)),
        }
    }

    /// Changes something that those who rest rely on.
    fn disturb(&mut self, change: impl FnOnce(&mut Self)) {
        self.reckon_all();
        change(self);
        self.wake_lanes();
    }

    // Connections.

    pub fn connect(&mut self, agent: usize, node: usize) -> usize {
        let epoch = self.nodes[node].epoch;
        let (stuck, last) = (VecDeque::new(), [0; 2]);
        self.conns.push(Connection {
            agent,
            node,
            epoch,
            ended: false,
            stuck,
            stuck_since: 0,
            unacknowledged: None,
            last,
            rng: Rng::of(self.seed, 1 << 62 | self.conns.len() as u64),
        });
        self.conns.len() - 1
    }

    pub fn say_to_node(&mut self, conn: usize, say: Say) {
        self.send(conn, Message::Say(say));
    }

    pub fn say_to_agent(&mut self, conn: usize, heard: Heard) {
        self.send(conn, Message::Heard(heard));
    }

    fn is_joined(&mut self, conn: usize) -> bool {
        let (agent, node) = (self.conns[conn].agent, self.conns[conn].node);
        self.net.joined(Self::agents_of(self.agents[agent].region), coordinator(node))
    }

    /// Does it come through? While only the way back is cut, it does for as long as nobody misses the acknowledgements.
    fn comes_through(&mut self, conn: usize, message: &Message) -> bool {
        if self.is_joined(conn) {
            self.conns[conn].unacknowledged = None;
            return true;
        }
        let (from, to, _) = self.way(conn, message);
        let since = *self.conns[conn].unacknowledged.get_or_insert(self.now);
        self.net.passes(from, to) && self.now - since < UNACKNOWLEDGED_MAX
    }

    fn way(&self, conn: usize, message: &Message) -> (Place, Place, usize) {
        let (agent, node) = (self.conns[conn].agent, self.conns[conn].node);
        let (agents, coordinator) = (Self::agents_of(self.agents[agent].region), coordinator(node));
        match message {
            Message::Say(_) => (agents, coordinator, 0),
            Message::Heard(_) => (coordinator, agents, 1),
        }
    }

    fn send(&mut self, conn: usize, message: Message) {
        if self.conns[conn].ended {
            return;
        }
        if self.conns[conn].stuck.is_empty() && self.comes_through(conn, &message) {
            self.dispatch(conn, message);
            return;
        }
        if self.conns[conn].stuck.is_empty() {
            self.conns[conn].stuck_since = self.now;
            let delay = FLUSH_EVERY / 2 + self.rng.below(FLUSH_EVERY);
            self.after(delay, Event::Flush { conn });
        }
        self.conns[conn].stuck.push_back(message);
    }

    fn flush(&mut self, conn: usize) {
        if self.conns[conn].ended || self.now - self.conns[conn].stuck_since > STUCK_MAX {
            self.conns[conn].ended = true;
            self.conns[conn].stuck.clear();
            return;
        }
        if !self.is_joined(conn) {
            let delay = FLUSH_EVERY + self.rng.below(FLUSH_EVERY);
            self.after(delay, Event::Flush { conn });
            return;
        }
        for message in std::mem::take(&mut self.conns[conn].stuck) {
            self.dispatch(conn, message);
        }
    }

    fn dispatch(&mut self, conn: usize, message: Message) {
        let (from, to, way) = self.way(conn, &message);
        let delay = match message {
            // Whether there is any news changes nothing for what follows.
            Message::Say(Say::Signals(..)) => {
                let mut rng = self.rng_of_news(self.conns[conn].agent, self.now);
                self.net.delay(from, to, &mut rng)
            }
            _ => self.net.delay(from, to, &mut self.conns[conn].rng),
        };
        let of = &mut self.conns[conn];
        let at = (self.now + delay).max(of.last[way] + 1);
        of.last[way] = at;
        let event = match message {
            Message::Say(say) => Event::ToNode { conn, say },
            Message::Heard(heard) => Event::ToAgent { conn, heard },
        };
        self.at(at, event);
    }

    fn arrive_at_node(&mut self, conn: usize, say: Say) {
        match self.stands_still(Who::Node(self.conns[conn].node)) {
            Some(resumes) => self.at(resumes, Event::ToNode { conn, say }),
            None => self.hear_say(conn, say),
        }
    }

    fn arrive_at_agent(&mut self, conn: usize, heard: Heard) {
        match self.stands_still(Who::Agent(self.conns[conn].agent)) {
            Some(resumes) => self.at(resumes, Event::ToAgent { conn, heard }),
            None => self.hear(conn, heard),
        }
    }

    pub fn say_to_peer(&mut self, from: usize, to: usize, peer: Peer, within: Micros) {
        let (a, b) = (Self::agents_of(self.agents[from].region), Self::agents_of(self.agents[to].region));
        if !self.net.joined(a, b) {
            return;
        }
        let delay = self.net.delay(a, b, &mut self.rng) + self.net.overtaken(a, b, &mut self.rng);
        if delay <= within {
            self.after(delay, Event::ToPeer { from, to, peer: Box::new(peer.clone()) });
        }
        if let Some(later) = self.net.twin(a, b, &mut self.rng) {
            self.after(delay + later, Event::ToPeer { from, to, peer: Box::new(peer) });
        }
    }

    /// The node that leads, as far as a quorum agrees: of those that believe it, the one of the newest term.
    pub fn leader(&self) -> Option<usize> {
        let leads =
            (0..self.nodes.len()).filter(|node| self.leads(*node) && self.nodes[*node].office.led_since.is_some());
        leads.max_by_key(|node| self.nodes[*node].term)
    }
}
