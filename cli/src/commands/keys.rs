//! Approval keys, and what is signed with them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::access::{enroll_subject, loss_subject, proceed_subject, revoke_subject, skip_subject};
use mesh_core::ids::StepId;
use mesh_core::run::{Approval, Need, Run, RunState};
use mesh_runtime::clock::unix_now;
use serde_json::json;

use super::Context;
use crate::args::Approve;
use crate::args::admin::{ApprovalCommand, KeysCommand};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::prompt::confirm;
use crate::render::table::Table;
use crate::render::{json as shapes, text};
use crate::signing::{self, Signer};

/// Most approvals one command sends.
const APPROVALS_MAX: usize = 16;

pub async fn keys(context: &Context, command: KeysCommand) -> Outcome {
    match command {
        KeysCommand::List => list(context).await,
        KeysCommand::Generate { name, owner, output } => {
            let public = Signer::generate(name, &owner, &output)?;
            let public_path = signing::public_path(&output);
            context.output.either(&public, || {
                format!("{} (private: keep it)\n{} (public: to be enrolled)", output.display(), public_path.display())
            })?;
            Ok(Exit::Ok)
        }
        KeysCommand::Enroll { public, approvals, yes } => enroll(context, &public, &approvals.approvals, yes).await,
        KeysCommand::Revoke { key, approvals, yes } => {
            let subject = revoke_subject(&key);
            let question = format!("Type yes to revoke {key}; its signatures count no longer:");
            confirm(&question, &["yes", key.as_str()], yes, "revoke a key")?;
            let approvals = load_approvals(&approvals.approvals, &subject)?;
            context.mesh()?.revoke(&key, &approvals).await.map_err(|failure| needs_approval(failure, &subject))?;
            context.output.either(&json!({ "key": key, "revoked": true }), || format!("{key} is revoked"))?;
            Ok(Exit::Ok)
        }
    }
}

async fn list(context: &Context) -> Outcome {
    let keys = context.mesh()?.keys().await?;
    let values: Vec<_> = keys
        .iter()
        .map(|(name, key)| {
            json!({
                "key": name, "owner": key.owner, "public_key": signing::hex(&key.public_key),
                "enrolled_by": key.enrolled_by, "enrolled_at": key.enrolled_at,
            })
        })
        .collect();
    context.output.either(&values, || {
        let mut table = Table::new(&["key", "owner", "enrolled", "by", "public key"]);
        for (name, key) in &keys {
            table.row(vec![
                name.to_string(),
                key.owner.clone(),
                text::time(key.enrolled_at),
                text::person(&key.enrolled_by),
                signing::hex(&key.public_key),
            ]);
        }
        if table.is_empty() {
            "no keys are enrolled: two-person decisions are not possible yet".to_owned()
        } else {
            table.render("")
        }
    })?;
    Ok(Exit::Ok)
}

async fn enroll(context: &Context, path: &Path, approvals: &[PathBuf], yes: bool) -> Outcome {
    let (public, bytes) = signing::load_public(path)?;
    let subject = enroll_subject(&public.key, &public.owner, &public.public_key);
    context.output.note(&format!("key    {}\nowner  {}\npublic {}", public.key, public.owner, public.public_key));
    confirm("Type yes to let this key approve:", &["yes", public.key.as_str()], yes, "enroll a key")?;
    let approvals = load_approvals(approvals, &subject)?;
    let mesh = context.mesh()?;
    mesh.enroll(&public.key, &public.owner, &bytes, &approvals)
        .await
        .map_err(|failure| needs_approval(failure, &subject))?;
    context.output.either(&json!({ "key": public.key, "owner": public.owner, "enrolled": true }), || {
        format!("{} of {} is enrolled", public.key, public.owner)
    })?;
    Ok(Exit::Ok)
}

/// Reads approval files; each must be for `subject`.
pub fn load_approvals(paths: &[PathBuf], subject: &str) -> Result<Vec<Approval>, Failure> {
    if paths.len() > APPROVALS_MAX {
        return Err(Failure::usage(format!("at most {APPROVALS_MAX} approvals can be given")));
    }
    let load = |path: &PathBuf| {
        let approval = signing::load_approval(path)?;
        if approval.subject != subject {
            let signed = format!("{} approves {:?}, not {subject:?}", path.display(), approval.subject);
            return Err(Failure::usage(signed));
        }
        Ok(approval)
    };
    paths.iter().map(load).collect()
}

/// How to get past a refusal, when it is approvals that are missing.
pub fn needs_approval(failure: Failure, subject: &str) -> Failure {
    if failure.exit != Exit::Refused || failure.hint.is_some() {
        return failure;
    }
    failure.hint(format!(
        "if approvals are missing, two people sign:  meshctl approval sign --subject {subject:?} --key FILE -o APPROVAL\n      \
         then give this command again with both files as --approval"
    ))
}

