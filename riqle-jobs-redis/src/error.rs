use redis::{RedisError, ServerErrorKind};
use riqle_jobs_core::{Error, ErrorKind};

/// Translates an error of the driver for `operation`.
pub(crate) fn translate(operation: &'static str, error: RedisError) -> Error {
    let (kind, message) = classify(&error);
    let message = match error.detail() {
        Some(detail) => format!("{message} ({} {detail})", error.code().unwrap_or_default()),
        None => format!("{message} ({error})"),
    };
    Error::new(kind, operation, message).caused_by(error)
}

fn classify(error: &RedisError) -> (ErrorKind, &'static str) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    use redis::ErrorKind as Driver;
    match error.kind() {
        Driver::Io => (Unavailable, "the server can't be reached"),
        Driver::Parse => (Unavailable, "the connection broke off"),
        Driver::ClusterConnectionNotFound => {
            (Unavailable, "no node of the cluster answers for this slot now")
        }
        Driver::AuthenticationFailed => (Misconfigured, "the server refuses user or password"),
        Driver::InvalidClientConfig => (Misconfigured, "the options of the connection are wrong"),
        Driver::UnexpectedReturnType => (Corrupt, "the server answered what was not asked for"),
        _ => of_server(error),
    }
}

/// By the word that an error of the server begins with.
fn of_server(error: &RedisError) -> (ErrorKind, &'static str) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let detail = error.detail().unwrap_or_default();
    match error.code().unwrap_or_default() {
        // Some versions tell a script's errors behind a word of their own.
        _ if detail.contains("OOM command not allowed") => (Unavailable, OUT_OF_MEMORY),
        "OOM" => (Unavailable, OUT_OF_MEMORY),
        _ if detail.contains("non local key") || detail.contains("accesses a non local") => {
            (Unavailable, "the queue's slot is being moved to another node")
        }
        "LOADING" => (Unavailable, "the server is loading its data"),
        "READONLY" => (Unavailable, "the server is a replica: it is being failed over"),
        "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" => {
            (Unavailable, "the cluster is being rearranged")
        }
        "NOREPLICAS" => (Unavailable, "the server has fewer replicas than it asks for"),
        "BUSY" | "NOSCRIPT" | "UNKILLABLE" => (Unavailable, "the server is busy with a script"),
        "MISCONF" => (Unavailable, "the server can't save its data, so it takes no writes; see its log"),
        "WRONGPASS" | "NOAUTH" => (Misconfigured, "the server refuses user or password"),
        "NOPERM" => (Misconfigured, "the user lacks a right"),
        "WRONGTYPE" => (Corrupt, "another application uses a key of ours; choose another prefix"),
        _ if detail.contains("RIQLE ") || detail.contains("WRONGTYPE") => {
            (Corrupt, "another application uses a key of ours; choose another prefix")
        }
        _ if detail.contains("max number of clients") => {
            (Unavailable, "the server takes no more connections")
        }
        _ if detail.contains("invalid password") || detail.contains("AUTH") => {
            (Misconfigured, "the server refuses user or password")
        }
        _ => (Corrupt, "Redis refuses the command"),
    }
}

const OUT_OF_MEMORY: &str = "the server is out of memory and stores nothing more: raise maxmemory, or let workers and pruning free some";

/// Whether the connection, not the command, has failed.
pub(crate) fn is_of_the_connection(error: &RedisError) -> bool {
    use redis::ErrorKind as Driver;
    matches!(error.kind(), Driver::Io | Driver::Parse | Driver::ClusterConnectionNotFound)
        || matches!(error.kind(), Driver::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}

/// Whether the server refused the command before it did anything, and may take it in a moment.
pub(crate) fn is_refused_for_now(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    matches!(
        error.kind(),
        redis::ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain)
    )
}

/// Whether the server does not know the script, or no longer.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    matches!(error.kind(), redis::ErrorKind::Server(ServerErrorKind::NoScript))
}

pub(crate) fn unavailable(operation: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, operation, message)
}
