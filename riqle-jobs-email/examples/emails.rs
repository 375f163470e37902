//! Writes every sample email into a folder, with an index: `cargo xtask emails`.
#![allow(unreachable_pub, clippy::print_stdout)]

#[path = "../tests/samples/mod.rs"]
mod samples;

use std::{error::Error, fs, path::PathBuf};

use riqle_jobs_core::{Mailer, email::MessageIdentity, from_millis};
use riqle_jobs_email::FileMailer;
use samples::{lint, samples};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/emails".to_owned()));
    fs::create_dir_all(&folder)?;
    let composer = FileMailer::new(&folder);
    let mut index = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>Emails</title><body style=\"font:16px system-ui;margin:2rem\"><h1>Emails</h1>\
         <table cellpadding=\"8\"><tr><th align=\"left\">sample<th align=\"left\">subject<th>bytes<th>parts\n",
    );
    let mut wrong = 0;
    for sample in samples()? {
        let (name, email) = (sample.name, &sample.email);
        let identity =
            MessageIdentity::new(format!("sample-{name}"), &email.from, from_millis(1_767_225_600_000));
        let source = composer.compose(email, &identity)?;
        let text = String::from_utf8_lossy(&source);
        let headers = text.split("\r\n\r\n").next().unwrap_or_default();
        for (ending, content) in [
            ("html", email.html.as_bytes()),
            ("txt", email.text.as_bytes()),
            ("headers.txt", headers.as_bytes()),
            ("eml", &source),
        ] {
            fs::write(folder.join(format!("{name}.{ending}")), content)?;
        }
        let subject = email.subject.replace('&', "&amp;").replace('<', "&lt;");
        index += &format!(
            "<tr><td>{name}<td><bdi>{subject}</bdi><td align=\"right\">{}<td><a href=\"{name}.html\">html</a> \
             <a href=\"{name}.txt\">text</a> <a href=\"{name}.headers.txt\">headers</a> <a href=\"{name}.eml\">source</a>\n",
            email.html.len()
        );
        for problem in lint(email) {
            println!("{name}: {problem}");
            wrong += 1;
        }
    }
    fs::write(folder.join("index.html"), index + "</table>")?;
    println!("look at {}", folder.join("index.html").display());
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} problems").into()) }
}
