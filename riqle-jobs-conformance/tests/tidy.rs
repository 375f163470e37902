//! The one list of cases is complete.

use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn every_case_that_is_written_is_listed_once() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut written = BTreeMap::new();
    for entry in fs::read_dir(&source).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let area = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let cases = cases_in(&fs::read_to_string(&path).unwrap());
        if !cases.is_empty() {
            written.insert(area, cases);
        }
    }

    let lists = ["suite.rs", "sql_suites.rs"].map(|list| fs::read_to_string(source.join(list)).unwrap());
    let listed = listed_in(&lists.concat());

    assert_eq!(listed, written, "left: listed in suite.rs and sql_suites.rs, right: written");
    let count: usize = written.values().map(Vec::len).sum();
    assert!(count > 150, "only {count} cases were found");
}

/// The cases of an area, by name.
fn cases_in(source: &str) -> Vec<String> {
    let functions = source.split("\npub async fn ").skip(1).filter_map(|rest| rest.split_once('('));
    let harnesses = ["harness: &dyn Harness", "harness: &dyn StagingHarness", "shop: &H"];
    let is_case =
        |parameters: &str| harnesses.iter().any(|harness| parameters.trim_start().starts_with(harness));
    let mut cases: Vec<_> = functions
        .filter(|(_, parameters)| is_case(parameters))
        .map(|(name, _)| name.strip_suffix("<H: ShopHarness>").unwrap_or(name).to_owned())
        .collect();
    cases.sort();
    cases
}

/// The listed cases of each area, by name; twice what is listed twice.
fn listed_in(suite: &str) -> BTreeMap<String, Vec<String>> {
    let mut listed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for area in suite.split("conformance_area!($harness").skip(1) {
        let (name, rest) = area.split_once(": [").unwrap();
        let (_, name) = name.split_once(", ").unwrap();
        let (cases, _) = rest.split_once("])").unwrap();
        let cases = cases.split(',').map(|case| case.trim().to_owned()).filter(|case| !case.is_empty());
        listed.entry(name.to_owned()).or_default().extend(cases);
    }
    listed.values_mut().for_each(|cases| cases.sort());
    listed
}
