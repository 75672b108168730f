//! A disk that loses its power.
//!
//! ext4 on a loop device, the loop device on a file that qemu-storage-daemon serves, and there every write and every
//! flush is recorded in its order (the format of dm-log-writes, through qemu's `blklogwrites`). From the record an image
//! is made of what the disk may hold after a cut at any point: whatever was written before the last finished flush, and
//! of what came after it any part: some writes, some sectors of a write, or none.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::mounts::{Mount, run};

/// What this needs beside root.
pub const PROGRAMS: [&str; 5] = ["qemu-storage-daemon", "losetup", "mkfs.ext4", "mount", "umount"];

const SECTOR: u64 = 512;
const HEADER_BYTES: usize = 32;
const FLAG_FLUSH: u64 = 1;
const FLAG_FUA: u64 = 2;
const FLAG_DISCARD: u64 = 4;
/// Of the record; sparse. A recording that does not fit fails its writes, and so its test.
const RECORD_BYTES: u64 = 16 * 1024 * 1024 * 1024;
/// Two looks at the record's end so far apart that agree: no write is half recorded.
const STILL: Duration = Duration::from_micros(200);
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// One write or flush, as it reached the disk.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: u64,
    length: u64,
    flags: u64,
    /// Where its bytes are in the record.
    data: u64,
}

/// A mounted file system whose disk records what reaches it.
pub struct Recorder {
    // Dropped in this order.
    mount: Option<Mount>,
    device: Loop,
    daemon: Daemon,
    record: Record,
    bytes: u64,
}

/// A number of writes that had reached the disk.
pub type Mark = usize;

/// What reached a disk, in its order.
pub struct Record {
    file: File,
    entries: Vec<Entry>,
    end: u64,
}

/// What a cut left of the writes that no flush covered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Left {
    pub flushed: usize,
    pub kept: usize,
    pub torn: usize,
    pub lost: usize,
}

impl Recorder {
    /// A file system of so many bytes, mounted at `at`; the disk and its record lie in `dir`.
    pub fn start(dir: &Path, bytes: u64, at: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {error}", dir.display());
        std::fs::create_dir_all(dir).map_err(failed)?;
        let [disk, record, served] = ["disk", "record", "served"].map(|name| dir.join(name));
        sized(&disk, bytes).map_err(failed)?;
        sized(&record, RECORD_BYTES).map_err(failed)?;
        File::create(&served).map_err(failed)?;
        let daemon = Daemon::start(dir, [&disk, &record, &served], bytes)?;
        let device = Loop::attach(&served)?;
        run("mkfs.ext4", &["-q", "-E", "nodiscard", &device.0])?;
        let mount = Mount::device(&device.0, at, "noatime")?;
        let record = Record { file: File::open(&record).map_err(failed)?, entries: Vec::new(), end: SECTOR };
        Ok(Self { mount: Some(mount), device, daemon, record, bytes })
    }

    /// How much has reached the disk by now.
    pub fn mark(&mut self) -> io::Result<Mark> {
        let mut seen = self.record.read_on()?;
        loop {
            std::thread::sleep(STILL);
            let now = self.record.read_on()?;
            if now == seen {
                return Ok(now);
            }
            seen = now;
        }
    }

    /// Unmounts it; what is written on that occasion is after every mark.
    pub fn stop(mut self) -> Result<(Record, u64), String> {
        self.mount.take();
        drop(self.device);
        drop(self.daemon);
        self.record.read_on().map_err(|error| error.to_string())?;
        Ok((self.record, self.bytes))
    }
}

