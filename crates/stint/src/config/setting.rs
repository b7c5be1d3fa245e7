//! Every setting: its key in the file, its variable, its flag, what it holds, what it is for.

/// What a setting holds; decides how its text is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Text,
    Path,
    Address,
    Switch,
    Count,
    Percent,
    /// "30s", "5m", "30d".
    Duration,
    /// "128KiB", "1GiB"; also "1GB" for powers of ten.
    Size,
    /// vCPU: "2", "0.5"; or "auto".
    Cpu,
    /// A size or "auto".
    SizeOrAuto,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Several texts; in a variable or flag separated by commas.
    List,
    /// Names and texts; in a variable or flag `name=text,name=text`.
    Map,
}

impl Kind {
    /// For the reference page.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Path => "path".to_owned(),
            Self::Address => "address and port".to_owned(),
            Self::Switch => "`true` or `false`".to_owned(),
            Self::Count => "whole number".to_owned(),
            Self::Percent => "percent".to_owned(),
            Self::Duration => "duration (`30s`, `5m`, `30d`)".to_owned(),
            Self::Size => "size (`128KiB`, `1GiB`)".to_owned(),
            Self::Cpu => "vCPU (`2`, `0.5`) or `auto`".to_owned(),
            Self::SizeOrAuto => "size or `auto`".to_owned(),
            Self::Word(words) => {
                words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or ")
            }
            Self::List => "list of texts".to_owned(),
            Self::Map => "table of texts".to_owned(),
        }
    }
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Key in the file; dots are tables.
    pub(crate) key: &'static str,
    /// The variable that sets it.
    pub(crate) variable: &'static str,
    /// The flag of `stint up` that sets it; `--set KEY=VALUE` works for all.
    pub(crate) flag: Option<&'static str>,
    pub(crate) kind: Kind,
    /// The version that brought it.
    pub(crate) since: &'static str,
    pub(crate) about: &'static str,
}

/// Finds a setting by its key.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

const fn plain(
    key: &'static str,
    variable: &'static str,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { key, variable, flag: None, kind, since: "0.1", about }
}

const fn flagged(flag: &'static str, setting: Setting) -> Setting {
    Setting { flag: Some(flag), ..setting }
}

