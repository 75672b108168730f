//! The processes of the mesh as an administrator of their machines sees them: signals, logs, disks, new nodes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Instant;

use meshctl::demo::child::signal_group;
use meshctl::mesh::Mesh;
pub use rustix::process::Signal;
use serde_json::Value;

use crate::Rig;
use crate::ctl::meshctl;
use crate::rig::{LONG, POLL};

impl Rig {
    pub fn signal(&self, name: &str, signal: Signal) {
        let process = self.stand.mesh.all.iter().find(|process| process.name == name);
        signal_group(process.unwrap_or_else(|| panic!("no process {name}")).pid(), signal);
    }

    /// Has it been stopped by a signal?
    pub fn stands_still(&self, name: &str) -> bool {
        let process = self.stand.mesh.all.iter().find(|process| process.name == name);
        let pid = process.unwrap_or_else(|| panic!("no process {name}")).pid();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The state follows the name, which is in parentheses and may hold any character.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
    }

    pub fn log(&self, name: &str) -> String {
        let bytes = std::fs::read(self.stand.layout.log(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub async fn until_logged(&self, name: &str, words: &str) {
        let deadline = Instant::now() + LONG;
        while !self.log(name).contains(words) {
            assert!(Instant::now() < deadline, "{name} never said {words:?}: {}", self.log(name));
            tokio::time::sleep(POLL).await;
        }
    }

    pub async fn until_ended(&mut self, name: &str) {
        let deadline = Instant::now() + LONG;
        loop {
            let process = self.stand.mesh.all.iter_mut().find(|process| process.name == name);
            if process.unwrap_or_else(|| panic!("no process {name}")).ended() {
                return;
            }
            assert!(Instant::now() < deadline, "{name} still runs");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Where a coordinator keeps what it promised.
    pub fn data_dir(&self, coordinator: &str) -> PathBuf {
        self.stand.layout.dir.join(coordinator).join("data")
    }

    /// Sets a further coordinator up as an administrator would, and starts it; nobody knows it yet. Returns its address.
    pub async fn start_coordinator(&mut self, id: u64, region: &str) -> String {
        let name = format!("coordinator-{id}");
        let address = meshctl::demo::ports::free(1).unwrap_or_else(|failure| panic!("{failure}")).remove(0).to_string();
        let dir = self.stand.layout.dir.join(&name);
        let pki = self.stand.layout.dir.join("pki");
        let text = |path: &std::path::Path| path.display().to_string();
        let issue = [
            "pki",
            "issue",
            "--dir",
            &text(&pki),
            "--role",
            "coordinator",
            "--region",
            region,
            "--name",
            &name,
            "--san",
            "127.0.0.1",
            "--out",
            &text(&dir),
        ];
        meshctl(&self.stand.layout.profile(), &issue).await.expect(0);
        let config = format!(
            "mesh = \"demo\"\nnode_id = {id}\nregion = \"{region}\"\nlisten = \"{address}\"\nadvertise = \"{address}\"\n\
             data_dir = \"{data}\"\n[tls]\ncertificate = \"{dir}/{name}.pem\"\nkey = \"{dir}/{name}.key\"\n\
             authorities = \"{pki}/ca.pem\"\n",
            data = text(&dir.join("data")),
            dir = text(&dir),
            pki = text(&pki),
        );
        let path = dir.join("coordinator.toml");
        std::fs::write(&path, config).expect("a configuration");
        let args = [OsString::from("--config"), path.into_os_string()];
        let program = self.stand.programs.coordinator.clone();
        let log = self.stand.layout.log(&name);
        self.stand.mesh.start(&name, &program, &args, &log).unwrap_or_else(|failure| panic!("{failure}"));
        self.until_logged(&name, "coordinator runs").await;
        address
    }

    /// Files with the approvals of two people for a subject, as arguments of the command that needs them.
    pub async fn approvals(&self, subject: &str) -> Vec<String> {
        let mut args = Vec::new();
        for person in ["ann", "bob"] {
            let file =
                self.path(&format!("{person}-{}.approval", subject.replace([' ', ':'], "-"))).display().to_string();
            let key = self.stand.layout.key(person).display().to_string();
            let sign = ["approval", "sign", "--subject", subject, "--key", &key, "-o", &file, "--yes"];
            self.ctl_as(person, &sign).await.expect(0);
            args.extend(["--approval".to_owned(), file]);
        }
        args
    }

    /// A profile whose coordinators are these, in this order.
    pub fn profile_with(&self, name: &str, coordinators: &[String]) -> PathBuf {
        let text = std::fs::read_to_string(self.stand.layout.profile()).expect("the profile");
        let list: Vec<String> = coordinators.iter().map(|address| format!("{address:?}")).collect();
        let line = format!("coordinators = [{}]", list.join(", "));
        let lines = text.lines().map(|old| if old.starts_with("coordinators") { line.as_str() } else { old });
        let path = self.stand.layout.profile_of(name);
        std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).expect("a profile");
        path
    }

    /// Addresses of the members, by node id.
    pub async fn addresses(&self) -> Vec<(u64, String)> {
        let members = self.mesh().membership().await.unwrap_or_else(|failure| panic!("{failure}")).members;
        members.into_iter().map(|member| (member.id, member.address)).collect()
    }

    /// A mesh client that reaches one coordinator only.
    pub fn mesh_at(&self, address: &str) -> Mesh {
        let path = self.profile_with(&format!("at-{}", address.replace(':', "-")), &[address.to_owned()]);
        let profile = meshctl::profile::load(Some(&path)).expect("the profile was written");
        Mesh::open(&profile).expect("the profile is good")
    }

    /// Waits until all three coordinators stand at the same index, and with the same state there.
    pub async fn until_replicas_agree(&self) {
        let addresses = self.addresses().await;
        let deadline = Instant::now() + LONG;
        let mut last = Vec::new();
        while Instant::now() < deadline {
            last.clear();
            for (id, address) in &addresses {
                let path = self.profile_with(&format!("only-{id}"), std::slice::from_ref(address));
                let said = meshctl(&path, &["--json", "status", "--stale"]).await;
                if said.code == 0 {
                    let said = said.json();
                    last.push((said["applied_index"].as_u64(), said["state_hash"].to_string()));
                }
            }
            if last.len() == addresses.len() && last.iter().all(|(index, _)| *index == last[0].0) {
                assert!(last.iter().all(|(_, hash)| *hash == last[0].1), "same index, other state: {last:?}");
                return;
            }
            tokio::time::sleep(POLL).await;
        }
        panic!("the replicas never stood at one index: {last:?}");
    }

    /// Each coordinator's own word, without a quorum: applied index and state hash.
    pub async fn own_states(&self, addresses: &[(u64, String)]) -> Vec<(u64, String)> {
        let mut states = Vec::new();
        for (id, address) in addresses {
            let path = self.profile_with(&format!("only-{id}"), std::slice::from_ref(address));
            let said = meshctl(&path, &["--json", "status", "--stale"]).await.expect(0).json();
            assert_eq!(said["stale"], Value::Bool(true), "{said}");
            let hash = said["state_hash"].as_str().expect("a hash").to_owned();
            states.push((said["applied_index"].as_u64().expect("an index"), hash));
        }
        states
    }
}
