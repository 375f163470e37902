//! The documents say what the code does.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

/// Every Rust file of the workspace, as one text.
fn sources() -> String {
    fn collect(folder: &Path, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                collect(&path, text);
            } else if name.ends_with(".rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), &mut text);
    text
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let architecture =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md")).unwrap();
    let sources = sources();
    // What stands between backticks and has at least three words joined by underscores is the name of a test.
    let names = architecture.split('`').skip(1).step_by(2).filter(|name| {
        name.matches('_').count() >= 2
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    });
    let missing: Vec<&str> = names.filter(|name| !sources.contains(&format!("fn {name}"))).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names tests that do not exist: {missing:?}");
}