/// All of them, in the order of the reference page.
pub(crate) const SETTINGS: &[Setting] = &[
    flagged(
        "--data",
        plain(
            "data",
            "STINT_DATA",
            Kind::Path,
            "Directory of the book, blobs, keys and addresses. Empty: `stint` under the XDG data home.",
        ),
    ),
    plain(
        "region",
        "STINT_REGION",
        Kind::Text,
        "Shown in ARNs and given to functions as FC_REGION.",
    ),
    plain(
        "shards",
        "STINT_SHARDS",
        Kind::Count,
        "Slices of the book, each with one owner: 1 to 1024. Fixed when the book is made.",
    ),
    plain(
        "grace",
        "STINT_GRACE",
        Kind::Duration,
        "How long running attempts may go on after SIGTERM.",
    ),
    flagged(
        "--listen",
        plain(
            "listen.control",
            "STINT_LISTEN",
            Kind::Address,
            "API, health and metrics. Port 0 takes a free one; DIR/address tells which.",
        ),
    ),
    flagged(
        "--listen-trigger",
        plain(
            "listen.trigger",
            "STINT_LISTEN_TRIGGER",
            Kind::Address,
            "HTTP triggers: what guests answer never leaves from the control listener's origin.",
        ),
    ),
    flagged(
        "--insecure",
        plain(
            "listen.insecure",
            "STINT_INSECURE",
            Kind::Switch,
            "Allows listeners that are not loopback without TLS.",
        ),
    ),
    plain(
        "tls.cert",
        "STINT_TLS_CERT",
        Kind::Path,
        "Certificate chain (PEM); read again when it changes.",
    ),
    plain("tls.key", "STINT_TLS_KEY", Kind::Path, "Its private key (PEM)."),
    flagged(
        "--log",
        plain(
            "log.level",
            "STINT_LOG",
            Kind::Text,
            "What the server says: a level, or a filter such as `info,stint_node=debug`.",
        ),
    ),
    plain("log.format", "STINT_LOG_FORMAT", Kind::Word(&["text", "json"]), "How it says it."),
    plain(
        "node.cpu",
        "STINT_NODE_CPU",
        Kind::Cpu,
        "vCPU offered to instances. `auto`: what this process may use.",
    ),
    plain(
        "node.memory",
        "STINT_NODE_MEMORY",
        Kind::SizeOrAuto,
        "Memory offered to instances. `auto`: the machine's, minus `node.memory_reserve`.",
    ),
    plain(
        "node.memory_reserve",
        "STINT_NODE_MEMORY_RESERVE",
        Kind::Size,
        "Memory kept for the server and the machine when `node.memory` is `auto`.",
    ),
    plain(
        "node.cpu_overcommit",
        "STINT_NODE_CPU_OVERCOMMIT",
        Kind::Percent,
        "How much vCPU may be promised to instances, of what there is. Memory is never overcommitted.",
    ),
    plain(
        "node.idle_timeout",
        "STINT_NODE_IDLE_TIMEOUT",
        Kind::Duration,
        "An idle instance ends after this, unless its function says otherwise.",
    ),
    plain(
        "node.parked",
        "STINT_NODE_PARKED",
        Kind::Count,
        "Sandboxed children kept ready, so that a cold start is short.",
    ),
    plain(
        "node.parked_interpreters",
        "STINT_NODE_PARKED_INTERPRETERS",
        Kind::Count,
        "Started interpreters kept waiting for a function, at most so many of each kind; the number follows demand. `0`: none.",
    ),
    plain(
        "node.parked_memory",
        "STINT_NODE_PARKED_MEMORY",
        Kind::SizeOrAuto,
        "Memory that waiting interpreters may take together, kept beside `node.memory`. `auto`: a sixteenth of what is offered, up to 512 MiB, and none below 1 GiB.",
    ),
    plain(
        "node.freeze",
        "STINT_NODE_FREEZE",
        Kind::Switch,
        "Let nothing of an instance run between its requests.",
    ),
    plain(
        "node.isolation",
        "STINT_NODE_ISOLATION",
        Kind::Word(&["personal", "strict"]),
        "`strict` refuses to start where control groups, Landlock or user namespaces are missing; \
         `personal` uses what the machine has. The walls themselves are always required.",
    ),
    plain(
        "node.network",
        "STINT_NODE_NETWORK",
        Kind::Word(&["proxy", "none", "host", "host-for-all-accounts"]),
        "What internetAccess gives a function. `proxy`: HTTP and SOCKS5 through the node, which \
         judges each destination. `none`: nothing. `host`: functions of the operator's account share \
         the host's network, loopback included; refused with `node.isolation = strict`. \
         `host-for-all-accounts`: every account's do. Custom runtimes have the proxy in any case.",
    ),
    plain(
        "node.egress_allow",
        "STINT_NODE_EGRESS_ALLOW",
        Kind::List,
        "Where functions may go: `10.0.0.0/8`, `192.0.2.7:5432`, `example.com`, \
         `*.example.com:443`, `public`, `private`, `*`. Empty: `public`, and for the operator's \
         account `private` unless `node.isolation` is `strict`. Loopback, link-local and metadata \
         addresses and the node itself cannot be allowed.",
    ),
    plain(
        "node.egress_deny",
        "STINT_NODE_EGRESS_DENY",
        Kind::List,
        "Where functions may not go, whatever `node.egress_allow` says. Entries look the same.",
    ),
    plain(
        "node.egress_host_ports",
        "STINT_NODE_EGRESS_HOST_PORTS",
        Kind::List,
        "Ports of the node's own loopback that functions reach as `host.stint.internal:PORT`.",
    ),
    plain(
        "node.nas_allow",
        "STINT_NODE_NAS_ALLOW",
        Kind::List,
        "Host directories that nasConfig may mount (`host:/directory`). Named volumes need no entry.",
    ),
    plain(
        "node.registries",
        "STINT_NODE_REGISTRIES",
        Kind::List,
        "Registries that images may come from, as `host[:port]`. Empty: any; this machine's own ports \
         only unless `node.isolation` is `strict`.",
    ),
    plain(
        "node.oci_allow",
        "STINT_NODE_OCI_ALLOW",
        Kind::List,
        "Host directories with OCI layouts that images may come from (`oci:/directory[:tag]`).",
    ),
    plain("node.image_max", "STINT_NODE_IMAGE_MAX", Kind::Size, "What an image may unpack to."),
    plain(
        "node.image_cache",
        "STINT_NODE_IMAGE_CACHE",
        Kind::Size,
        "Unpacked image layers that are kept. Beyond it the least recently used go; what an instance \
         uses stays.",
    ),
    plain(
        "interpreters",
        "STINT_INTERPRETERS",
        Kind::Map,
        "Runtime to interpreter, in place of what is found under /usr: `python3.10 = \"/usr/bin/python3.11\"`.",
    ),
    plain(
        "history.tasks",
        "STINT_HISTORY_TASKS",
        Kind::Duration,
        "How long ended tasks and their history are kept.",
    ),
    plain(
        "history.audit",
        "STINT_HISTORY_AUDIT",
        Kind::Duration,
        "How long the audit trail is kept.",
    ),
    plain(
        "history.logs",
        "STINT_HISTORY_LOGS",
        Kind::Duration,
        "How long logs of functions are kept.",
    ),
    plain(
        "history.attempt_log",
        "STINT_HISTORY_ATTEMPT_LOG",
        Kind::Size,
        "What one attempt may say before its log is cut.",
    ),
    plain(
        "flows.retention",
        "STINT_FLOWS_RETENTION",
        Kind::Duration,
        "How long ended executions of flows and their history are kept.",
    ),
    plain(
        "flows.payload_max",
        "STINT_FLOWS_PAYLOAD_MAX",
        Kind::SizeOrAuto,
        "The largest input, output or result of a step as JSON; `auto` is the limit of the dialect.",
    ),
    plain(
        "flows.history_events",
        "STINT_FLOWS_HISTORY_EVENTS",
        Kind::Count,
        "History events of one execution; 0 is the limit of the dialect.",
    ),
    plain(
        "flows.threads",
        "STINT_FLOWS_THREADS",
        Kind::Count,
        "Branches and iterations of one execution that are alive at one moment.",
    ),
    plain("flows.depth", "STINT_FLOWS_DEPTH", Kind::Count, "How deep flows call each other."),
    plain("flows.flows", "STINT_FLOWS_FLOWS", Kind::Count, "Flows of one account."),
    plain(
        "flows.cache",
        "STINT_FLOWS_CACHE",
        Kind::Count,
        "Executions that one shard keeps in memory; others are read when something happens to them.",
    ),
    plain(
        "flows.evaluators",
        "STINT_FLOWS_EVALUATORS",
        Kind::Count,
        "Threads that evaluate JSONata.",
    ),
    plain(
        "flows.map_concurrency",
        "STINT_FLOWS_MAP_CONCURRENCY",
        Kind::Count,
        "Children of one distributed map at one moment.",
    ),
    plain("flows.map_items", "STINT_FLOWS_MAP_ITEMS", Kind::Count, "Items of one distributed map."),
    plain(
        "flows.map_object",
        "STINT_FLOWS_MAP_OBJECT",
        Kind::Size,
        "The largest object that items of a map are read from.",
    ),
    plain(
        "flows.map_output",
        "STINT_FLOWS_MAP_OUTPUT",
        Kind::Size,
        "What the results of a distributed map may have together.",
    ),
    plain(
        "flows.http_timeout",
        "STINT_FLOWS_HTTP_TIMEOUT",
        Kind::Duration,
        "The longest HTTP request of a step.",
    ),
    plain("flows.http_answer", "STINT_FLOWS_HTTP_ANSWER", Kind::Size, "The largest answer to one."),
    plain(
        "flows.http_private",
        "STINT_FLOWS_HTTP_PRIVATE",
        Kind::Switch,
        "Whether steps may call loopback, link-local and private addresses.",
    ),
    plain("payload.max", "STINT_PAYLOAD_MAX", Kind::Size, "The largest payload accepted."),
    plain(
        "payload.inline",
        "STINT_PAYLOAD_INLINE",
        Kind::Size,
        "Larger payloads are kept as blobs instead of in the book.",
    ),
    plain(
        "payload.result_inline",
        "STINT_PAYLOAD_RESULT_INLINE",
        Kind::Size,
        "Larger results are kept as blobs instead of in the book.",
    ),
    plain(
        "disk.low",
        "STINT_DISK_LOW",
        Kind::Size,
        "With less free than this, submits are refused while settling goes on.",
    ),
    plain(
        "disk.high",
        "STINT_DISK_HIGH",
        Kind::Size,
        "Submits are accepted again with this much free.",
    ),
    plain(
        "account.instances",
        "STINT_ACCOUNT_INSTANCES",
        Kind::Count,
        "Instances an account may have at once, unless its own limit says otherwise.",
    ),
    plain(
        "account.functions",
        "STINT_ACCOUNT_FUNCTIONS",
        Kind::Count,
        "Functions an account may have, unless its own limit says otherwise.",
    ),
    plain(
        "blobs",
        "STINT_BLOBS",
        Kind::Text,
        "Where code, large payloads and results are kept: `local` (in the data directory) or \
         `s3://bucket/prefix`; AWS_* variables say how to reach it.",
    ),
    plain(
        "buckets",
        "STINT_BUCKETS",
        Kind::Map,
        "Buckets that code may be taken from: `media = \"s3://media\"`, `local = \"file:///srv/code\"`.",
    ),
];
