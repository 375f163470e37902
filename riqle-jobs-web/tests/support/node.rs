use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command};

/// Runs a script of `tests/node/` with the npm packages of `RIQLE_TEST_NODE_MODULES`: hands it a task as JSON on its standard
/// input, and reads its last line.
pub async fn node(script: &str, task: &Value) -> Value {
    let modules = std::env::var("RIQLE_TEST_NODE_MODULES").expect(
        "RIQLE_TEST_NODE_MODULES names the node_modules of `npm ci` with xtask/node/package.json; `cargo xtask test` sets it",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node").join(script);
    let mut node = Command::new("node")
        .arg(script)
        .arg(modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("node can't be started; it takes Node.js 20: {error}"));
    node.stdin.take().unwrap().write_all(task.to_string().as_bytes()).await.unwrap();
    let output = node.wait_with_output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    serde_json::from_str(text.lines().last().unwrap_or_default())
        .unwrap_or_else(|error| panic!("no JSON ({error}): {text}\n{errors}"))
}
