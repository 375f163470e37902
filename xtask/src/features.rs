//! Features that only tests have: what they hide from the tests, users meet.

use std::collections::{BTreeMap, BTreeSet};

use crate::command::{cargo, output};

/// The crates whose tests run apart from those of the others: the tests of the web need crates that add features for
/// everybody in the same build, such as another order of keys in serde_json. The web itself asks for that one.
pub(crate) const TESTED_APART: [&str; 5] =
    ["riqle-jobs-core", "riqle-jobs-sqlite", "riqle-jobs-postgres", "riqle-jobs-redis", "riqle-jobs-email"];

/// What dev-dependencies of these crates may add: more ways to call a crate, none that changes one that is there.
const HARMLESS: &[(&str, &[&str])] = &[
    ("tokio", &["bytes", "fs", "io-util", "process", "rt-multi-thread", "test-util"]),
    ("tracing", &["attributes", "default", "log", "tracing-attributes"]),
    ("tracing-core", &["default"]),
    ("bitflags", &["std"]),
    ("getrandom", &["std", "sys_rng"]),
    ("serde", &["alloc", "rc"]),
    ("futures-util", &["futures-io", "futures-sink", "io", "memchr", "sink"]),
    ("digest", &["block-buffer", "core-api"]),
    ("hashbrown", &["allocator-api2", "default", "default-hasher", "equivalent", "inline-more", "raw-entry"]),
    ("rustix", &["alloc", "default", "fs", "std"]),
    ("tokio-util", &["codec", "default", "io", "libc"]),
    ("futures-channel", &["futures-sink", "sink"]),
    ("serde_core", &["default", "rc"]),
    // Of a server that the tests start.
    ("spin", &["barrier", "default", "lazy", "lock_api", "lock_api_crate", "mutex", "rwlock", "spin_mutex"]),
    ("tokio-rustls", &["ring"]),
    // Of what feeds the fuzz targets.
    ("either", &["use_std"]),
    ("rand", &["os_rng", "small_rng"]),
    ("rand_core", &["os_rng", "std"]),
];

/// Whether the library crates are tested as users build them.
pub(crate) fn tests_hide_nothing() -> Result<(), String> {
    for package in TESTED_APART.into_iter().chain(["riqle-jobs-web"]) {
        let users = features(package, "normal,build")?;
        let tests = features(package, "normal,build,dev")?;
        for (dependency, of_users) in &users {
            let added = tests.get(dependency).into_iter().flatten().filter(|name| !of_users.contains(*name));
            let is_harmless = |name: &&String| {
                let known = HARMLESS.iter().find(|(known, _)| known == dependency);
                known.is_some_and(|(_, features)| features.contains(&name.as_str()))
            };
            if let Some(feature) = added.into_iter().find(|name| !is_harmless(name)) {
                return Err(format!(
                    "the tests of {package} see the feature {feature:?} of {dependency}, which a dev-dependency adds \
                     and users don't have; set it for users, or list it as harmless"
                ));
            }
        }
    }
    Ok(())
}

/// The features of each dependency, as resolved over these edges.
fn features(package: &str, edges: &str) -> Result<BTreeMap<String, BTreeSet<String>>, String> {
    let tree = output(cargo("tree --all-features --prefix none --locked").args([
        "--package",
        package,
        "--edges",
        edges,
        "--format",
        "{p}|{f}",
    ]))?;
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        let (name, features) = line.split_once('|').unwrap_or((line, ""));
        let name = name.split(' ').next().unwrap_or_default().to_owned();
        let features = features.trim_end_matches(" (*)").split(',').filter(|name| !name.is_empty());
        all.entry(name).or_default().extend(features.map(str::to_owned));
    }
    Ok(all)
}
