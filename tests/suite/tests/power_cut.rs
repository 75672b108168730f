//! A power cut of the real storage: whatever a coordinator acknowledged before the cut is there after it.
//!
//! The coordinator is alone, so that nobody else can make up for what its disk has lost.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a helper that finds something else fails its test, and a skipped test says so"
)]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mesh_suite::mounts::{Mount, skip_reason};
use mesh_suite::power::{Left, Loop, Mark, PROGRAMS, Record, Recorder};
use mesh_suite::rig::LONG;
use meshctl::demo::child::{Processes, Programs};
use meshctl::demo::configs::Layout;
use meshctl::mesh::Mesh;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tempfile::TempDir;

const CUTS: &str = "MESH_SOAK_CUTS";
const CUTS_DEFAULT: usize = 6;
const COMMITS: &str = "MESH_SOAK_COMMITS";
const COMMITS_DEFAULT: usize = 40;
const SEED: &str = "MESH_SOAK_SEED";
const SEED_DEFAULT: u64 = 20_261_121;
const DISK_BYTES: u64 = 512 * 1024 * 1024;
const NAME: &str = "coordinator-1";

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |text| text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}")))
}

fn skipped() -> bool {
    let reason = skip_reason(&PROGRAMS);
    if let Some(reason) = &reason {
        eprintln!("SKIPPED: a power cut needs a disk that records its writes: {reason}");
    }
    reason.is_some()
}

