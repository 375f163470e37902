//! The command line of riqle-jobs.

use std::process::ExitCode;

use riqle_jobs_cli::{Console, log_writer, run};
use tracing_subscriber::filter::LevelFilter;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(log_writer).with_max_level(LevelFilter::WARN).init();
    ExitCode::from(run(std::env::args_os(), &mut Console::of_process()).await)
}
