//! OneWriter: at most one region may write, by the replicated state, by the leases, and at the servers.

use std::collections::BTreeMap;

use mesh_core::fleet::AuthorityState;
use mesh_core::fleet::apply::writers;

use crate::world::World;

impl World {
    pub fn judge_authority(&mut self) {
        let authority = &self.judge.fleet.services[&self.names.service].authority;
        let writing = writers(authority).len();
        if writing > 1 {
            self.violated("OneWriter", format!("{writing} regions are granted"));
        }
    }

    /// Two people accepted that nobody proved it closed.
    fn is_consented(&self, region: usize) -> bool {
        let authority = &self.judge.fleet.services[&self.names.service].authority;
        let state = authority.get(&self.names.regions[region]).map(|authority| &authority.state);
        matches!(state, Some(AuthorityState::ClosedByConsent { .. }))
    }

    /// An agent has a right that it may not have had before.
    pub fn judge_right(&mut self, agent: usize) {
        let Some(own) = self.agents[agent].holder.standing(self.stamp(agent)) else { return };
        let region = self.agents[agent].region;
        if self.is_consented(region) {
            return;
        }
        for other in 0..self.agents.len() {
            let it = &self.agents[other];
            if it.region == region || !it.alive || self.is_consented(it.region) {
                continue;
            }
            if let Some(theirs) = self.standing_of(other) {
                let text = format!("agent {agent} at {own:?} while agent {other} has {theirs:?}");
                self.violated("OneWriter", text);
            }
        }
        let others = (0..self.cloud.servers.len()).filter(|other| *other != region && !self.is_consented(*other));
        for other in others.collect::<Vec<_>>() {
            let server = &self.cloud.servers[other];
            if server.proxy_open && server.primary && !server.fenced {
                let text = format!("agent {agent} of region {region} may write while the proxy of {other} is open");
                self.violated("OneWriter", text);
            }
        }
    }

    pub fn judge_writers(&mut self, what: &str) {
        let writing: Vec<usize> =
            (0..self.cloud.servers.len()).filter(|region| self.cloud.primary_writes(*region)).collect();
        let unproven = writing.iter().any(|region| self.is_consented(*region));
        if writing.len() > 1 && !unproven {
            let mut timelines = BTreeMap::new();
            for region in &writing {
                timelines.insert(*region, self.cloud.servers[*region].timeline);
            }
            self.violated("OneWriter", format!("{what}: both take writes, with timelines {timelines:?}"));
        }
        self.judge_wrote();
        if writing.iter().any(|region| *region != 0) && self.judge.first_write.is_none() {
            self.judge.first_write = Some(self.now);
        }
    }
}
