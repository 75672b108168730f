//! The table of keys: what may stand in a manifest, and where. The reader, the JSON Schema and the tests all walk it.

mod fences;
mod probes;

/// What stands at a key.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// A name by the rules of [`mesh_core::ids`].
    Name,
    Integer {
        min: u32,
        max: u32,
    },
    Boolean,
    /// `5`, `0.05`: at most six digits behind the point.
    Decimal,
    /// `500ms`, `30s`, `15m`, `1h30m`.
    Duration,
    /// The same, without a fraction of a second.
    Seconds,
    /// `mon-fri 08:00-18:00`.
    Window,
    /// `lag(database) < 5s`.
    Rule,
    Word(&'static Words),
    List(&'static Kind),
    /// By name.
    Names(&'static Kind),
    /// By region.
    Regions(&'static Kind),
    Record(&'static Record),
}

/// A choice of words.
#[derive(Debug)]
pub struct Words {
    pub accepted: &'static [&'static str],
    /// The word that `false` stands for: YAML 1.1 writers turn `off` into it.
    pub when_false: Option<&'static str>,
    /// Known words that are refused, and why.
    pub refused: &'static [(&'static str, &'static str)],
}

#[derive(Debug)]
pub struct Record {
    pub fields: &'static [Field],
    /// Keys of which exactly one is needed.
    pub one_of: &'static [&'static str],
    /// Keys that exclude each other.
    pub at_most_one: &'static [&'static str],
    /// The first key needs the second.
    pub needs: &'static [(&'static str, &'static str)],
}

#[derive(Debug)]
pub struct Field {
    pub key: &'static str,
    pub kind: Kind,
    pub presence: Presence,
    pub doc: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum Presence {
    Required,
    Optional,
    /// What stands there when the key does not, as it would be written.
    Default(&'static str),
}

const fn required(key: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { key, kind, presence: Presence::Required, doc }
}

const fn optional(key: &'static str, kind: Kind, doc: &'static str) -> Field {
    Field { key, kind, presence: Presence::Optional, doc }
}

const fn default(key: &'static str, kind: Kind, value: &'static str, doc: &'static str) -> Field {
    Field { key, kind, presence: Presence::Default(value), doc }
}

const fn record(fields: &'static [Field]) -> Record {
    Record { fields, one_of: &[], at_most_one: &[], needs: &[] }
}

const fn words(accepted: &'static [&'static str]) -> Words {
    Words { accepted, when_false: None, refused: &[] }
}

const NAME: &str = "Its name: 1 to 32 of a-z, 0-9, '-', '.', '_'. Steps of a plan are named after it.";
const STATUS: Kind = Kind::Integer { min: 100, max: 599 };
const COUNT: Kind = Kind::Integer { min: 0, max: 100_000 };
const TEXT_BY_REGION: Kind = Kind::Regions(&Kind::Text);

pub static MANIFEST: Record = record(&[
    required("apiVersion", Kind::Word(&words(&["mesh/v1"])), "Version of this format."),
    required("service", Kind::Name, "What fails over as one. A later apply with the same name is its next version."),
    default("description", Kind::Text, "", "For people."),
    required(
        "writer",
        Kind::Word(&words(&["single", "multi"])),
        "single: one region may write (a promoted database). multi: all regions write.",
    ),
    required(
        "regions",
        Kind::Regions(&Kind::Word(&words(&["primary", "standby"]))),
        "Regions of the service. Exactly one is primary: the one that serves when the service is adopted.",
    ),
    optional("depends-on", Kind::List(&Kind::Name), "Services that must have moved before this one."),
    required("objectives", Kind::Record(&OBJECTIVES), "What an outage may cost."),
    optional("checks", Kind::List(&Kind::Record(&probes::CHECK)), "Health questions that agents ask."),
    optional("resources", Kind::List(&Kind::Record(&RESOURCE)), "What the service is made of."),
    optional("traffic", Kind::List(&Kind::Record(&TRAFFIC)), "DNS names, and what they answer."),
    optional("verify", Kind::List(&Kind::Record(&VERIFICATION)), "Questions asked after traffic has moved."),
    optional("notices", Kind::List(&Kind::Record(&NOTICE)), "Who is told."),
    optional("policy", Kind::Record(&POLICY), "How it may be moved."),
    optional("safety", Kind::List(&Kind::Record(&SAFETY)), "Predicates that must hold when it is moved."),
    optional(
        "fence",
        Kind::List(&Kind::Record(&fences::FENCE)),
        "How a region that may not write is kept from it. With a fence, its right to write is a lease.",
    ),
    optional("lease", Kind::Record(&fences::LEASE), "Length and margin of the leases; it needs a fence."),
]);

static OBJECTIVES: Record = record(&[
    required("rto", Kind::Duration, "Longest acceptable outage."),
    required("rpo", Kind::Duration, "Longest acceptable loss of accepted writes, as replication lag."),
]);

static RESOURCE: Record = Record {
    fields: &[
        required("name", Kind::Name, NAME),
        optional("rds", Kind::Record(&RDS), "A primary DB instance and its cross-region read replicas."),
        optional("dynamodb-global-table", Kind::Record(&DYNAMODB), "A DynamoDB global table."),
        optional("eks", Kind::Record(&EKS), "EKS clusters, their node groups and deployments."),
        optional("ecs", Kind::Record(&ECS), "ECS services."),
        optional("msk", Kind::Record(&MSK), "MSK clusters."),
        optional("postgresql", Kind::Record(&POSTGRESQL), "A PostgreSQL primary and its streaming replicas."),
    ],
    one_of: &["rds", "dynamodb-global-table", "eks", "ecs", "msk", "postgresql"],
    at_most_one: &[],
    needs: &[],
};

static RDS: Record = record(&[
    required("instances", Kind::Regions(&Kind::Record(&RDS_INSTANCE)), "The instance in every region of the service."),
    default(
        "backup-retention-days",
        Kind::Integer { min: 1, max: 35 },
        "7",
        "Automated backups of a promoted instance. Failback needs them.",
    ),
]);

static RDS_INSTANCE: Record = record(&[
    required("instance", Kind::Text, "DB instance identifier."),
    required(
        "security-groups",
        Kind::List(&Kind::Text),
        "The groups of an instance that may be written: what un-fence restores.",
    ),
    required("closed-security-group", Kind::Text, "A group without ingress rules: what a fence puts in their place."),
]);

static DYNAMODB: Record = record(&[
    required("table", Kind::Text, "Table name."),
    required("regions", Kind::List(&Kind::Name), "Regions with a replica."),
]);

static EKS: Record =
    record(&[required("clusters", Kind::Regions(&Kind::Record(&EKS_CLUSTER)), "The cluster in each region.")]);

static EKS_CLUSTER: Record = record(&[
    required("cluster", Kind::Text, "Cluster name."),
    required("node-group", Kind::Text, "Node group that is scaled."),
    required("nodes", Kind::Record(&NODES), "Scaling of the node group while the region is active."),
    required("namespace", Kind::Text, "Namespace of the deployments."),
    required("replicas", COUNT, "Replicas that each deployment has at least while the region is active."),
    optional(
        "deployments",
        Kind::Names(&COUNT),
        "Replicas by name, for the deployments that are to be scaled. Without it every deployment of the namespace is.",
    ),
]);

static ECS: Record =
    record(&[required("services", Kind::Regions(&Kind::Record(&ECS_SERVICE)), "The service in each region.")]);

static ECS_SERVICE: Record = record(&[
    required("cluster", Kind::Text, "Cluster name."),
    required("service", Kind::Text, "Service name."),
    required("tasks", COUNT, "Tasks that run at least while the region is active."),
]);

static NODES: Record = record(&[
    required("min", COUNT, "Smallest size."),
    required("max", COUNT, "Largest size."),
    required("desired", COUNT, "Desired size."),
]);

static MSK: Record = record(&[required("clusters", TEXT_BY_REGION, "Cluster name in each region.")]);

static POSTGRESQL: Record = record(&[required(
    "instances",
    Kind::Regions(&Kind::Record(&POSTGRES_INSTANCE)),
    "The server in every region of the service.",
)]);

static POSTGRES_INSTANCE: Record = record(&[
    required("host", Kind::Text, "Host name or address that agents connect to."),
    default("port", Kind::Integer { min: 1, max: 65_535 }, "5432", "Its port."),
    default("database", Kind::Text, "postgres", "The database that the mesh connects to, and keeps its notes in."),
    required("user", Kind::Text, "A superuser of the mesh's own. A fence ends no session of it."),
    optional("password-file", Kind::Text, "File with its password: a name in the agents' directory of credentials."),
    optional(
        "tls",
        Kind::Record(&POSTGRES_TLS),
        "Encrypt and verify. Needed where a password is sent to another host.",
    ),
    optional("data-directory", Kind::Text, "Where its data lies on its host: needed for a rejoin, else not read."),
]);

static POSTGRES_TLS: Record = record(&[required(
    "ca-file",
    Kind::Text,
    "Authorities of the server's certificate (PEM): a name in the agents' directory of credentials.",
)]);

static TRAFFIC: Record = record(&[
    required("name", Kind::Name, NAME),
    required("zone-id", Kind::Text, "Route 53 hosted zone id, without /hostedzone/."),
    required("record", Kind::Text, "Fully qualified name, lower case, without the final dot."),
    required(
        "active",
        Kind::Regions(&Kind::List(&Kind::Record(&RECORD_SET))),
        "All record sets of the name while that region is active.",
    ),
]);

static RECORD_SET: Record = Record {
    fields: &[
        required("type", Kind::Word(&words(&["A", "AAAA", "CNAME"])), "Record type."),
        optional("alias", Kind::Record(&ALIAS), "An alias target. An alias has no TTL of its own."),
        optional("values", Kind::List(&Kind::Text), "Addresses, or one host name."),
        optional("ttl", Kind::Seconds, "How long resolvers may keep the values."),
        optional("set-identifier", Kind::Text, "Name among the weighted or failover sets of the record."),
        optional("weight", Kind::Integer { min: 0, max: 255 }, "Weighted routing: weight / sum of weights."),
        optional("failover", Kind::Word(&words(&["primary", "secondary"])), "Failover routing: its role."),
        optional("health-check-id", Kind::Text, "Route 53 health check."),
    ],
    one_of: &["alias", "values"],
    at_most_one: &["weight", "failover"],
    needs: &[("values", "ttl"), ("ttl", "values"), ("weight", "set-identifier"), ("failover", "set-identifier")],
};

static ALIAS: Record = record(&[
    required("zone-id", Kind::Text, "Hosted zone id of the target, as AWS publishes it."),
    required("dns-name", Kind::Text, "DNS name of the target."),
    required("evaluate-target-health", Kind::Boolean, "Whether Route 53 looks at the target's health."),
]);

static VERIFICATION: Record = record(&[
    required("name", Kind::Name, NAME),
    required("url", Kind::Text, "URL to GET through the public name. {region} stands for the target region."),
    default("expect-status", STATUS, "200", "The status that passes."),
    optional("body-contains", Kind::Text, "A text that the body must hold. {region} stands for the target region."),
    default("consecutive", Kind::Integer { min: 1, max: 20 }, "3", "Passes in a row that are needed."),
]);

static NOTICE: Record = record(&[
    required("name", Kind::Name, NAME),
    required("sns", TEXT_BY_REGION, "ARN of the SNS topic in each region: the target region's is used."),
]);

static POLICY: Record = record(&[
    default(
        "automatic",
        Kind::Word(&AUTOMATIC),
        "off",
        "Whether to fail over without being told to. notify: say what would be done. fence: do what can be undone, then ask \
         one person. full: do it all.",
    ),
    default(
        "sustained",
        Kind::Duration,
        "30s",
        "For how long a quorum must have seen the active region fail before it counts as down, 1s to 1h.",
    ),
    default(
        "cool-down",
        Kind::Duration,
        "1h",
        "One automatic move in so long a time, 1m to 30d, unless a person acknowledges the last one (meshctl ack).",
    ),
    optional(
        "windows",
        Kind::List(&Kind::Window),
        "When it may act by itself, in UTC: like mon-fri 08:00-18:00 or daily 22:00-02:00. Without it, always.",
    ),
    default(
        "loss",
        Kind::Word(&words(&["block", "accept"])),
        "block",
        "block: an expected loss above objectives.rpo, or one that was never measured, blocks an automatic promotion.",
    ),
    optional(
        "quorum",
        Kind::Integer { min: 1, max: 100 },
        "Observers in other regions that must agree. Without it, the majority of those that were heard of lately.",
    ),
    default("fence-timeout", Kind::Duration, "5m", "A fence that takes longer holds the run for consent."),
    default(
        "catch-up-timeout",
        Kind::Duration,
        "10m",
        "A replica that takes longer to catch up holds the run for consent to the loss.",
    ),
    default("promote-timeout", Kind::Duration, "30m", "Bound on a promotion."),
    default("scale-timeout", Kind::Duration, "30m", "Bound on nodes, pods and tasks becoming ready."),
    default("gate-timeout", Kind::Duration, "5m", "Bound on replication latency falling below the loss objective."),
    default("traffic-timeout", Kind::Duration, "5m", "Bound on a change of records."),
    default("verify-timeout", Kind::Duration, "5m", "Bound on a verification."),
    default("notice-timeout", Kind::Duration, "2m", "Bound on a notice."),
]);

static AUTOMATIC: Words =
    Words { accepted: &["off", "notify", "fence", "full"], when_false: Some("off"), refused: &[] };

static SAFETY: Record = record(&[
    required(
        "name",
        Kind::Name,
        "Its name: 1 to 32 of a-z, 0-9, '-', '.', '_'. Two people can override it by this name.",
    ),
    required(
        "rule",
        Kind::Rule,
        "regions-on >= N, KIND after KIND (traffic after promotion), lag(RESOURCE) < 5s, or items-equal(RESOURCE).",
    ),
    default(
        "scope",
        Kind::Word(&words(&["service", "mesh"])),
        "service",
        "service: binds runs of this service. mesh: binds runs of every service of the mesh.",
    ),
]);

impl Record {
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.key == key)
    }
}
