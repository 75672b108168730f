//! The one who asks: profile, certificate, role.

use std::path::Path;
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::survey::Finding;
use mesh_core::time::Timestamp;

use crate::failure::Failure;
use crate::render::text;

/// People's certificates live for weeks: this is time enough to ask for the next.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// No profile, or none that can be read.
pub fn without_profile(path: &Path, failure: &Failure) -> Finding {
    let mend = if path.exists() {
        "correct it; docs/cli.md shows its three entries"
    } else {
        "write it: name of the mesh, its coordinators, [tls] with certificate, key and authorities (docs/cli.md); \
         a new mesh starts with: meshctl pki init --dir DIR --mesh NAME; to look around without a cloud: meshctl demo up"
    };
    Finding::problem(format!("profile {}", path.display()), failure.message.clone(), mend)
}

pub fn profile(path: &Path, coordinators: usize) -> Finding {
    let subject = format!("profile {}", path.display());
    match coordinators {
        1 => Finding::warning(
            subject,
            "names one coordinator: when it is down, you are without the mesh",
            "name all of them under `coordinators`; `meshctl coordinator status` lists them",
        ),
        n => Finding::ok(subject, format!("names {n} coordinators")),
    }
}

pub fn without_certificate(failure: &Failure) -> Finding {
    let mend = failure.hint.clone().unwrap_or_else(|| "meshctl pki issue makes certificates".to_owned());
    Finding::problem("your certificate", failure.message.clone(), mend)
}

pub fn certificate(identity: &Identity, not_after: Timestamp, now: Timestamp) -> Vec<Finding> {
    let subject = "your certificate";
    let again = format!(
        "ask who keeps the authority for a new one: meshctl pki issue --dir DIR --role {} --region {} --name {} --out DIR",
        identity.role, identity.region, identity.name
    );
    let until = text::time(not_after);
    let validity = if not_after <= now {
        Finding::problem(subject, format!("expired at {until}"), again)
    } else if not_after.since(now) < SOON {
        Finding::warning(subject, format!("expires soon, at {until}"), again)
    } else {
        Finding::ok(
            subject,
            format!("is {} ({}) of mesh {}, until {until}", identity.name, identity.role, identity.mesh),
        )
    };
    vec![validity, role(identity)]
}

fn role(identity: &Identity) -> Finding {
    let subject = "your role";
    let may = match identity.role {
        Role::Admin => "may apply, arm, move services and change the mesh",
        Role::Operator => "may move services; applying a manifest needs an admin",
        Role::Approver => "may approve; moving a service needs an operator",
        Role::Viewer => "may look; moving a service needs an operator, applying a manifest an admin",
        Role::Agent | Role::Coordinator => {
            return Finding::problem(
                subject,
                format!("is {}, a program's: it may ask for nothing that people ask", identity.role),
                "use a certificate of your own: meshctl pki issue --role operator",
            );
        }
    };
    Finding::ok(subject, format!("{} {may}", identity.role))
}

#[cfg(test)]
mod tests {
    use mesh_core::survey::Level;

    use super::*;

    fn of(role: &str) -> Identity {
        format!("spiffe://demo/region/us-east-1/{role}/ann").parse().expect("an identity")
    }

    fn worst(role: &str, days_left: i64) -> Level {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let now = Timestamp::from_millis(100 * DAY);
        let end = Timestamp::from_millis((100 + days_left).unsigned_abs() * DAY);
        certificate(&of(role), end, now).iter().map(|finding| finding.level).max().expect("findings")
    }

    #[test]
    fn a_certificate_is_told_before_it_ends() {
        assert_eq!(worst("admin", 30), Level::Ok);
        assert_eq!(worst("admin", 3), Level::Warning);
        assert_eq!(worst("admin", -1), Level::Problem);
    }

    #[test]
    fn a_program_s_certificate_is_nobody_s() {
        assert_eq!(worst("agent", 30), Level::Problem);
        assert_eq!(worst("viewer", 30), Level::Ok);
    }

    #[test]
    fn without_a_profile_the_first_step_is_named() {
        let failure = Failure::usage("no profile at /nowhere");
        let finding = without_profile(Path::new("/nowhere"), &failure);
        assert!(finding.mend.contains("meshctl pki init") && finding.mend.contains("meshctl demo"), "{}", finding.mend);
    }
}
