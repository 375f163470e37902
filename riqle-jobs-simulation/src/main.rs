//! `cargo xtask simulate`: plays seeds.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(riqle_simulation))]
fn main() {
    eprintln!("run it with `cargo xtask simulate`");
}

#[cfg(riqle_simulation)]
fn main() -> std::process::ExitCode {
    use std::{
        panic::catch_unwind,
        process::ExitCode,
        sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    };

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((first, count)) = seeds(&arguments) else {
        eprintln!("usage: simulate [--seeds N] [--from S], or --seed S");
        return ExitCode::from(2);
    };
    let (next, failed, runs, lines) =
        (AtomicU64::new(0), AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    // Enough to see whether they have one cause.
                    if index >= count || failed.load(Ordering::Relaxed) >= 5 {
                        return;
                    }
                    let seed = first + index;
                    let played = catch_unwind(|| riqle_jobs_simulation::play(seed));
                    match played.unwrap_or_else(|_| Err(format!("seed {seed}: it panicked"))) {
                        Ok(summary) => {
                            if count == 1 {
                                println!("its history's digest: {:016x}", summary.digest);
                            }
                            runs.fetch_add(summary.runs, Ordering::Relaxed);
                            lines.fetch_add(summary.lines, Ordering::Relaxed);
                        }
                        Err(story) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            println!("{story}\n");
                        }
                    }
                }
            });
        }
    });
    let (runs, lines, failed) = (runs.into_inner(), lines.into_inner(), failed.into_inner());
    let left = if failed >= 5 { ", the rest was not played" } else { "" };
    println!(
        "{count} seeds from {first}: {failed} failed{left}; {runs} runs, {lines} lines of history, {:?}",
        begun.elapsed()
    );
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// The first seed, and how many.
#[cfg(riqle_simulation)]
fn seeds(arguments: &[String]) -> Option<(u64, u64)> {
    let (mut first, mut count) = (1, 1_000);
    let mut pairs = arguments.chunks_exact(2);
    for pair in &mut pairs {
        let [name, value] = pair else { return None };
        let value = value.parse().ok()?;
        match name.as_str() {
            "--seed" => (first, count) = (value, 1),
            "--from" => first = value,
            "--seeds" => count = value,
            _ => return None,
        }
    }
    pairs.remainder().is_empty().then_some((first, count))
}
