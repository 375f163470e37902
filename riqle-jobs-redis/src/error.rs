//! What errors of the driver and the server mean, and which are worth another try.

use redis::{RedisError, ServerErrorKind};
use riqle_jobs_core::{Error, ErrorKind};

/// Translates an error of the driver for `operation`.
pub(crate) fn translate(operation: &'static str, error: RedisError) -> Error {
    let (kind, message) = match classify(&error) {
        // It was taken when the store was opened.
        (ErrorKind::Misconfigured, REFUSED_USER) if operation != CONNECT => (
            ErrorKind::Unavailable,
            "the server no longer accepts the user name or password that it accepted before",
        ),
        classified => classified,
    };
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
        // A cluster's client tells of all nodes in one text.
        Driver::Io if error.to_string().contains("AuthenticationFailed") => (Misconfigured, REFUSED_USER),
        Driver::Io => (Unavailable, "the server can't be reached"),
        Driver::Parse => (Unavailable, "the connection broke off"),
        Driver::ClusterConnectionNotFound => (Unavailable, "no node of the cluster serves this slot now"),
        Driver::AuthenticationFailed => (Misconfigured, REFUSED_USER),
        Driver::InvalidClientConfig => (Misconfigured, "the connection options are invalid"),
        Driver::UnexpectedReturnType => (Corrupt, "the server sent an unexpected answer"),
        _ => of_server(error),
    }
}

/// The word that an error of the server begins with. Redis 6.2 tells what a script was refused behind words of its own:
/// `ERR Error running script (…): @user_script:27: @user_script: 27: -READONLY You can't write …`.
fn word(error: &RedisError) -> &str {
    let word = error.code().unwrap_or_default();
    let Some(detail) = error.detail().filter(|detail| detail.starts_with("Error running script")) else {
        return word;
    };
    let refused = detail.rsplit_once(" -").and_then(|(_, refused)| refused.split_whitespace().next());
    refused.filter(|refused| refused.chars().all(|c| c.is_ascii_uppercase())).unwrap_or(word)
}

/// By the word that an error of the server begins with.
fn of_server(error: &RedisError) -> (ErrorKind, &'static str) {
    use ErrorKind::{Corrupt, Misconfigured, Unavailable};
    let detail = error.detail().unwrap_or_default();
    match word(error) {
        "OOM" => (Unavailable, OUT_OF_MEMORY),
        _ if detail.contains("non local key") || detail.contains("accesses a non local") => {
            (Unavailable, "the queue's slot is being moved to another node")
        }
        "LOADING" => (Unavailable, "the server is loading its data"),
        "READONLY" => (Unavailable, "the server is a replica: a failover is in progress"),
        // To what waits for replicas, of a master that has become one itself.
        "UNBLOCKED" => (Unavailable, "the server has become a replica: a failover is in progress"),
        "CLUSTERDOWN" | "MASTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK" => {
            (Unavailable, "the cluster is being reconfigured")
        }
        "NOREPLICAS" => (Unavailable, "the server has fewer replicas than it requires"),
        "BUSY" | "NOSCRIPT" | "UNKILLABLE" => (Unavailable, "the server is busy with a script"),
        "MISCONF" => (Unavailable, "the server can't save its data, so it refuses writes; see its log"),
        "WRONGPASS" | "NOAUTH" => (Misconfigured, REFUSED_USER),
        "NOPERM" => (
            Misconfigured,
            "the user lacks a permission that the store needs; the documentation of RedisOptions has the ACL line that grants all of them",
        ),
        "WRONGTYPE" => (Corrupt, "another application uses a key of ours; choose another prefix"),
        _ if detail.contains("RIQLE ") || detail.contains("WRONGTYPE") => {
            (Corrupt, "another application uses a key of ours; choose another prefix")
        }
        _ if detail.contains("cluster support disabled") => {
            (Misconfigured, "the server is not a cluster: use redis:// or rediss://")
        }
        _ if detail.contains("SELECT is not allowed in cluster mode") => (Misconfigured, OF_A_CLUSTER),
        _ if detail.contains("DB index is out of range") => {
            (Misconfigured, "the server has no database with the URL's number")
        }
        _ if detail.contains("max number of clients") => {
            (Unavailable, "the server accepts no more connections")
        }
        _ if detail.contains("invalid password") || detail.contains("AUTH") => (Misconfigured, REFUSED_USER),
        _ => (Corrupt, "Redis refused the command"),
    }
}

