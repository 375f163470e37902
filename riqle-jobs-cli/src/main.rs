//! The command line of riqle-jobs.

use std::process::ExitCode;

use riqle_jobs_cli::{Console, run};

#[tokio::main]
async fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &mut Console::of_process()).await)
}
