//! A window of a headless Chromium, driven over WebDriver. Each has a profile of its own, speaks English, keeps UTC, and
//! reaches nothing but this machine.

mod chromedriver;
pub mod look;

use std::{fmt::Display, path::Path, sync::Mutex, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use thirtyfour::{By, WebDriver, WebElement};
use tokio::time::Instant;

use self::look::Look;

/// How long a page may take; generous, since a loaded machine is no fault of the page.
const HAPPENS_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at a page: WebDriver has no way to be called when something changes.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A window; closed where it is dropped, so a test that panics closes it too.
pub struct Window {
    driver: WebDriver,
    look: Look,
    errors: Mutex<Vec<String>>,
}

impl Window {
    /// Opens an empty one.
    pub async fn open(look: Look) -> Self {
        let window = Self { driver: chromedriver::session().await, look, errors: Mutex::default() };
        window.show(look).await;
        window
    }

    /// What has no method of its own here.
    pub fn driver(&self) -> &WebDriver {
        &self.driver
    }

    /// Changes its size and scheme; the page sees it without a reload.
    pub async fn look(&mut self, look: Look) {
        self.look = look;
        self.show(look).await;
    }

    async fn show(&self, look: Look) {
        self.devtools("Emulation.setDeviceMetricsOverride", look.metrics()).await;
        self.devtools("Emulation.setEmulatedMedia", look.media()).await;
    }

    /// Goes to a page, to the end of its load event.
    pub async fn goto(&self, url: impl Display) {
        let url = url.to_string();
        self.driver.goto(url.as_str()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Runs the body of a function in the page; what it returns. A promise is waited for.
    pub async fn run(&self, script: &str) -> Value {
        let result = self.driver.execute(script, Vec::new()).await;
        result.unwrap_or_else(|error| panic!("{script}: {error}")).json().clone()
    }

    /// Waits until an expression of JavaScript holds, across reloads.
    pub async fn until(&self, expression: &str) {
        self.eventually(expression, async || {
            let script = format!("return Boolean({expression})");
            let holds = self.driver.execute(script, Vec::new()).await.map_err(|error| error.to_string())?;
            if holds.json() == &json!(true) { Ok(()) } else { Err("it does not hold".to_owned()) }
        })
        .await;
    }

    /// Waits until an element is shown that has this text, space at its ends aside.
    pub async fn until_text(&self, css: &str, text: &str) {
        self.eventually(&format!("{css}: {text:?}"), async || {
            let shown = self.shown(css).await?.text().await.map_err(|error| error.to_string())?;
            if shown.trim() == text { Ok(()) } else { Err(format!("it is {shown:?}")) }
        })
        .await;
    }

    /// The text of the first such element, once it is shown.
    pub async fn text(&self, css: &str) -> String {
        self.eventually(css, async || self.shown(css).await?.text().await.map_err(|error| error.to_string()))
            .await
    }

    /// Clicks the first such element, once it is shown and nothing lies over it.
    pub async fn click(&self, css: &str) {
        self.eventually(css, async || {
            self.shown(css).await?.click().await.map_err(|error| error.to_string())
        })
        .await;
    }

    /// Replaces what stands in the first such field.
    pub async fn fill(&self, css: &str, text: &str) {
        self.eventually(css, async || {
            let field = self.shown(css).await?;
            field.clear().await.map_err(|error| error.to_string())?;
            field.send_keys(text).await.map_err(|error| error.to_string())
        })
        .await;
    }

    async fn shown(&self, css: &str) -> Result<WebElement, String> {
        let element = self.driver.find(By::Css(css)).await.map_err(|error| error.to_string())?;
        match element.is_displayed().await {
            Ok(true) => Ok(element),
            Ok(false) => Err("it is not shown".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The errors on the console since the window was opened or they were last taken, oldest first: of scripts,
    /// of the Content-Security-Policy, and of requests answered with 400 or more.
    pub async fn take_errors(&self) -> Vec<String> {
        let told = self.driver.browser_log().await.unwrap();
        let told = told.into_iter().filter(|entry| entry.level == "SEVERE").map(|entry| entry.message);
        let mut errors = self.errors.lock().unwrap();
        errors.extend(told);
        std::mem::take(&mut *errors)
    }

    /// Waits for an error on the console that holds this text, and takes all up to then.
    pub async fn until_error(&self, part: &str) -> Vec<String> {
        self.eventually(&format!("an error on the console: {part}"), async || {
            let errors = self.take_errors().await;
            if errors.iter().any(|error| error.contains(part)) {
                return Ok(errors);
            }
            let problem = format!("there are {errors:?}");
            self.errors.lock().unwrap().extend(errors);
            Err(problem)
        })
        .await
    }

    /// Nothing was complained about.
    pub async fn assert_no_errors(&self) {
        let errors = self.take_errors().await;
        assert!(errors.is_empty(), "on the console: {errors:#?}");
    }

    /// Writes the whole page to `NAME-WIDTH-SCHEME.png` in the folder that `RIQLE_TEST_SCREENSHOTS` names, where it does.
    pub async fn screenshot(&self, name: &str) {
        let Some(folder) = std::env::var_os("RIQLE_TEST_SCREENSHOTS") else { return };
        let shot = self.devtools("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        let png = BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        let file = Path::new(&folder).join(format!("{name}-{}.png", self.look));
        std::fs::write(&file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// A command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let answer = self.driver.cdp().send_raw(command, parameters).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Tries until it succeeds; a page changes under our feet, so each failure but the last is one of timing.
    async fn eventually<T>(&self, what: &str, attempt: impl AsyncFn() -> Result<T, String>) -> T {
        let begun = Instant::now();
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(problem) if begun.elapsed() > HAPPENS_WITHIN => {
                    let page =
                        self.driver.execute("return location + '\\n' + document.body.innerText", []).await;
                    let page = page.map_or_else(|error| error.to_string(), |page| page.json().to_string());
                    let errors = self.take_errors().await;
                    panic!("{what}: {problem}\npage: {page}\nconsole: {errors:#?}")
                }
                Err(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }
}
