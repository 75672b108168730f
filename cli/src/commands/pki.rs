//! The mesh's certificate authority, on files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_runtime::pki::{Authority, PERSON_LIFETIME, PROGRAM_LIFETIME, PkiError, write_pair};
use serde_json::json;

use super::Context;
use crate::args::admin::{Issue, PkiCommand};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::render::text;

const HOUR: u64 = 60 * 60;

/// Where the authorities of a mesh are kept.
pub struct Authorities {
    pub ca: PathBuf,
    pub ca_key: PathBuf,
    pub issuing: PathBuf,
    pub issuing_key: PathBuf,
}

impl Authorities {
    pub fn of(dir: &Path) -> Self {
        Self {
            ca: dir.join("ca.pem"),
            ca_key: dir.join("ca.key"),
            issuing: dir.join("issuing.pem"),
            issuing_key: dir.join("issuing.key"),
        }
    }
}

/// A certificate that was written.
pub struct Written {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub fn pki(context: &Context, command: PkiCommand) -> Outcome {
    match command {
        PkiCommand::Init { dir, mesh } => {
            let files = init(&dir, mesh.as_str())?;
            let value = json!({
                "mesh": mesh, "ca": files.ca, "ca_key": files.ca_key,
                "issuing": files.issuing, "issuing_key": files.issuing_key,
            });
            context.output.either(&value, || {
                format!(
                    "{}  trusted by everyone: `authorities` in [tls]\n{}  keep it offline\n{}\n{}  for the coordinators: \
                     they renew certificates with it",
                    files.ca.display(),
                    files.ca_key.display(),
                    files.issuing.display(),
                    files.issuing_key.display()
                )
            })?;
            Ok(Exit::Ok)
        }
        PkiCommand::Issue(args) => issue_command(context, &args),
    }
}

/// Makes the root and the issuing authority. Existing ones are not replaced: that would orphan every certificate.
pub fn init(dir: &Path, mesh: &str) -> Result<Authorities, Failure> {
    std::fs::create_dir_all(dir).map_err(|error| Failure::file(dir, "create", &error))?;
    let files = Authorities::of(dir);
    for path in [&files.ca, &files.ca_key, &files.issuing, &files.issuing_key] {
        if path.exists() {
            return Err(Failure::refused(format!("{} exists already", path.display()))
                .hint("a mesh keeps its authority; choose another --dir for another mesh"));
        }
    }
    let root = Authority::create(mesh).map_err(refuse)?;
    let issuing = root.create_issuing().map_err(refuse)?;
    root.save(&files.ca, &files.ca_key).map_err(|error| Failure::file(&files.ca, "write", &error))?;
    issuing.save(&files.issuing, &files.issuing_key).map_err(|error| Failure::file(&files.issuing, "write", &error))?;
    Ok(files)
}

/// The authority that issues: the issuing one, or the root where there is no other.
pub fn authority(dir: &Path) -> Result<Authority, Failure> {
    let files = Authorities::of(dir);
    let (certificate, key) =
        if files.issuing_key.exists() { (&files.issuing, &files.issuing_key) } else { (&files.ca, &files.ca_key) };
    Authority::load(certificate, key).map_err(|error| {
        refuse(error)
            .hint("`meshctl pki init --dir DIR --mesh NAME` makes an authority; --dir must name that directory")
    })
}

/// Issues into `out/STEM.pem` and `out/STEM.key` (mode 0600).
pub fn issue(
    authority: &Authority,
    identity: &Identity,
    names: &[String],
    lifetime: Duration,
    out: &Path,
    stem: &str,
) -> Result<Written, Failure> {
    std::fs::create_dir_all(out).map_err(|error| Failure::file(out, "create", &error))?;
    let written = Written { certificate: out.join(format!("{stem}.pem")), key: out.join(format!("{stem}.key")) };
    let issued = authority.issue(identity, names, lifetime).map_err(refuse)?;
    write_pair(&written.certificate, &written.key, &issued.chain_pem, &issued.key_pem)
        .map_err(|error| Failure::file(&written.certificate, "write", &error))?;
    Ok(written)
}

fn issue_command(context: &Context, args: &Issue) -> Outcome {
    let authority = authority(&args.dir)?;
    let (mesh, region, role) = (authority.mesh().to_owned(), args.region.clone(), args.role);
    if role == Role::Coordinator && args.sans.is_empty() {
        return Err(Failure::usage("a coordinator's certificate needs the names it is dialled by")
            .hint("add --san HOST for the host of its `advertise` address, IP or DNS name"));
    }
    let identity = Identity { mesh, region, role, name: args.name.to_string() };
    let lifetime = lifetime(args);
    let out = args.out.as_deref().unwrap_or(&args.dir);
    let written = issue(&authority, &identity, &args.sans, lifetime, out, args.name.as_str())?;
    let value = json!({
        "identity": identity.to_string(), "certificate": written.certificate, "key": written.key,
        "lifetime_hours": lifetime.as_secs() / HOUR,
    });
    context.output.either(&value, || {
        format!(
            "{}\n{}\nfor {identity}, valid for {}",
            written.certificate.display(),
            written.key.display(),
            text::duration(lifetime)
        )
    })?;
    Ok(Exit::Ok)
}

fn lifetime(args: &Issue) -> Duration {
    let given = args.days.map(|days| days * 24).or(args.hours).map(|hours| Duration::from_secs(hours * HOUR));
    given.unwrap_or(match args.role {
        Role::Agent | Role::Coordinator => PROGRAM_LIFETIME,
        Role::Viewer | Role::Operator | Role::Approver | Role::Admin => PERSON_LIFETIME,
    })
}

fn refuse(error: PkiError) -> Failure {
    Failure::usage(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use mesh_core::ids::RegionId;

    use super::*;

    #[test]
    fn private_keys_are_readable_by_their_owner_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = init(dir.path(), "demo").expect("an authority");
        let identity = Identity {
            mesh: "demo".to_owned(),
            region: RegionId::new("us-east-1").expect("a region"),
            role: Role::Operator,
            name: "ann".to_owned(),
        };
        let authority = authority(dir.path()).expect("the authority");
        let written =
            issue(&authority, &identity, &[], Duration::from_secs(60), dir.path(), "ann").expect("a certificate");
        for key in [&files.ca_key, &files.issuing_key, &written.key] {
            let mode = std::fs::metadata(key).expect("the key").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", key.display());
        }
    }

    #[test]
    fn an_authority_is_never_replaced() {
        let dir = tempfile::tempdir().expect("a directory");
        init(dir.path(), "demo").expect("an authority");
        assert_eq!(init(dir.path(), "demo").err().expect("refused").exit, Exit::Refused);
    }
}
