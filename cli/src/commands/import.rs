//! `import`: drafts a manifest from what the agents find. Asks nothing, and sends nothing but the question.

use std::collections::BTreeMap;
use std::io::Write;

use mesh_core::ids::RegionId;
use mesh_core::survey::{Answer, Inventory};
use serde_json::json;

use super::Context;
use crate::args::first_hour::Import;
use crate::draft::{Draft, Place, Seen, draft, place};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::mesh::Surveyed;

pub async fn import(context: &Context, args: &Import) -> Outcome {
    let mesh = context.mesh()?;
    if mesh.find_service(&args.service).await?.is_some() {
        context.output.note(&format!(
            "note: {} is stored already; `meshctl apply` of this draft would make it its next version",
            args.service
        ));
    }
    let (inventories, silent) = found(mesh.discover(&[]).await?);
    for line in &silent {
        context.output.note(&format!("{} {line}", context.output.paint.yellow("not seen:")));
    }
    let place = match (&args.primary, &args.standby) {
        (Some(primary), Some(standby)) => given(primary, standby, &inventories)?,
        _ => place(&args.service, &inventories).map_err(|error| {
            Failure::refused(error.to_string())
                .details(silent.clone())
                .hint("say it: --primary REGION --standby REGION")
        })?,
    };
    let drafted = draft(&Seen { service: &args.service, inventories: &inventories, place: &place });
    write(context, args, &place, &drafted)
}

fn found(answers: Vec<Surveyed>) -> (BTreeMap<RegionId, Inventory>, Vec<String>) {
    let (mut inventories, mut silent) = (BTreeMap::new(), Vec::new());
    for Surveyed { region, agent, answer } in answers {
        match (answer, RegionId::new(region.as_str())) {
            (Ok(Answer::Inventory(inventory)), Ok(region)) => {
                inventories.insert(region, *inventory);
            }
            (Err(reason), _) => silent.push(format!("{region}: {reason}")),
            (Ok(_), _) => silent.push(format!("{region}: {agent} answered another question")),
        }
    }
    (inventories, silent)
}

fn given(
    primary: &RegionId,
    standby: &RegionId,
    inventories: &BTreeMap<RegionId, Inventory>,
) -> Result<Place, Failure> {
    if primary == standby {
        return Err(Failure::usage("--primary and --standby name the same region"));
    }
    for region in [primary, standby] {
        if !inventories.contains_key(region) {
            return Err(Failure::refused(format!("no agent of {region} told what is there"))
                .hint("`meshctl doctor` shows which agents are connected"));
        }
    }
    Ok(Place { primary: primary.clone(), standby: standby.clone() })
}

fn write(context: &Context, args: &Import, place: &Place, drafted: &Draft) -> Outcome {
    let Draft { yaml, blanks } = drafted;
    if let Some(path) = &args.output {
        let refuse = |error: std::io::Error| Failure::file(path, "write", &error);
        // A file that a person has worked on is not written over.
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(refuse)?;
        file.write_all(yaml.as_bytes()).map_err(refuse)?;
    }
    let value = json!({
        "service": args.service, "primary": place.primary, "standby": place.standby, "blanks": blanks,
        "file": args.output, "manifest": yaml,
    });
    context.output.either(&value, || match &args.output {
        None => yaml.clone(),
        Some(path) => format!(
            "{}: {} in {}, standby in {}; {blanks} blanks to fill\nnext: meshctl validate -f {}",
            path.display(),
            args.service,
            place.primary,
            place.standby,
            path.display()
        ),
    })?;
    Ok(Exit::Ok)
}
