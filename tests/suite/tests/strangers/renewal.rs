//! Programs that were given certificates of seconds.

use std::time::{Duration, Instant};

use mesh_core::time::Timestamp;
use mesh_runtime::clock::unix_now;
use mesh_runtime::identity::Subject;
use mesh_runtime::pki::{self, write_pair};
use mesh_runtime::tls::TlsFiles;
use mesh_suite::Rig;
use mesh_suite::rig::LONG;

use crate::papers;

const LIFETIME: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

pub struct Renewing {
    programs: Vec<(String, TlsFiles, Timestamp)>,
    follower: String,
}

/// Restarts a follower and an agent with short-lived certificates.
pub async fn begin(rig: &mut Rig) -> Renewing {
    let leader = rig.leader().await;
    let follower = if leader == "coordinator-3" { "coordinator-2" } else { "coordinator-3" };
    let mut programs = Vec::new();
    for (process, stem) in [(follower, "coordinator"), ("agent-usw2-a", "agent")] {
        let home = rig.stand.layout.dir.join(process);
        let (certificate, key) = (home.join(format!("{stem}.pem")), home.join(format!("{stem}.key")));
        let tls = TlsFiles { certificate, key, authorities: papers::admin(rig).tls.authorities };
        rig.kill(process);
        let Subject { identity, names, .. } = certified(&tls);
        let authority = rig.stand.layout.authority().expect("the mesh's authority");
        let issued = authority.issue(&identity, &names, LIFETIME).expect("a certificate");
        write_pair(&tls.certificate, &tls.key, &issued.chain_pem, &issued.key_pem).expect("writable");
        programs.push((process.to_owned(), tls.clone(), certified(&tls).not_after));
        rig.restart(process);
    }
    rig.until_whole().await;
    Renewing { programs, follower: follower.to_owned() }
}

impl Renewing {
    pub async fn outlives_its_first_certificates(self, rig: &mut Rig) {
        for (process, tls, first_end) in &self.programs {
            until(&format!("{process} renews"), || certified(tls).not_after > *first_end).await;
        }
        let last = self.programs.iter().map(|(.., end)| *end).max().expect("two programs");
        until("the first certificates end", || unix_now() > last).await;
        // New connections, each verified anew: of the follower by us, of the agent by the next leader.
        let admin = papers::identities(rig, "witness", "spiffe://demo/region/us-east-1/admin/witness");
        let nth: usize = self.follower.trim_start_matches("coordinator-").parse().expect("a node id");
        let address = papers::coordinators(rig).swap_remove(nth - 1);
        let serving = crate::wire::health(&address, &admin).await;
        assert_eq!(serving, Ok(tonic_health::pb::health_check_response::ServingStatus::Serving), "{}", self.follower);
        let leader = rig.leader().await;
        rig.kill(&leader);
        rig.restart(&leader);
        rig.until_whole().await;
        rig.ctl(&["status"]).await.expect(0);
        for (process, ..) in &self.programs {
            let log = std::fs::read_to_string(rig.stand.layout.log(process)).expect("its log");
            assert!(log.contains("certificate renewed"), "{process}: {log}");
        }
    }
}

fn certified(tls: &TlsFiles) -> Subject {
    let chain = std::fs::read_to_string(&tls.certificate).expect("a certificate");
    pki::inspect(&chain).expect("a certificate")
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(POLL).await;
    }
}