impl Record {
    /// Reads what was recorded since; the number of entries in all.
    fn read_on(&mut self) -> io::Result<Mark> {
        let mut header = [0; HEADER_BYTES];
        loop {
            self.file.read_exact_at(&mut header, self.end)?;
            let field = |nth: usize| {
                let bytes = header.get(nth * 8..nth * 8 + 8).and_then(|bytes| bytes.try_into().ok());
                u64::from_le_bytes(bytes.unwrap_or_default())
            };
            let (sector, sectors, flags) = (field(0), field(1), field(2));
            if header == [0; HEADER_BYTES] {
                return Ok(self.entries.len());
            }
            let data = self.end + SECTOR;
            self.entries.push(Entry { at: sector * SECTOR, length: sectors * SECTOR, flags, data });
            let carried = if flags & FLAG_DISCARD == 0 { sectors * SECTOR } else { 0 };
            self.end = data + carried;
        }
    }

    /// What the disk holds after a cut at `mark`. Of the writes that no flush covers `survives` says how many sectors
    /// of so many are there.
    pub fn image(&self, mark: Mark, bytes: u64, path: &Path, mut survives: impl FnMut(u64) -> u64) -> io::Result<Left> {
        let image = sized(path, bytes)?;
        let before = self.entries.get(..mark).unwrap_or(&self.entries);
        let flushed = before.iter().rposition(|entry| entry.flags & FLAG_FLUSH != 0).map_or(0, |at| at + 1);
        let mut left = Left { flushed, ..Left::default() };
        for (nth, entry) in before.iter().enumerate() {
            if entry.flags & FLAG_DISCARD != 0 || entry.length == 0 {
                continue;
            }
            let sectors = entry.length / SECTOR;
            let durable = nth < flushed || entry.flags & FLAG_FUA != 0;
            let kept = if durable { sectors } else { survives(sectors).min(sectors) };
            match kept {
                _ if durable => {}
                0 => left.lost += 1,
                some if some == sectors => left.kept += 1,
                _ => left.torn += 1,
            }
            let mut data = vec![0; usize::try_from(kept * SECTOR).map_err(io::Error::other)?];
            self.file.read_exact_at(&mut data, entry.data)?;
            image.write_all_at(&data, entry.at)?;
        }
        Ok(left)
    }
}

fn sized(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.set_len(bytes)?;
    Ok(file)
}

/// A block device made of a file.
pub struct Loop(pub String);

impl Loop {
    pub fn attach(file: &Path) -> Result<Self, String> {
        run("losetup", &["--find", "--show", &file.display().to_string()]).map(Self)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = run("losetup", &["--detach", &self.0]);
    }
}

/// Serves the disk as a file and records what is done to it.
struct Daemon {
    process: std::process::Child,
    served: PathBuf,
}

impl Daemon {
    fn start(dir: &Path, [disk, record, served]: [&PathBuf; 3], bytes: u64) -> Result<Self, String> {
        let file = |node: &str, path: &Path| {
            let lock = "locking=off,cache.no-flush=on";
            format!("driver=file,node-name={node},filename={},{lock}", path.display())
        };
        let log = File::create(dir.join("daemon.log")).map_err(|error| error.to_string())?;
        let mut command = std::process::Command::new("qemu-storage-daemon");
        command.args(["--blockdev", &file("disk", disk), "--blockdev", &file("record", record)]);
        command.args(["--blockdev", "driver=blklogwrites,node-name=recorded,file=disk,log=record"]);
        let export = "type=fuse,id=export,node-name=recorded,writable=on,mountpoint=";
        command.args(["--export", &format!("{export}{}", served.display())]);
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(log);
        let process = command.spawn().map_err(|error| format!("qemu-storage-daemon: {error}"))?;
        let mut daemon = Self { process, served: served.clone() };
        let deadline = Instant::now() + SERVED_WITHIN;
        while std::fs::metadata(served).map(|about| about.len()).ok() != Some(bytes) {
            if Instant::now() > deadline || !matches!(daemon.process.try_wait(), Ok(None)) {
                let said = std::fs::read_to_string(dir.join("daemon.log")).unwrap_or_default();
                return Err(format!("qemu-storage-daemon does not serve the disk: {said}"));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = run("umount", &[&self.served.display().to_string()]);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
