//! Runs `cargo` and other commands, shown or with their output taken.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// `cargo` at the workspace's root, without what the outer cargo told this process.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments.split_whitespace()).current_dir(root()).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR") {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The same command once more.
pub(crate) fn again(command: &Command) -> Command {
    let mut again = Command::new(command.get_program());
    same(command, again.args(command.get_args()));
    again
}

/// The same command once more, where others go before it.
pub(crate) fn behind(command: &Command) -> Command {
    let mut behind = Command::new("nice");
    same(command, behind.args(["-n", "10"]).arg(command.get_program()).args(command.get_args()));
    behind
}

fn same(command: &Command, other: &mut Command) {
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other.stdin(Stdio::null());
}

/// Runs a command with its output shown; an error where it fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    println!("$ {}", shown(command));
    let status = command.status().map_err(|error| format!("can't start `{}`: {error}", shown(command)))?;
    if status.success() { Ok(()) } else { Err(format!("failed: {} ({status})", shown(command))) }
}

/// Runs a command and takes its output; an error where it fails.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("can't start `{}`: {error}", shown(command)))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("failed: {} ({})\n{errors}", shown(command), output.status))
    }
}

fn shown(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or(&program).to_owned();
    command.get_args().fold(name, |line, argument| line + " " + &argument.to_string_lossy())
}
