//! Keys, approvals, audit, membership, certificates.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mesh_core::access::Role;
use mesh_core::ids::{Hash32, KeyId, RegionId};

#[derive(Debug, Args)]
pub struct Approvals {
    /// An approval from `meshctl approval sign`; once two keys are enrolled, two of different people are needed.
    #[arg(long = "approval", value_name = "FILE")]
    pub approvals: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List the enrolled keys.
    List,
    /// Make a key pair: FILE (private, keep it) and FILE.pub (to be enrolled).
    Generate {
        /// Name of the key, unique in the mesh.
        #[arg(long)]
        name: KeyId,
        /// The person it belongs to, as in their certificate.
        #[arg(long)]
        owner: String,
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Make a public key count. The first two keys need no approval, every further one two.
    Enroll {
        /// The public key, from `meshctl keys generate`.
        #[arg(value_name = "FILE.pub")]
        public: PathBuf,
        #[command(flatten)]
        approvals: Approvals,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Make a key count no longer.
    Revoke {
        key: KeyId,
        #[command(flatten)]
        approvals: Approvals,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ApprovalCommand {
    /// Sign a subject, as the refused command printed it.
    Sign {
        /// The exact text, for instance "membership remove 3".
        #[arg(long)]
        subject: String,
        /// Your private key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// How long the signature counts.
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
        minutes: u64,
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the audit to a file that can be checked without the mesh.
    Export {
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        /// First index wanted.
        #[arg(long, default_value_t = 0)]
        from: u64,
    },
    /// Check the hash chain, of an exported file or of the live mesh. Exit code 1 names the first broken index.
    Verify {
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Head hash of an earlier export: the chain must hold it, or it was cut off or replaced since.
        #[arg(long, value_name = "HASH")]
        head: Option<Hash32>,
    },
}

#[derive(Debug, Subcommand)]
pub enum CoordinatorCommand {
    /// The coordinators, who leads, how far each is.
    Status,
    /// Add a node that receives the log and has no vote yet.
    Add {
        /// Its `node_id`. Never one that was used before.
        id: u64,
        /// Its `advertise` address, host:port.
        address: String,
        #[arg(long)]
        region: RegionId,
        #[command(flatten)]
        approvals: Approvals,
        #[arg(long)]
        yes: bool,
    },
    /// Give a caught-up learner a vote.
    Promote(NodeChange),
    /// Take a node out of the group.
    Remove(NodeChange),
    /// Make another voter the leader.
    Transfer(NodeChange),
    /// Write the whole state, history and audit of the mesh to a file, and verify it. `mesh-coordinator restore` founds
    /// a new group from it, when the old one is lost.
    Backup {
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Check a backup without the mesh: its checksum, its records, its audit chain. Exit code 1 if it is not whole.
    VerifyBackup {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub struct NodeChange {
    /// Node id.
    pub id: u64,
    #[command(flatten)]
    pub approvals: Approvals,
    /// Do not ask.
    #[arg(long)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum PkiCommand {
    /// Make a mesh's root and issuing authorities. Keep DIR/ca.key offline afterwards.
    Init {
        #[arg(long)]
        dir: PathBuf,
        /// Name of the mesh.
        #[arg(long)]
        mesh: RegionId,
    },
    /// Issue a certificate: NAME.pem and NAME.key.
    Issue(Issue),
}

#[derive(Debug, Args)]
pub struct Issue {
    /// Directory of `meshctl pki init`.
    #[arg(long)]
    pub dir: PathBuf,
    /// viewer, operator, approver, admin, agent or coordinator.
    #[arg(long)]
    pub role: Role,
    #[arg(long)]
    pub region: RegionId,
    /// The person, agent or coordinator.
    #[arg(long)]
    pub name: RegionId,
    /// A DNS name or IP address it is reached by; can be given several times. Coordinators need theirs.
    #[arg(long = "san", value_name = "NAME")]
    pub sans: Vec<String>,
    /// Lifetime; agents and coordinators renew by themselves.
    #[arg(long, conflicts_with = "hours", value_parser = clap::value_parser!(u64).range(1..=825))]
    pub days: Option<u64>,
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=19_800))]
    pub hours: Option<u64>,
    /// Where to write; default: DIR.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