/// The operation of opening a store.
pub(crate) const CONNECT: &str = "connect";

const REFUSED_USER: &str =
    "the server rejected the user name or password: compare those in the URL with `ACL LIST`";

const OUT_OF_MEMORY: &str = "the server is out of memory and stores nothing more: raise maxmemory, or let workers and pruning free some";

/// For a URL that names it as a single server.
pub(crate) const OF_A_CLUSTER: &str =
    "the server is a node of a cluster: use redis-cluster:// or rediss-cluster://, without a database";

/// Whether the connection, not the command, has failed.
pub(crate) fn is_of_the_connection(error: &RedisError) -> bool {
    use redis::ErrorKind as Driver;
    matches!(error.kind(), Driver::Io | Driver::Parse | Driver::ClusterConnectionNotFound)
        || matches!(word(error), "READONLY" | "MASTERDOWN" | "UNBLOCKED")
}

/// Whether the server refused the command before it did anything, and may take it in a moment. What lasts longer (OOM,
/// MISCONF, NOREPLICAS) is answered at once.
pub(crate) fn is_refused_for_now(error: &RedisError) -> bool {
    matches!(word(error), "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "MOVED" | "READONLY" | "TRYAGAIN")
}

/// Whether the server does not know the script, or no longer.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    matches!(error.kind(), redis::ErrorKind::Server(ServerErrorKind::NoScript))
}

pub(crate) fn unavailable(operation: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, operation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the driver reads it from the wire.
    #[allow(clippy::unwrap_used)]
    fn of(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn what_a_script_was_refused_is_understood_in_the_words_of_both_versions() {
        const OLD: &str = "ERR Error running script (call to f_0a4d55a8d778e5022fab701977c5d840bbc486d0): @user_script:27: \
             @user_script: 27: -";
        for (refused, told, is_of_connection, is_for_now) in [
            (
                "READONLY You can't write against a read only replica.",
                "a failover is in progress",
                true,
                true,
            ),
            ("MASTERDOWN Link with MASTER is down.", "reconfigured", true, true),
            ("NOREPLICAS Not enough good replicas to write.", "fewer replicas", false, false),
            ("MISCONF Errors writing to the AOF file: No space", "save its data", false, false),
            ("OOM command not allowed when used memory > 'maxmemory'.", "out of memory", false, false),
            ("CLUSTERDOWN Hash slot not served", "reconfigured", false, true),
        ] {
            let of_7 = format!("{refused} script: 0a4d55a8d778e502, on @user_script:27.");
            for line in [format!("{OLD}{refused}"), of_7, refused.to_owned()] {
                let error = of(&line);
                assert_eq!(is_of_the_connection(&error), is_of_connection, "{line}");
                assert_eq!(is_refused_for_now(&error), is_for_now, "{line}");
                let error = translate("enqueue", error);
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{line}");
                assert!(error.message().contains(told), "{error}");
            }
        }
        let ours = format!("{}RIQLE key is a string, not a zset", &OLD[..OLD.len() - 1]);
        assert_eq!(translate("enqueue", of(&ours)).kind(), ErrorKind::Corrupt);
    }

    #[test]
    fn a_master_that_becomes_a_replica_while_a_write_waits_is_away() {
        let error = of(
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        );
        assert!(is_of_the_connection(&error));
        assert_eq!(translate("enqueue", error).kind(), ErrorKind::Unavailable);
    }
}
