//! Backups of the mesh: made by the leader, checked here before they count.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::Context;
use crate::backup_file::{self, Contents};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::render::text;

/// Writes to FILE.part, verifies that, and renames it: a file with the final name is a good backup.
pub async fn make(context: &Context, path: &Path) -> Outcome {
    if path.exists() {
        return Err(
            Failure::usage(format!("{} is there already", path.display())).hint("give each backup its own name")
        );
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = std::path::PathBuf::from(name);
    let refuse = |error: std::io::Error| Failure::file(&part, "write", &error);
    let mut pieces = context.mesh()?.backup().await?;
    let mut file = File::create(&part).map_err(refuse)?;
    let mut bytes = 0u64;
    while let Some(piece) = pieces.next().await? {
        file.write_all(&piece).map_err(refuse)?;
        bytes = bytes.saturating_add(piece.len() as u64);
    }
    file.sync_all().map_err(refuse)?;
    let contents = backup_file::verify(&part)
        .map_err(|reason| Failure::failed(format!("the backup that arrived is not whole: {reason}")))?;
    std::fs::rename(&part, path).map_err(refuse)?;
    let mut value = shape(&contents);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("file".to_owned(), json!(path));
        fields.insert("bytes".to_owned(), json!(bytes));
    }
    context.output.either(&value, || {
        format!(
            "{}\n{} written and verified ({bytes} bytes). Keep it, and this checksum, elsewhere than the coordinators.",
            described(&contents),
            path.display()
        )
    })?;
    Ok(Exit::Ok)
}

/// Checks a backup without the mesh.
pub fn verify(context: &Context, path: &Path) -> Outcome {
    match backup_file::verify(path) {
        Ok(contents) => {
            context.output.either(&shape(&contents), || format!("{}\nthe backup is whole", described(&contents)))?;
            Ok(Exit::Ok)
        }
        Err(reason) => {
            let value = json!({ "ok": false, "file": path, "reason": reason });
            context.output.either(&value, || format!("{} is NOT a good backup: {reason}", path.display()))?;
            Ok(Exit::Failed)
        }
    }
}

fn shape(contents: &Contents) -> Value {
    json!({
        "ok": true,
        "mesh": contents.mesh,
        "made_at": contents.made_at,
        "checksum": contents.checksum,
        "index": contents.index,
        "services": contents.services,
        "runs": contents.runs,
        "retired_runs": contents.retired,
        "audit_records": contents.head.records,
        "audit_head": contents.head.hash,
        "members": contents.members.iter().map(|(id, address)| json!({ "id": id, "address": address })).collect::<Vec<_>>(),
    })
}

fn described(contents: &Contents) -> String {
    let members: Vec<String> = contents.members.iter().map(|(id, address)| format!("{id} at {address}")).collect();
    format!(
        "mesh {}, {}: {} services, {} runs and {} older ones, {} audit records to index {}, coordinators {}\nchecksum {}",
        contents.mesh,
        text::time(contents.made_at),
        contents.services,
        contents.runs,
        contents.retired,
        contents.head.records,
        contents.head.index,
        members.join(", "),
        contents.checksum
    )
}
