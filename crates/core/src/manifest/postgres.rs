//! A self-managed PostgreSQL primary and its streaming replicas.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Manifest;
use super::check::{Problems, check_regions, check_text};
use crate::ids::RegionId;

/// PostgreSQL cuts longer names.
const NAME_MAX: usize = 63;
const PATH_MAX: usize = 255;

/// How an agent of its region reaches the server of one region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PostgresInstance {
    /// Host name or address.
    pub host: String,
    pub port: u16,
    pub database: String,
    /// A superuser of the mesh's own: no session of it is ended by a fence.
    pub user: String,
    /// Name of a file in the agent's directory of credentials; it holds the password alone. Without it none is sent.
    pub password_file: Option<String>,
    /// Authorities that the server's certificate is verified with: a name in the same directory. Without it nothing is
    /// encrypted.
    pub ca_file: Option<String>,
    /// Where the server's data lies on its host: what a rejoin rebuilds, if the agent's own configuration allows it.
    pub data_directory: Option<String>,
}

impl PostgresInstance {
    /// Its name in logs, reasons and the list of outstanding calls.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

pub(super) fn check_instances(
    manifest: &Manifest,
    instances: &BTreeMap<RegionId, PostgresInstance>,
    at: &str,
    found: &mut Problems,
) {
    check_regions(manifest, instances.keys(), at, found);
    for region in manifest.regions.keys().filter(|region| !instances.contains_key(region)) {
        found.add(
            at,
            format!("no server in {region}"),
            "name the primary or streaming replica of every region of the service",
        );
    }
    for (region, instance) in instances {
        check_instance(instance, &format!("{at}.{region}"), found);
    }
    let mut addresses: Vec<String> = instances.values().map(PostgresInstance::address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    found.unless(
        addresses.len() == instances.len(),
        at,
        "two regions name the same server",
        "a primary and its replica are two servers",
    );
}

fn check_instance(instance: &PostgresInstance, at: &str, found: &mut Problems) {
    check_text(&instance.host, &format!("{at}.host"), found);
    found.unless(instance.port > 0, &format!("{at}.port"), "zero", "1 to 65535; PostgreSQL's own is 5432");
    for (key, name) in [("database", &instance.database), ("user", &instance.user)] {
        check_text(name, &format!("{at}.{key}"), found);
        found.unless(name.len() <= NAME_MAX, &format!("{at}.{key}"), "too long", "at most 63 bytes");
    }
    for (key, name) in [("password-file", &instance.password_file), ("tls.ca-file", &instance.ca_file)] {
        found.unless(
            name.as_deref().is_none_or(is_file_name),
            &format!("{at}.{key}"),
            format!("{:?} is no file name", name.as_deref().unwrap_or_default()),
            "the name alone: agents look for it in the directory that their configuration names",
        );
    }
    found.unless(
        instance.password_file.is_none() || instance.ca_file.is_some() || is_here(&instance.host),
        &format!("{at}.tls"),
        "a password would be sent over a connection that nobody verified",
        "name the authorities under `tls: {ca-file: …}`",
    );
    found.unless(
        instance.data_directory.as_deref().is_none_or(is_plain_path),
        &format!("{at}.data-directory"),
        "is no plain absolute path",
        "like /var/lib/postgresql/15/main, without `..`",
    );
}

pub(super) fn is_file_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('.')
}

pub(super) fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_plain_path(path: &str) -> bool {
    path.len() <= PATH_MAX
        && path.len() > 1
        && path.starts_with('/')
        && !path.contains(char::is_control)
        && path.split('/').skip(1).all(|part| !part.is_empty() && part != "." && part != "..")
}
