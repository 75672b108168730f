use mesh_core::fleet::Command;
use mesh_core::ids::{IntentSeq, RunId};
use mesh_core::time::Timestamp;

use crate::DecodeError;
use crate::bounds::{COMPOSED_BYTES_MAX, SOURCE_BYTES_MAX};
use crate::convert::approval::{encode_all, public_key};
use crate::convert::policy;
use crate::fields::{Decoded, Fields, strings, timestamp};
use crate::v1::{self, log_command::Command as Wire};

/// A command as it goes into the log, stamped by the leader.
pub fn log_command(at: Timestamp, command: &Command) -> v1::LogCommand {
    v1::LogCommand { at: at.as_millis(), command: Some(encode(command)) }
}

impl From<(Timestamp, &Command)> for v1::LogCommand {
    fn from((at, command): (Timestamp, &Command)) -> Self {
        log_command(at, command)
    }
}

fn encode(command: &Command) -> Wire {
    match command.clone() {
        Command::NameMesh { mesh } => Wire::NameMesh(v1::NameMesh { mesh }),
        Command::ApplyManifest { manifest, source, by, expected_version } => {
            let manifest = Some(manifest.as_ref().into());
            Wire::ApplyManifest(v1::ApplyManifest { manifest, source, by, expected_version })
        }
        Command::RegisterAgent { agent, region } => {
            Wire::RegisterAgent(v1::RegisterAgent { agent: agent.into(), region: region.into() })
        }
        Command::StartRun { plan, plan_hash, by, cause, safety, approvals } => Wire::StartRun(v1::StartRun {
            plan: Some(plan.as_ref().into()),
            plan_hash: plan_hash.0.to_vec(),
            by,
            cause: policy::cause(&cause),
            despite_freeze: policy::despite_freeze(&cause),
            safety: safety.iter().map(Into::into).collect(),
            approvals: encode_all(&approvals),
        }),
        Command::Freeze { service, until, by, reason } => {
            Wire::Freeze(v1::FreezeOrder { service: service.map(Into::into), until: until.as_millis(), by, reason })
        }
        Command::Unfreeze { service, by } => Wire::Unfreeze(v1::UnfreezeOrder { service: service.map(Into::into), by }),
        Command::Acknowledge { service, by } => Wire::Acknowledge(v1::AcknowledgeOrder { service: service.into(), by }),
        Command::NoteAutomatic { service, to, text } => {
            Wire::NoteAutomatic(v1::NoteAutomatic { service: service.into(), to: to.into(), text })
        }
        Command::AskNotice { service, step, at, topic, agent } => Wire::AskNotice(v1::AskNotice {
            service: service.into(),
            step: step.into(),
            at: at.as_millis(),
            topic,
            agent: agent.into(),
        }),
        Command::CloseNotice { service, step, seq, outcome } => Wire::CloseNotice(v1::CloseNotice {
            service: service.into(),
            step: step.into(),
            seq: seq.0,
            outcome: Some((&outcome).into()),
        }),
        Command::NoteLoss { run, loss } => Wire::NoteLoss(v1::NoteLoss { run: run.into(), loss: Some((&loss).into()) }),
        Command::OpenIntent { run, step, direction, agent } => Wire::OpenIntent(v1::OpenIntent {
            run: run.into(),
            step: step.into(),
            direction: v1::Direction::from(direction).into(),
            agent: agent.into(),
        }),
        Command::CloseIntent { run, step, direction, seq, outcome } => Wire::CloseIntent(v1::CloseIntent {
            run: run.into(),
            step: step.into(),
            direction: v1::Direction::from(direction).into(),
            seq: seq.0,
            outcome: Some(outcome.into()),
        }),
        Command::FailStep { run, step, direction, reason } => Wire::FailStep(v1::FailStep {
            run: run.into(),
            step: step.into(),
            direction: v1::Direction::from(direction).into(),
            reason,
        }),
        Command::Grant { run, step } => Wire::Grant(v1::Grant { run: run.into(), step: step.into() }),
        Command::Revoke { run } => Wire::Revoke(v1::Revoke { run: run.into() }),
        Command::ProveClosed { run, region, proof } => {
            let proof = Some((&proof).into());
            Wire::ProveClosed(v1::ProveClosed { run: run.into(), region: region.into(), proof })
        }
        Command::SetAskList { service, members } => {
            Wire::SetAskList(v1::SetAskList { service: service.into(), members: strings(&members) })
        }
        Command::RetireAskLists { service, version } => {
            Wire::RetireAskLists(v1::RetireAskLists { service: service.into(), version })
        }
        Command::NoteAddress { agent, address } => Wire::NoteAddress(v1::NoteAddress { agent: agent.into(), address }),
        Command::Pause { run, by } => Wire::Pause(v1::RunOrder { run: run.into(), by }),
        Command::Resume { run, by } => Wire::Resume(v1::RunOrder { run: run.into(), by }),
        Command::Abort { run, by, reason } => Wire::Abort(v1::AbortRun { run: run.into(), by, reason }),
        Command::Retry { run, by } => Wire::Retry(v1::RunOrder { run: run.into(), by }),
        Command::Approve { run, approval, by } => {
            Wire::Approve(v1::ApproveRun { run: run.into(), approval: Some(approval.into()), by })
        }
        Command::EnrollKey { key, owner, public_key, approvals, by } => {
            Wire::EnrollKey(v1::EnrollKey { key: key.into(), owner, public_key, approvals: encode_all(&approvals), by })
        }
        Command::RevokeKey { key, approvals, by } => {
            Wire::RevokeKey(v1::RevokeKey { key: key.into(), approvals: encode_all(&approvals), by })
        }
        Command::NoteMembership { text, approvals, by } => {
            Wire::NoteMembership(v1::NoteMembership { text, approvals: encode_all(&approvals), by })
        }
        Command::Restored { backup, made_at, lost_at, by } => {
            let (backup, made_at, lost_at) = (backup.0.to_vec(), made_at.as_millis(), lost_at.as_millis());
            Wire::Restored(v1::Restored { backup, made_at, by, lost_at })
        }
        Command::SetArmed { service, armed, by } => Wire::SetArmed(v1::SetArmed { service: service.into(), armed, by }),
    }
}

