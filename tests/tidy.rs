//! The documents say what the code does.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What is in the files of the workspace whose name ends so, one after the other.
fn text_of(ending: &str) -> String {
    fn collect(folder: &Path, ending: &str, text: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                collect(&path, ending, text);
            } else if name.ends_with(ending) {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut text = String::new();
    collect(root(), ending, &mut text);
    text
}

#[test]
fn every_test_that_the_architecture_names_exists() {
    let (architecture, sources) = (text_of("ARCHITECTURE.md"), text_of(".rs"));
    // What is between backticks and has at least three words joined by underscores is the name of a test.
    let names = architecture.split('`').skip(1).step_by(2).filter(|name| {
        name.matches('_').count() >= 2
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    });
    let missing: Vec<&str> = names.filter(|name| !sources.contains(&format!("fn {name}"))).collect();
    assert!(missing.is_empty(), "an ARCHITECTURE.md names tests that do not exist: {missing:?}");
}

#[test]
fn every_link_of_the_readme_is_absolute_and_what_it_leads_to_exists() {
    const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/");
    const GUIDE: &str = "https://docs.rs/riqle-jobs/latest/riqle_jobs/guide/";
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let links: Vec<&str> =
        readme.split("](").skip(1).map(|rest| rest.split(')').next().unwrap_or_default()).collect();
    assert!(links.len() > 5, "{links:?}");
    for link in links {
        assert!(link.starts_with("https://"), "{link} is relative: registries show the README, too");
        let file = if let Some(path) = link.strip_prefix(REPOSITORY) {
            // Such as blob/main/CHANGELOG.md
            path.splitn(3, '/').last().unwrap().to_owned()
        } else if let Some(page) = link.strip_prefix(GUIDE).filter(|page| !page.is_empty()) {
            format!("src/guide/{}.md", page.trim_end_matches('/'))
        } else {
            continue;
        };
        assert!(root().join(&file).exists(), "{link} leads to {file}, which does not exist");
    }
}