/// One coordinator that founds a mesh by itself.
struct Site {
    layout: Layout,
    programs: Programs,
    config: PathBuf,
    processes: Processes,
    _dir: TempDir,
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("mesh-power-").tempdir().expect("a temporary directory");
        let programs = Programs::beside(&mesh_suite::binaries().join("meshctl")).expect("the programs are built");
        let layout = Layout::create(dir.path()).expect("a layout");
        let addresses = meshctl::demo::ports::free(1).expect("a free port");
        let world = meshctl::demo::maip::World::read().expect("the demo's world");
        let config = layout.coordinators(&addresses, &world).expect("a configuration").remove(0).1;
        layout.profiles(&addresses).expect("profiles");
        let processes = Processes::tied_to_us(&programs);
        std::fs::create_dir_all(layout.dir.join(NAME).join("data")).expect("a mount point");
        Self { layout, programs, config, processes, _dir: dir }
    }

    fn data(&self) -> PathBuf {
        self.layout.dir.join(NAME).join("data")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.layout.dir.join(name)
    }

    fn start(&mut self) {
        let args = [OsString::from("--config"), self.config.clone().into_os_string()];
        let (program, log) = (self.programs.coordinator.clone(), self.layout.log(NAME));
        self.processes.start(NAME, &program, &args, &log).expect("it starts");
    }

    fn kill(&mut self) {
        self.processes.kill(NAME).expect("our own child");
        self.processes.all.clear();
    }

    fn mesh(&self) -> Mesh {
        let profile = meshctl::profile::load(Some(&self.layout.profile())).expect("the profile was written");
        Mesh::open(&profile).expect("the profile is good")
    }

    /// Services that it knows, as soon as it leads.
    async fn services(&mut self) -> BTreeSet<String> {
        let mesh = self.mesh();
        let deadline = Instant::now() + LONG;
        loop {
            match mesh.status(false).await {
                Ok(status) => return status.services.into_iter().map(|service| service.service).collect(),
                Err(failure) => {
                    let process = self.processes.all.first_mut().expect("it was started");
                    assert!(!process.ended(), "it ended: {}", process.tail().join("\n"));
                    assert!(Instant::now() < deadline, "it never led: {failure}");
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn service(nth: usize) -> String {
    format!("service-{nth}")
}

async fn commit(mesh: &Mesh, nth: usize) {
    let name = service(nth);
    let text = format!(
        "apiVersion: mesh/v1\nservice: {name}\nwriter: multi\nregions: {{ us-east-1: primary, us-west-2: standby }}\n\
         objectives: {{ rto: 2m, rpo: 0s }}\ntraffic:\n  - name: www\n    zone-id: Z0123456789WEBEXAMPLE\n    \
         record: {name}.example.com\n    active:\n      us-east-1: [{{ type: CNAME, ttl: 60s, values: [a.example.net] }}]\n      \
         us-west-2: [{{ type: CNAME, ttl: 60s, values: [b.example.net] }}]\n"
    );
    let manifest = mesh_manifest::parse(&text, "power.yaml").unwrap_or_else(|found| panic!("{found:?}"));
    mesh.apply(&manifest, &text, 0).await.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

/// Of a write that no flush covered: all of it, none of it, or its first sectors.
fn survival(rng: &mut StdRng) -> impl FnMut(u64) -> u64 {
    let tear = rng.random_range(0..3);
    let mut rng = StdRng::seed_from_u64(rng.random());
    move |sectors| match tear {
        // The most honest disk, and the one that loses most: nothing but what was flushed.
        0 => 0,
        1 => {
            if rng.random_bool(0.5) {
                sectors
            } else {
                0
            }
        }
        _ => rng.random_range(0..=sectors),
    }
}

/// The disk of a cut, mounted where the coordinator has its data.
struct Restored {
    _mount: Mount,
    _device: Loop,
    left: Left,
}

fn restore(record: &Record, bytes: u64, mark: Mark, rng: &mut StdRng, image: &Path, at: &Path) -> Restored {
    let left = record.image(mark, bytes, image, survival(rng)).expect("an image");
    let device = Loop::attach(image).expect("a loop device");
    let mount = Mount::device(&device.0, at, "noatime").expect("ext4 repairs itself from its journal");
    Restored { _mount: mount, _device: device, left }
}

#[tokio::test]
async fn what_was_acknowledged_before_a_power_cut_is_there_after_it() {
    if skipped() {
        return;
    }
    let seed = number(SEED, SEED_DEFAULT);
    let cuts = usize::try_from(number(CUTS, CUTS_DEFAULT as u64)).expect("small");
    let commits = usize::try_from(number(COMMITS, COMMITS_DEFAULT as u64)).expect("small");
    println!("repeat it: {SEED}={seed} {CUTS}={cuts} {COMMITS}={commits} cargo test -p mesh-suite --test power_cut");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut site = Site::new();
    let mut recorder = Recorder::start(&site.path("disk"), DISK_BYTES, &site.data()).expect("a recording disk");
    site.start();
    site.services().await;
    let mesh = site.mesh();
    // Where the disk stood when each commit was acknowledged.
    let mut acknowledged = vec![recorder.mark().expect("the record")];
    // On the same disk somebody writes and never syncs.
    let careless = site.data().join("careless");
    for nth in 0..commits {
        let mut file = std::fs::File::options().create(true).append(true).open(&careless).expect("a file");
        writeln!(file, "record {nth}").expect("written");
        commit(&mesh, nth).await;
        acknowledged.push(recorder.mark().expect("the record"));
    }
    site.kill();
    let (record, bytes) = recorder.stop().expect("the record");
    let (mut all, mut forgotten) = (Left::default(), 0);
    for nth in 0..cuts {
        // At once after an acknowledgement, or anywhere before the next one.
        let done = if nth == 0 { commits } else { rng.random_range(1..=commits) };
        let next = acknowledged.get(done + 1).copied().unwrap_or(acknowledged[done]);
        let mark = if rng.random_bool(0.5) { acknowledged[done] } else { rng.random_range(acknowledged[done]..=next) };
        let image = site.path("image");
        let restored = restore(&record, bytes, mark, &mut rng, &image, &site.data());
        let careless = std::fs::read_to_string(&careless).unwrap_or_default();
        forgotten += done.saturating_sub(careless.lines().filter(|line| line.starts_with("record ")).count());
        site.start();
        let there = site.services().await;
        let missing: Vec<String> = (0..done).map(service).filter(|name| !there.contains(name)).collect();
        assert_eq!(missing, Vec::<String>::new(), "cut {nth} at {mark}, after {done} commits: {:?}", restored.left);
        let said = mesh_suite::ctl::meshctl(&site.layout.profile(), &["audit", "verify"]).await;
        said.expect(0);
        commit(&site.mesh(), commits + 1).await;
        site.kill();
        all.lost += restored.left.lost;
        all.torn += restored.left.torn;
        all.kept += restored.left.kept;
    }
    println!(
        "power cuts: {cuts} after up to {commits} commits, all of them there; of the writes that no flush covered {} were \
         kept, {} torn, {} lost; of a file that was never synced {forgotten} records were forgotten",
        all.kept, all.torn, all.lost
    );
    assert!(forgotten > 0, "no cut lost what was never synced: this showed nothing");
}

/// The same disk under a program that acknowledges too early: what it said is there is not.
#[test]
fn a_disk_without_power_forgets_what_was_not_synced_and_keeps_what_was() {
    if skipped() {
        return;
    }
    const RECORDS: usize = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let [at, image] = ["disk-here", "image"].map(|name| dir.path().join(name));
    std::fs::create_dir(&at).expect("a mount point");
    for syncs in [false, true] {
        let mut recorder = Recorder::start(&dir.path().join("disk"), DISK_BYTES, &at).expect("a recording disk");
        let mut file = std::fs::File::create(at.join("records")).expect("created");
        file.sync_all().expect("synced");
        std::fs::File::open(&at).and_then(|dir| dir.sync_all()).expect("synced");
        let mut acknowledged = Vec::new();
        for nth in 0..RECORDS {
            writeln!(file, "record {nth}").expect("written");
            if syncs {
                file.sync_data().expect("synced");
            }
            acknowledged.push(recorder.mark().expect("the record"));
        }
        drop(file);
        let (record, bytes) = recorder.stop().expect("the record");
        let mut missing = 0;
        for done in [1, RECORDS / 2, RECORDS] {
            let mut rng = StdRng::seed_from_u64(number(SEED, SEED_DEFAULT));
            let restored = restore(&record, bytes, acknowledged[done - 1], &mut rng, &image, &at);
            let there = std::fs::read_to_string(at.join("records")).expect("the file itself was synced");
            missing += (0..done).filter(|nth| !there.lines().any(|line| line == format!("record {nth}"))).count();
            drop(restored);
        }
        match syncs {
            true => assert_eq!(missing, 0, "what was synced is there"),
            false => assert!(missing > 0, "nothing is lost without a sync: this disk proves nothing"),
        }
    }
}