impl TryFrom<v1::LogCommand> for (Timestamp, Command) {
    type Error = DecodeError;

    fn try_from(wire: v1::LogCommand) -> Result<Self, DecodeError> {
        let command = Fields("LogCommand").required("command", wire.command)?;
        Ok((timestamp(wire.at), decode(command)?))
    }
}

fn decode(command: Wire) -> Decoded<Command> {
    match command {
        Wire::NameMesh(wire) => Ok(Command::NameMesh { mesh: Fields("NameMesh").text("mesh", wire.mesh)? }),
        Wire::ApplyManifest(wire) => decode_apply(wire),
        Wire::RegisterAgent(v1::RegisterAgent { agent, region }) => {
            const F: Fields = Fields("RegisterAgent");
            Ok(Command::RegisterAgent { agent: F.name("agent", agent)?, region: F.name("region", region)? })
        }
        Wire::StartRun(v1::StartRun { plan, plan_hash, by, cause, safety, approvals, despite_freeze }) => {
            const F: Fields = Fields("StartRun");
            Ok(Command::StartRun {
                plan: Box::new(F.message("plan", plan)?),
                plan_hash: F.hash("plan_hash", &plan_hash)?,
                by: F.text("by", by)?,
                cause: policy::read_cause(F, cause, despite_freeze)?,
                safety: F.list("safety", safety)?,
                approvals: F.list("approvals", approvals)?,
            })
        }
        Wire::OpenIntent(v1::OpenIntent { run, step, direction, agent }) => {
            const F: Fields = Fields("OpenIntent");
            Ok(Command::OpenIntent {
                run: F.name("run", run)?,
                step: F.name("step", step)?,
                direction: F.enumeration::<v1::Direction, _>("direction", direction)?,
                agent: F.name("agent", agent)?,
            })
        }
        Wire::CloseIntent(v1::CloseIntent { run, step, direction, seq, outcome }) => {
            const F: Fields = Fields("CloseIntent");
            Ok(Command::CloseIntent {
                run: F.name("run", run)?,
                step: F.name("step", step)?,
                direction: F.enumeration::<v1::Direction, _>("direction", direction)?,
                seq: IntentSeq(seq),
                outcome: F.message("outcome", outcome)?,
            })
        }
        Wire::FailStep(v1::FailStep { run, step, direction, reason }) => {
            const F: Fields = Fields("FailStep");
            Ok(Command::FailStep {
                run: F.name("run", run)?,
                step: F.name("step", step)?,
                direction: F.enumeration::<v1::Direction, _>("direction", direction)?,
                reason: F.text_max("reason", reason, COMPOSED_BYTES_MAX / 2)?,
            })
        }
        Wire::Grant(v1::Grant { run, step }) => {
            const F: Fields = Fields("Grant");
            Ok(Command::Grant { run: F.name("run", run)?, step: F.name("step", step)? })
        }
        Wire::Revoke(v1::Revoke { run }) => Ok(Command::Revoke { run: Fields("Revoke").name("run", run)? }),
        Wire::ProveClosed(v1::ProveClosed { run, region, proof }) => {
            const F: Fields = Fields("ProveClosed");
            Ok(Command::ProveClosed {
                run: F.name("run", run)?,
                region: F.name("region", region)?,
                proof: F.message("proof", proof)?,
            })
        }
        Wire::SetAskList(v1::SetAskList { service, members }) => {
            const F: Fields = Fields("SetAskList");
            Ok(Command::SetAskList { service: F.name("service", service)?, members: F.name_set("members", members)? })
        }
        Wire::RetireAskLists(v1::RetireAskLists { service, version }) => {
            Ok(Command::RetireAskLists { service: Fields("RetireAskLists").name("service", service)?, version })
        }
        Wire::NoteAddress(v1::NoteAddress { agent, address }) => {
            const F: Fields = Fields("NoteAddress");
            Ok(Command::NoteAddress { agent: F.name("agent", agent)?, address: F.text_optional("address", address)? })
        }
        Wire::Pause(order) => decode_order(order, |run, by| Command::Pause { run, by }),
        Wire::Resume(order) => decode_order(order, |run, by| Command::Resume { run, by }),
        Wire::Retry(order) => decode_order(order, |run, by| Command::Retry { run, by }),
        Wire::Abort(v1::AbortRun { run, by, reason }) => {
            const F: Fields = Fields("AbortRun");
            Ok(Command::Abort { run: F.name("run", run)?, by: F.text("by", by)?, reason: F.text("reason", reason)? })
        }
        Wire::Approve(v1::ApproveRun { run, approval, by }) => {
            const F: Fields = Fields("ApproveRun");
            Ok(Command::Approve {
                run: F.name("run", run)?,
                approval: F.message("approval", approval)?,
                by: F.text("by", by)?,
            })
        }
        Wire::EnrollKey(v1::EnrollKey { key, owner, public_key: bytes, approvals, by }) => {
            const F: Fields = Fields("EnrollKey");
            Ok(Command::EnrollKey {
                key: F.name("key", key)?,
                owner: F.text("owner", owner)?,
                public_key: public_key(F, &bytes)?,
                approvals: F.list("approvals", approvals)?,
                by: F.text("by", by)?,
            })
        }
        Wire::RevokeKey(v1::RevokeKey { key, approvals, by }) => {
            const F: Fields = Fields("RevokeKey");
            Ok(Command::RevokeKey {
                key: F.name("key", key)?,
                approvals: F.list("approvals", approvals)?,
                by: F.text("by", by)?,
            })
        }
        Wire::Freeze(v1::FreezeOrder { service, until, by, reason }) => {
            const F: Fields = Fields("FreezeOrder");
            Ok(Command::Freeze {
                service: F.name_optional("service", service)?,
                until: timestamp(until),
                by: F.text("by", by)?,
                reason: F.text("reason", reason)?,
            })
        }
        Wire::Unfreeze(v1::UnfreezeOrder { service, by }) => {
            const F: Fields = Fields("UnfreezeOrder");
            Ok(Command::Unfreeze { service: F.name_optional("service", service)?, by: F.text("by", by)? })
        }
        Wire::Acknowledge(v1::AcknowledgeOrder { service, by }) => {
            const F: Fields = Fields("AcknowledgeOrder");
            Ok(Command::Acknowledge { service: F.name("service", service)?, by: F.text("by", by)? })
        }
        Wire::NoteAutomatic(v1::NoteAutomatic { service, to, text }) => {
            const F: Fields = Fields("NoteAutomatic");
            Ok(Command::NoteAutomatic {
                service: F.name("service", service)?,
                to: F.name("to", to)?,
                text: F.text_max("text", text, COMPOSED_BYTES_MAX)?,
            })
        }
        Wire::AskNotice(v1::AskNotice { service, step, at, topic, agent }) => {
            const F: Fields = Fields("AskNotice");
            Ok(Command::AskNotice {
                service: F.name("service", service)?,
                step: F.name("step", step)?,
                at: timestamp(at),
                topic: F.text("topic", topic)?,
                agent: F.name("agent", agent)?,
            })
        }
        Wire::CloseNotice(v1::CloseNotice { service, step, seq, outcome }) => {
            const F: Fields = Fields("CloseNotice");
            Ok(Command::CloseNotice {
                service: F.name("service", service)?,
                step: F.name("step", step)?,
                seq: IntentSeq(seq),
                outcome: F.message("outcome", outcome)?,
            })
        }
        Wire::NoteLoss(v1::NoteLoss { run, loss }) => {
            const F: Fields = Fields("NoteLoss");
            Ok(Command::NoteLoss { run: F.name("run", run)?, loss: F.message("loss", loss)? })
        }
        Wire::Restored(v1::Restored { backup, made_at, by, lost_at }) => {
            const F: Fields = Fields("Restored");
            Ok(Command::Restored {
                backup: F.hash("backup", &backup)?,
                made_at: timestamp(made_at),
                lost_at: timestamp(lost_at),
                by: F.text("by", by)?,
            })
        }
        Wire::SetArmed(v1::SetArmed { service, armed, by }) => {
            const F: Fields = Fields("SetArmed");
            Ok(Command::SetArmed { service: F.name("service", service)?, armed, by: F.text("by", by)? })
        }
        Wire::NoteMembership(v1::NoteMembership { text, approvals, by }) => {
            const F: Fields = Fields("NoteMembership");
            Ok(Command::NoteMembership {
                text: F.text("text", text)?,
                approvals: F.list("approvals", approvals)?,
                by: F.text("by", by)?,
            })
        }
    }
}

fn decode_apply(wire: v1::ApplyManifest) -> Decoded<Command> {
    const F: Fields = Fields("ApplyManifest");
    let v1::ApplyManifest { manifest, source, by, expected_version } = wire;
    Ok(Command::ApplyManifest {
        manifest: Box::new(F.message("manifest", manifest)?),
        source: F.text_max("source", source, SOURCE_BYTES_MAX)?,
        by: F.text("by", by)?,
        expected_version,
    })
}

fn decode_order(wire: v1::RunOrder, order: impl Fn(RunId, String) -> Command) -> Decoded<Command> {
    const F: Fields = Fields("RunOrder");
    Ok(order(F.name("run", wire.run)?, F.text("by", wire.by)?))
}
