//! Membership of the coordinators.

use mesh_core::access::membership_subject;
use mesh_proto::v1::{AddLearner, Membership, change_membership_request::Change};
use serde_json::json;

use super::keys::{load_approvals, needs_approval};
use super::{Context, backup};
use crate::args::admin::{Approvals, CoordinatorCommand, NodeChange};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::prompt::confirm;
use crate::render::status;

pub async fn coordinator(context: &Context, command: CoordinatorCommand) -> Outcome {
    match command {
        CoordinatorCommand::Status => {
            let membership = context.mesh()?.membership().await?;
            show(context, &membership)
        }
        CoordinatorCommand::Add { id, address, region, approvals, yes } => {
            let text = format!("add-learner {id} {address}");
            let learner = AddLearner { id, address, region: region.to_string() };
            change(context, &text, Change::AddLearner(learner), &approvals, yes).await
        }
        CoordinatorCommand::Backup { output } => backup::make(context, &output).await,
        CoordinatorCommand::VerifyBackup { file } => backup::verify(context, &file),
        CoordinatorCommand::Promote(node) => node_change(context, "promote", Change::Promote(node.id), &node).await,
        CoordinatorCommand::Remove(node) => node_change(context, "remove", Change::Remove(node.id), &node).await,
        CoordinatorCommand::Transfer(node) => {
            node_change(context, "transfer-leader", Change::TransferLeader(node.id), &node).await
        }
    }
}

async fn node_change(context: &Context, verb: &str, wanted: Change, node: &NodeChange) -> Outcome {
    change(context, &format!("{verb} {}", node.id), wanted, &node.approvals, node.yes).await
}

async fn change(context: &Context, text: &str, wanted: Change, approvals: &Approvals, yes: bool) -> Outcome {
    let subject = membership_subject(text);
    let approvals = load_approvals(&approvals.approvals, &subject)?;
    let mesh = context.mesh()?;
    if !yes {
        context.output.note(&status::coordinators(&mesh.membership().await?));
    }
    confirm(&format!("Type yes to change the coordinators ({text}):"), &["yes"], yes, "change the coordinators")?;
    let membership =
        mesh.change_membership(wanted, &approvals).await.map_err(|failure| needs_approval(failure, &subject))?;
    show(context, &membership)
}

fn show(context: &Context, membership: &Membership) -> Outcome {
    let value = json!({
        "leader": membership.leader, "term": membership.term, "members": status::members_json(membership),
    });
    context.output.either(&value, || status::coordinators(membership))?;
    Ok(Exit::Ok)
}
