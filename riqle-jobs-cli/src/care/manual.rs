//! `completions` and `man`: what helps to type the others.

use std::{fs, path::Path};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Console, arguments::Arguments, failure::Failure};

pub(crate) fn completions(shell: Shell, console: &mut Console) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "riqle-jobs", &mut text);
    console.say(&String::from_utf8_lossy(&text))
}

/// A page for each command.
pub(crate) fn man(folder: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::refused(format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)
}
