//! `cargo xtask simulate`: plays seeds.

#![allow(clippy::print_stdout, clippy::print_stderr)]

#[cfg(not(riqle_simulation))]
fn main() {
    eprintln!("run it with `cargo xtask simulate`");
}

#[cfg(riqle_simulation)]
fn main() -> std::process::ExitCode {
    use std::{
        process::ExitCode,
        sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    };

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (first, count) = match number("--seed") {
        Some(seed) => (seed, 1),
        None => (number("--from").unwrap_or(1), number("--seeds").unwrap_or(1_000)),
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
                    match riqle_jobs_simulation::play(first + index) {
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
    println!(
        "{count} seeds from {first}: {failed} failed; {runs} runs, {lines} lines of history, {:?}",
        begun.elapsed()
    );
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
