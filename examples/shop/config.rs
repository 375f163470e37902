use std::{path::PathBuf, sync::OnceLock};

use riqle_jobs::{
    Mailbox,
    web::webhooks::{resend, stripe::Secrets},
};

use crate::{Failure, printer};

const USAGE: &str = "\
usage: cargo run --example shop -- [FLAGS]

  --addr HOST:PORT   where to listen (default 127.0.0.1:8288; port 0 takes a free one)
  --no-demo          plays no sale
  --exit-when-idle   ends when no run is pending, running or waiting

environment: RIQLE_JOBS_URL, RIQLE_MAIL_URL, RIQLE_MAIL_FROM, RIQLE_SHOP_DB, RIQLE_SHOP_OPERATOR,
             RIQLE_SHOP_ZONE, STRIPE_WEBHOOK_SECRET, RESEND_WEBHOOK_SECRET, RIQLE_EVENT_KEY, RIQLE_JOBS_OPERATOR, RIQLE_JOBS_VIEWER, RESEND_API_KEY,
             OTEL_EXPORTER_OTLP_ENDPOINT (see the
             README)";

/// What the flags and the environment say.
pub struct Config {
    pub address: String,
    pub demo: bool,
    pub exit_when_idle: bool,
    pub jobs_url: String,
    pub mail_url: String,
    pub mail_from: Mailbox,
    /// Who gets the daily digest.
    pub operator: Option<Mailbox>,
    /// Where the digest's days begin and end.
    pub zone: String,
    /// The URL of the shop's own tables, if not the store's database.
    pub shop_url: Option<String>,
    /// Several while one is being replaced, with commas between.
    stripe_secret: Option<String>,
    /// The same.
    resend_secret: Option<String>,
    /// The same; without one events are taken in the demo alone, on loopback.
    event_key: Option<String>,
    /// Told apart from the orders of earlier starts on the same database.
    pub suffix: String,
    /// What a demo made for itself.
    pub folder: Option<PathBuf>,
}

impl Config {
    /// `None` where only help was asked for.
    pub fn read() -> Result<Option<Self>, Failure> {
        let (mut address, mut demo, mut exit_when_idle) = ("127.0.0.1:8288".to_owned(), true, false);
        let mut flags = std::env::args().skip(1);
        while let Some(flag) = flags.next() {
            match flag.as_str() {
                "--addr" => address = flags.next().ok_or("--addr needs HOST:PORT")?,
                "--no-demo" => demo = false,
                "--exit-when-idle" => exit_when_idle = true,
                "--help" | "-h" => {
                    printer::print(USAGE);
                    return Ok(None);
                }
                other => return Err(format!("unknown flag {other}\n\n{USAGE}").into()),
            }
        }
        let mut folder = None;
        let mut in_folder = |name: &str| -> Result<String, Failure> {
            if folder.is_none() {
                folder = Some(fresh_folder(demo)?);
            }
            let folder = folder.clone().unwrap_or_default();
            Ok(folder.join(name).display().to_string())
        };
        let given = variable("RIQLE_JOBS_URL");
        let suffix = if given.is_some() && demo { format!("-{}", &unique()[..6]) } else { String::new() };
        let jobs_url = match given {
            Some(url) => url,
            None => format!("sqlite:{}", in_folder("shop.db")?),
        };
        let scheme = jobs_url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let speaks_sql = matches!(scheme.as_str(), "sqlite" | "postgres" | "postgresql");
        let shop_url =
            variable("RIQLE_SHOP_DB").or_else(|| (!speaks_sql).then(|| "sqlite:shop.db".to_owned()));
        let mail_url = match variable("RIQLE_MAIL_URL") {
            Some(url) => url,
            None => format!("file:{}", in_folder("mail")?),
        };
        let stripe_secret =
            variable("STRIPE_WEBHOOK_SECRET").or_else(|| demo.then(|| format!("whsec_{}", unique())));
        Ok(Some(Self {
            address,
            demo,
            exit_when_idle,
            shop_url: shop_url.filter(|url| *url != jobs_url),
            jobs_url,
            mail_url,
            mail_from: Mailbox::parse(
                &variable("RIQLE_MAIL_FROM").unwrap_or("Riqle <orders@riqle.com>".to_owned()),
            )?,
            operator: variable("RIQLE_SHOP_OPERATOR")
                .or_else(|| demo.then(|| "operator@riqle.com".to_owned()))
                .map(|operator| Mailbox::parse(&operator))
                .transpose()?,
            zone: variable("RIQLE_SHOP_ZONE").unwrap_or_else(|| "Europe/Berlin".to_owned()),
            stripe_secret,
            resend_secret: variable("RESEND_WEBHOOK_SECRET"),
            event_key: variable("RIQLE_EVENT_KEY").or_else(|| variable("INNGEST_EVENT_KEY")),
            suffix,
            folder,
        }))
    }

    /// The first secret, to sign with.
    pub fn signing_secret(&self) -> &str {
        self.stripe_secret.as_deref().and_then(|secrets| secrets.split(',').next()).unwrap_or_default()
    }

    /// What a webhook is checked with; `None` if no secret is configured.
    pub fn stripe_secrets(&self) -> Result<Option<Secrets>, Failure> {
        let Some(secrets) = &self.stripe_secret else { return Ok(None) };
        Ok(Some(Secrets::new(secrets.split(',').map(str::trim))?))
    }

    /// The same of Resend's webhook.
    pub fn resend_secrets(&self) -> Result<Option<resend::Secrets>, Failure> {
        let Some(secrets) = &self.resend_secret else { return Ok(None) };
        Ok(Some(resend::Secrets::new(secrets.split(',').map(str::trim))?))
    }

    /// The keys of the event API.
    pub fn event_keys(&self) -> impl Iterator<Item = &str> {
        self.event_key.iter().flat_map(|keys| keys.split(',').map(str::trim))
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Under `target/shop/`; without the demo always the same one, so that a restart finds its runs.
fn fresh_folder(demo: bool) -> Result<PathBuf, Failure> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("shop").join(if demo { unique()[..8].to_owned() } else { "kept".to_owned() });
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("can't create the folder {}: {error}", folder.display()))?;
    Ok(folder)
}

/// Different at each start.
fn unique() -> &'static str {
    static UNIQUE: OnceLock<String> = OnceLock::new();
    UNIQUE.get_or_init(|| {
        let id = riqle_jobs::store::LeaseToken::new().as_uuid();
        id.simple().to_string()
    })
}
