//! The demo's directory: certificates, keys, configuration files, profiles.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mesh_core::access::{Identity, Role};
use mesh_core::ids::RegionId;
use mesh_runtime::pki::Authority;
use serde_json::{Value, json};

use super::double::Ready;
use super::maip::{REGIONS, World};
use crate::commands::pki::{Written, authority, init, issue};
use crate::failure::Failure;

pub const MESH: &str = "demo";
/// People of the demo who hold approval keys.
pub const APPROVERS: [&str; 2] = ["ann", "bob"];
/// Everyone's certificate lives as long as a demo may be left running.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Programs get a short one, so that a long demo renews it as a real mesh does.
const PROGRAM_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Where things are.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dir: PathBuf,
}

impl Layout {
    pub fn create(dir: &Path) -> Result<Self, Failure> {
        let layout = Self { dir: dir.to_owned() };
        for part in [layout.logs(), layout.pki(), layout.keys()] {
            std::fs::create_dir_all(&part).map_err(|error| Failure::file(&part, "create", &error))?;
        }
        Ok(layout)
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    fn pki(&self) -> PathBuf {
        self.dir.join("pki")
    }

    pub fn keys(&self) -> PathBuf {
        self.dir.join("keys")
    }

    pub fn key(&self, person: &str) -> PathBuf {
        self.keys().join(format!("{person}.key"))
    }

    pub fn world(&self) -> PathBuf {
        self.dir.join("world.json")
    }

    pub fn ready(&self) -> PathBuf {
        self.dir.join("double.json")
    }

    pub fn manifest(&self) -> PathBuf {
        self.dir.join("maip.yaml")
    }

    /// Profile of the person who may do everything.
    pub fn profile(&self) -> PathBuf {
        self.profile_of("profile")
    }

    /// `operator`, `ann`, `bob`.
    pub fn profile_of(&self, person: &str) -> PathBuf {
        self.dir.join(format!("{person}.toml"))
    }

    pub fn write(&self, path: &Path, text: &str) -> Result<(), Failure> {
        std::fs::write(path, text).map_err(|error| Failure::file(path, "write", &error))
    }

    fn write_toml(&self, path: &Path, value: &Value) -> Result<(), Failure> {
        let text = toml::to_string(value).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
        self.write(path, &text)
    }

    fn tls(&self, written: &Written) -> Value {
        json!({ "certificate": written.certificate, "key": written.key, "authorities": self.pki().join("ca.pem") })
    }

    /// The mesh's authority, made once.
    pub fn authority(&self) -> Result<Authority, Failure> {
        if !self.pki().join("ca.pem").exists() {
            init(&self.pki(), MESH)?;
        }
        authority(&self.pki())
    }

    /// Configurations of the three coordinators; returns name and file of each.
    pub fn coordinators(&self, addresses: &[SocketAddr], world: &World) -> Result<Vec<(String, PathBuf)>, Failure> {
        let authority = self.authority()?;
        let founders: Vec<Value> = addresses
            .iter()
            .zip(world.regions())
            .zip(1u64..)
            .map(|((address, region), id)| json!({ "id": id, "address": address.to_string(), "region": region }))
            .collect();
        let mut files = Vec::new();
        for ((address, region), id) in addresses.iter().zip(world.regions()).zip(1u64..) {
            let name = format!("coordinator-{id}");
            let home = self.dir.join(&name);
            let data = home.join("data");
            if data.exists() {
                std::fs::remove_dir_all(&data).map_err(|error| Failure::file(&data, "remove", &error))?;
            }
            let identity = identity(region, Role::Coordinator, &name)?;
            let written =
                issue(&authority, &identity, &[address.ip().to_string()], PROGRAM_LIFETIME, &home, "coordinator")?;
            let mut tls = self.tls(&written);
            if let Value::Object(tls) = &mut tls {
                tls.insert("issuing_certificate".to_owned(), json!(self.pki().join("issuing.pem")));
                tls.insert("issuing_key".to_owned(), json!(self.pki().join("issuing.key")));
            }
            let config = json!({
                "mesh": MESH,
                "node_id": id,
                "region": region,
                "listen": address.to_string(),
                "advertise": address.to_string(),
                "data_dir": data,
                "bootstrap": founders,
                "tls": tls,
                "log": { "level": "info" },
            });
            let path = home.join("coordinator.toml");
            self.write_toml(&path, &config)?;
            files.push((name, path));
        }
        Ok(files)
    }

    /// Configurations of two agents a region, with where each serves its lease endpoint; returns name and file of each.
    pub fn agents(
        &self,
        coordinators: &[SocketAddr],
        world: &World,
        ready: &Ready,
        leases: &BTreeMap<String, SocketAddr>,
    ) -> Result<Vec<(String, PathBuf)>, Failure> {
        let authority = self.authority()?;
        let addresses: Vec<String> = coordinators.iter().map(SocketAddr::to_string).collect();
        let mut files = Vec::new();
        for region in world.regions() {
            for key in world.callers(region) {
                let name = &key.name;
                let home = self.dir.join(format!("agent-{name}"));
                let identity = identity(region, Role::Agent, name)?;
                let written = issue(&authority, &identity, &[], PROGRAM_LIFETIME, &home, "agent")?;
                let mut config = json!({
                    "mesh": MESH,
                    "agent": name,
                    "region": region,
                    "coordinators": addresses,
                    "data_dir": home.join("data"),
                    "tls": self.tls(&written),
                    "aws": {
                        "endpoint_url": ready.aws, "access_key_id": key.id, "secret_access_key": key.secret,
                        // The double publishes a lag every second; AWS every minute.
                        "cloudwatch_period_s": 1,
                    },
                    "dns": { "nameservers": [ready.dns], "route53_nameservers": [ready.dns] },
                    "log": { "level": "info" },
                });
                if let Some((listen, config)) = leases.get(name).zip(config.as_object_mut()) {
                    config.insert("lease".to_owned(), json!({ "listen": listen.to_string() }));
                }
                let path = home.join("agent.toml");
                self.write_toml(&path, &config)?;
                files.push((name.clone(), path));
            }
        }
        Ok(files)
    }

    /// Profiles of the admin, an operator and the two approvers.
    pub fn profiles(&self, coordinators: &[SocketAddr]) -> Result<(), Failure> {
        let authority = self.authority()?;
        let addresses: Vec<String> = coordinators.iter().map(SocketAddr::to_string).collect();
        let people = [("profile", "admin", Role::Admin), ("operator", "operator", Role::Operator)];
        let approvers = APPROVERS.map(|person| (person, person, Role::Approver));
        for (file, person, role) in people.into_iter().chain(approvers) {
            let home = self.dir.join("people");
            let written = issue(&authority, &identity(REGIONS[2], role, person)?, &[], LIFETIME, &home, person)?;
            let profile = json!({ "mesh": MESH, "coordinators": addresses, "tls": self.tls(&written) });
            self.write_toml(&self.profile_of(file), &profile)?;
        }
        Ok(())
    }
}

fn identity(region: &str, role: Role, name: &str) -> Result<Identity, Failure> {
    let region = RegionId::new(region).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(Identity { mesh: MESH.to_owned(), region, role, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_profile_is_one_that_meshctl_reads() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::create(dir.path()).expect("a layout");
        let addresses: Vec<SocketAddr> = ["127.0.0.1:7001".parse().expect("an address")].to_vec();
        layout.profiles(&addresses).expect("written");
        for person in ["profile", "operator", "ann", "bob"] {
            let profile = crate::profile::load(Some(&layout.profile_of(person))).expect("a profile");
            assert_eq!((profile.mesh.as_str(), profile.coordinators.len()), (MESH, 1));
            assert!(profile.tls.certificate.exists() && profile.tls.authorities.exists());
        }
    }
}
