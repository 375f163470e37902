//! `docs/faults.md` names tests that there are.

use std::{fs, path::Path};

use crate::command::root;

/// What is about waits and limits comes with them.
const TO_COME: &[u32] = &[31, 35, 41, 42, 43, 44, 45, 47, 49, 50, 51, 52];

pub(crate) fn are_shown() -> Result<(), String> {
    let table = fs::read_to_string(root().join("docs/faults.md")).map_err(|error| error.to_string())?;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter(|line| line.starts_with("| F"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let mut sources = String::new();
    read_sources(&root(), &mut sources);
    for fault in (1..=73).filter(|fault| !TO_COME.contains(fault)) {
        let id = format!("F{fault:02}");
        let row = rows.iter().find(|row| row.first() == Some(&id.as_str()));
        let Some([_, _, tests, ..]) =
            row.map(Vec::as_slice).filter(|row| row.iter().all(|cell| !cell.is_empty()))
        else {
            return Err(format!("docs/faults.md has no whole row {id}"));
        };
        for test in tests.split(", ").map(|test| test.trim_matches('`')) {
            if ![format!("fn {test}("), format!("fn {test}<")].iter().any(|test| sources.contains(test)) {
                return Err(format!("docs/faults.md names a test for {id} that there is not: {test}"));
            }
        }
    }
    Ok(())
}

/// All Rust code of the workspace.
fn read_sources(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            read_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap_or_default());
        }
    }
}
