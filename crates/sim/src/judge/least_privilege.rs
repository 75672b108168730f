//! LeastPrivilege: no call outside what is declared for the agent's own region, and no request that its sender's role has
//! not. The tables are this file's own.

use mesh_core::access::Role;
use mesh_core::execute::Job;
use mesh_core::plan::Action;

use crate::people::{Asking, PEOPLE};
use crate::setting::{ZONE, record_of};
use crate::world::World;

/// What each role may ask for, by the end of the RPC's name.
const ALLOWED: [(Role, &[&str]); 3] = [
    (Role::Viewer, &["Operator/GetStatus"]),
    (Role::Approver, &["Operator/GetStatus", "Operator/Approve"]),
    (
        Role::Admin,
        &[
            "Operator/GetStatus",
            "Operator/StartRun",
            "Operator/ControlRun",
            "Operator/Approve",
            "Operator/EnrollKey",
            "Operator/RevokeKey",
            "Operator/ChangeMembership",
            "Operator/Freeze",
            "Operator/Unfreeze",
            "Operator/Acknowledge",
        ],
    ),
];

impl World {
    pub fn judge_request(&mut self, asking: &Asking, allowed: bool) {
        let role = PEOPLE[asking.person].role;
        let may = ALLOWED
            .iter()
            .find(|(known, _)| *known == role)
            .is_some_and(|(_, rpcs)| rpcs.iter().any(|rpc| asking.path.strip_prefix("/mesh.v1.") == Some(rpc)));
        if !may {
            self.reached("somebody asked for what they may not");
        }
        if allowed != may {
            self.violated("LeastPrivilege", format!("{role} asked for {}: allowed is {allowed}", asking.path));
        }
    }

    pub fn judge_declared(&mut self, agent: usize, job: &Job) {
        let own = self.agents[agent].region;
        let host = |host: &str| host == format!("pg{own}.example.com");
        let region = self.names.regions[own].as_str();
        let declared = match &job.action {
            Action::PostgresFence { instance }
            | Action::PostgresUnfence { instance }
            | Action::PostgresPromote { instance }
            | Action::PostgresRejoin { instance, .. } => host(&instance.host),
            Action::Route53Replace { zone_id, record, .. } => {
                zone_id == ZONE && *record == record_of(job.service.as_str())
            }
            Action::SnsNotify { topic_arn, .. } => *topic_arn == format!("arn:aws:sns:{region}:1:oncall.fifo"),
            _ => false,
        };
        if !declared || job.region.as_str() != region {
            self.violated("LeastPrivilege", format!("agent {agent} of {region} called {:?}", job.action));
        }
    }
}
