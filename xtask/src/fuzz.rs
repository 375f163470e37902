//! `cargo xtask fuzz`: what must hold for any bytes, with the bytes that libFuzzer makes.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
};

use crate::{
    command::{cargo, output, root, run},
    features::TESTED_APART,
};

/// The crates that are built together.
const BUILDS: [&[&str]; 2] = [&TESTED_APART, &["riqle-jobs-web"]];

/// The flags under which the code tells libFuzzer what it comes by. All of them are stable: no nightly, no other tool.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "--cfg=fuzzing_libfuzzer",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

const USAGE: &str = "usage: cargo xtask fuzz --minutes M [--target NAME]";

/// A test in a `fuzz.rs`, and the crates that it is built with.
struct Target {
    build: &'static [&'static str],
    /// With its modules.
    test: String,
}

pub(crate) fn fuzz(options: &[&str]) -> Result<(), String> {
    let (minutes, of_name) = match options {
        ["--minutes", minutes] => (minutes, ""),
        ["--minutes", minutes, "--target", name] => (minutes, *name),
        _ => return Err(USAGE.to_owned()),
    };
    let minutes: f64 = minutes.parse().map_err(|_| USAGE.to_owned())?;
    // libFuzzer takes no time for time without end.
    if !(1.0 / 60.0..=100_000.0).contains(&minutes) {
        return Err(format!("a target takes a second at least, and {minutes} minutes is not that\n{USAGE}"));
    }
    let mut targets = Vec::new();
    for packages in BUILDS {
        run(build(packages).arg("--no-run"))?;
        let listed = output(build(packages).args(["--", "--list"]))?;
        let tests = listed.lines().filter_map(|line| line.strip_suffix(": test"));
        let of_fuzz = tests.filter(|test| test.contains("fuzz::") && test.contains(of_name));
        targets.extend(of_fuzz.map(|test| Target { build: packages, test: test.to_owned() }));
    }
    if targets.is_empty() {
        return Err(format!("no target's name holds {of_name:?}"));
    }
    targets.reverse();
    let (left, failed) = (Mutex::new(targets), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let target = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some(target) = target else { return };
                    if let Err(line) = feed(&target, minutes) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// `cargo test` of crates, with the coverage that a fuzzer needs and with the checks of a debug build.
fn build(packages: &[&str]) -> Command {
    let mut cargo = cargo("test --release --lib --all-features --locked --quiet");
    for package in packages {
        cargo.args(["--package", package]);
    }
    // With a target, what runs while it is built is built without the flags.
    cargo.args(["--target", "host-tuple", "--target-dir"]).arg(folder().join("build"));
    cargo.env("RUSTFLAGS", FLAGS.join(" ")).env("BOLERO_FUZZER", "libfuzzer");
    cargo
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true")
        .env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true");
    cargo
}

/// Runs one target, and says how often it ran.
fn feed(target: &Target, minutes: f64) -> Result<(), String> {
    let name = target.test.rsplit("::").next().unwrap_or_default();
    let (corpus, log) = (folder().join("corpus").join(name), folder().join(format!("{name}.log")));
    let samples = target.build.iter().map(|package| root().join(package).join("fuzz").join(name));
    let samples = samples.into_iter().find(|folder| folder.exists());
    let found = folder().join("found").join(format!("{name}-"));
    for folder in [Some(&*corpus), found.parent()].into_iter().flatten() {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut arguments = vec![
        format!("-max_total_time={:.0}", minutes * 60.0),
        format!("-artifact_prefix={}", found.display()),
        "-timeout=10 -rss_limit_mb=2048 -use_value_profile=1 -print_final_stats=1".to_owned(),
    ];
    // New ones go into the first folder.
    arguments.push(corpus.display().to_string());
    arguments.extend(samples.map(|folder| folder.display().to_string()));
    let mut test = build(target.build);
    test.args(["--", &target.test, "--exact", "--nocapture", "--test-threads", "1"]);
    test.env("BOLERO_LIBFUZZER_ARGS", arguments.join(" ")).env("BOLERO_LIBTEST_HARNESS", "1");
    let file = fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let errors = file.try_clone().map_err(|error| error.to_string())?;
    let status = test.stdout(Stdio::from(file)).stderr(Stdio::from(errors)).status();
    let ended_well = status.is_ok_and(|status| status.success());
    let said = fs::read(&log).map(|said| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
    let inputs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let inputs = inputs.map_or("0", str::trim);
    // A test that does not feed what the fuzzer makes ends well, too.
    if ended_well && inputs != "0" {
        println!("{name}: {inputs} inputs in {minutes} minutes");
        return Ok(());
    }
    println!("{name}: failed");
    Err(format!(
        "{name} failed: see {}; keep the input that it names as a sample in fuzz/{name} of its crate",
        log.display()
    ))
}

/// Where builds, logs, and what the fuzzer has found are.
fn folder() -> PathBuf {
    let target: Option<PathBuf> = std::env::var_os("CARGO_TARGET_DIR").map(Into::into);
    target.unwrap_or_else(|| root().join("target")).join("fuzz")
}