pub fn approval(context: &Context, command: ApprovalCommand) -> Outcome {
    let ApprovalCommand::Sign { subject, key, minutes, output, yes } = command;
    let mesh = crate::profile::load(context.profile.as_deref())?.mesh;
    let signer = Signer::load(&key)?;
    context.output.note(&format!("mesh     {mesh}\nsubject  {subject}\nkey      {} of {}", signer.key, signer.owner));
    confirm("Type yes to sign this:", &["yes"], yes, "sign")?;
    let approval = signer.sign(&mesh, &subject, unix_now(), Duration::from_secs(minutes * 60))?;
    signing::save_approval(&approval, &output)?;
    let value = json!({ "key": approval.key, "subject": subject, "expires_at": approval.expires_at, "file": output });
    context
        .output
        .either(&value, || format!("{} (valid until {})", output.display(), text::time(approval.expires_at)))?;
    Ok(Exit::Ok)
}

pub async fn approve(context: &Context, args: &Approve) -> Outcome {
    let mesh = context.mesh()?;
    let mut signer = Signer::load(&args.key)?;
    if let Some(name) = &args.key_name {
        signer.key = name.clone();
    }
    let run = mesh.run(&args.run).await?;
    let (shown, subject) = match &args.skip {
        Some(step) => (what_is_skipped(&run, step)?, skip_subject(&run.id, step, &run.plan_hash)),
        None if is_release(&run) => (what_is_released(&run)?, proceed_subject(&run.id, &run.plan_hash, &run.loss)),
        None => (what_is_approved(&run)?, loss_subject(&run.id, &run.plan_hash, &run.loss)),
    };
    context.output.note(&shown);
    let question = format!("Type {} to sign this with {}:", run.id, signer.key);
    confirm(&question, &["yes", run.id.as_str()], args.yes, "approve")?;
    let approval = signer.sign(mesh.name(), &subject, unix_now(), Duration::from_secs(args.minutes * 60))?;
    let (run, missing) = mesh.approve(&run.id, &approval).await?;
    let value = json!({ "run": shapes::run(&run), "missing": missing });
    context.output.either(&value, || match missing {
        0 => format!("{} has all signatures it needs and goes on. `meshctl watch {}` follows it.", run.id, run.id),
        missing => {
            let skip = args.skip.as_ref().map(|step| format!(" --skip {step}")).unwrap_or_default();
            format!("signed; {missing} more of another person needed:  meshctl approve {}{skip} --key FILE", run.id)
        }
    })?;
    Ok(Exit::Ok)
}

fn what_is_skipped(run: &Run, id: &StepId) -> Result<String, Failure> {
    let held = matches!(&run.state, RunState::Held { need: Need::Decision { step }, .. } if step == id);
    let (Some(step), true) = (run.plan.step(id), held) else {
        return Err(Failure::refused(format!("{} is {}: it does not wait for {id}", run.id, run.state.name()))
            .hint(format!("`meshctl report {}` shows what it waits for", run.id)));
    };
    let RunState::Held { reason, .. } = &run.state else { return Err(Failure::refused("the run is not held")) };
    Ok(format!(
        "You are about to leave a step as it is: the run goes on as if it were done.\n  run            {}\n  service        \
         {}: {} → {}\n  plan           {}\n  step           {id}: {}\n  does           {}\n  failed because {reason}\n  What it \
         would have done is yours to do, or to do without.",
        run.id,
        run.plan.service,
        run.plan.from,
        run.plan.to,
        run.plan_hash,
        step.title,
        crate::render::plan::action(&step.action),
    ))
}

fn what_is_approved(run: &Run) -> Result<String, Failure> {
    let RunState::Held { reason, need: Need::Consent { region } } = &run.state else {
        return Err(Failure::refused(format!("{} is {}: it waits for no consent", run.id, run.state.name()))
            .hint(format!("`meshctl report {}` shows what it waits for", run.id)));
    };
    Ok(format!(
        "You are about to accept that {region} is NOT proven closed.\n  run            {}\n  service        {}: {} → {}\n  \
         plan           {}\n  held because   {reason}\n  expected loss  {}\n  Clients of {region} may still write there; what they \
         write, and what was not replicated, will be missing in {}.",
        run.id,
        run.plan.service,
        run.plan.from,
        run.plan.to,
        run.plan_hash,
        text::loss(&run.loss),
        run.plan.to
    ))
}

fn is_release(run: &Run) -> bool {
    matches!(&run.state, RunState::Held { need: Need::Approval { .. }, .. })
}

fn what_is_released(run: &Run) -> Result<String, Failure> {
    let RunState::Held { need: Need::Approval { step, people }, .. } = &run.state else {
        return Err(Failure::refused("the run is not held"));
    };
    let title = run.plan.step(step).map_or(step.as_str(), |step| step.title.as_str());
    Ok(format!(
        "You are about to let {} do what cannot be undone. All that can be undone is done.\n  run            {}\n  service        \
         {}: {} → {}\n  plan           {}\n  next step      {step}: {title}\n  expected loss  {}\n  signatures     {people} \
         wanted\n  If more is expected to be lost before it goes on, your approval lapses.",
        run.id,
        run.id,
        run.plan.service,
        run.plan.from,
        run.plan.to,
        run.plan_hash,
        text::loss(&run.loss),
    ))
}
