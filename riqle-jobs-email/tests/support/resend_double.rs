use std::{path::Path, process::Stdio};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
};

/// The npm package `emulate` in a process of its own, which ends with the test.
pub struct ResendDouble {
    pub url: String,
    pub http: reqwest::Client,
    _process: Child,
}

impl ResendDouble {
    pub async fn start() -> Self {
        let modules = std::env::var("RIQLE_TEST_NODE_MODULES")
            .expect("RIQLE_TEST_NODE_MODULES names the node_modules of: npm install emulate@0.12.2");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/resend_double.mjs");
        let mut process = Command::new("node")
            .arg(script)
            .arg(&modules)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("node can't be started; it takes Node.js 20: {error}"));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let Some(url) = lines.next_line().await.unwrap() else {
            let mut reason = String::new();
            process.stderr.take().unwrap().read_to_string(&mut reason).await.unwrap();
            panic!("node runs no double of Resend from {modules}: {}", reason.trim());
        };
        // The tests' own client takes no part in what is tested, TLS least of all.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { url, http: reqwest::Client::new(), _process: process }
    }

    /// All emails that were delivered.
    pub async fn emails(&self) -> Vec<Value> {
        let request = self.http.get(format!("{}/emails", self.url)).bearer_auth("re_123");
        let body = request.send().await.unwrap().bytes().await.unwrap();
        let list: Value = serde_json::from_slice(&body).unwrap();
        list["data"].as_array().unwrap().clone()
    }
}
