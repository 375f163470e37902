//! `emails list`, `emails show`, `emails resolve`.

use std::fmt::Write as _;

use jiff::Timestamp;
use riqle_jobs::{
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStatus, Resolution},
    show::first_line,
    store::EmailId,
    verdict::{OPEN, is_open},
};
use serde::Serialize;
use serde_json::json;

use crate::{
    act::acted,
    arguments::{Emails, EmailsCommand},
    context::Context,
    failure::Failure,
    print::{Row, Tone, in_one_line},
    selection::word_of,
    times::ago,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmailRow {
    id: EmailId,
    status: EmailStatus,
    detail: EmailDetail,
    /// Whether an operator must say if it was sent.
    is_open: bool,
    to: String,
    subject: String,
    template: String,
    reference: Option<String>,
    run: Option<String>,
    created_at: Timestamp,
    sent_at: Option<Timestamp>,
    error: Option<String>,
    #[serde(skip)]
    now: Timestamp,
}

impl EmailRow {
    fn of(email: &EmailRecord, now: Timestamp) -> Self {
        Self {
            id: email.id,
            status: email.status,
            detail: email.detail,
            is_open: is_open(email),
            to: email.to.clone(),
            subject: email.subject.clone(),
            template: email.template.clone(),
            reference: email.reference.clone(),
            run: email.run_id.map(|run| run.to_string()),
            created_at: email.created_at,
            sent_at: email.sent_at,
            error: email.error.as_deref().map(|error| first_line(error, 1_000)),
            now,
        }
    }
}

impl Row for EmailRow {
    const HEADS: &'static [&'static str] =
        &["EMAIL", "STATUS", "DETAIL", "TO", "SUBJECT", "CREATED", "ERROR"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.status.to_string(),
            self.detail.to_string(),
            self.to.clone(),
            first_line(&self.subject, 60),
            ago(self.created_at, self.now),
            // What an earlier attempt met is no news.
            match &self.error {
                Some(error) if self.status != EmailStatus::Sent => first_line(error, 60),
                _ => String::new(),
            },
        ]
    }

    fn tone(&self) -> Tone {
        match self.status {
            _ if self.is_open => Tone::Warning,
            EmailStatus::Sent => Tone::Good,
            EmailStatus::Failed => Tone::Bad,
            EmailStatus::Pending => Tone::Plain,
        }
    }
}

pub(crate) async fn emails(asked: Emails, context: &mut Context<'_>) -> Result<(), Failure> {
    match asked.command {
        EmailsCommand::List { status, to, reference, open, page } => {
            let status =
                status.as_deref().map(|word| word_of(word, EmailStatus::ALL, "status")).transpose()?;
            let jobs = context.jobs().await?;
            let now = jobs.store().now().await?;
            let details = if open { OPEN.to_vec() } else { Vec::new() };
            let filter = EmailFilter {
                status,
                details,
                reference,
                to,
                before: page.before()?,
                limit: page.limit(),
                ..EmailFilter::all()
            };
            let found = jobs.store().emails(filter).await?;
            let rows: Vec<_> = found
                .iter()
                .filter(|email| !open || is_open(email))
                .map(|email| EmailRow::of(email, now))
                .collect();
            context.print(&rows, "no matching emails")
        }
        EmailsCommand::Show { email } => show(email_id(&email)?, context).await,
        EmailsCommand::Resolve { email, outcome } => {
            let resolution = if outcome == "sent" { Resolution::Sent } else { Resolution::NotSent };
            let done = context.operator().await?.resolve_email(email_id(&email)?, resolution).await?;
            acted(&format!("email {email} is marked as {outcome}"), done, context)
        }
    }
}

fn email_id(text: &str) -> Result<EmailId, Failure> {
    text.parse().map_err(|_| {
        Failure::usage(format!("{text:?} is not an email id (a UUID, as shown by `emails list`)"))
    })
}

async fn show(id: EmailId, context: &mut Context<'_>) -> Result<(), Failure> {
    let jobs = context.jobs().await?;
    let (store, now) = (jobs.store(), jobs.store().now().await?);
    let email = store.email(id).await?.ok_or_else(|| Failure::not_found(format!("no email {id}")))?;
    let events = store.email_events(id).await?;
    if context.json {
        let events: Vec<_> = events
            .iter()
            .map(|event| json!({"at": event.at, "detail": event.detail, "text": event.text, "occurredAt": event.occurred_at}))
            .collect();
        let row = EmailRow::of(&email, now);
        let mut whole = serde_json::to_value(&row).unwrap_or_default();
        whole["provider"] = json!(email.provider);
        whole["messageId"] = json!(email.message_id);
        whole["from"] = json!(email.from);
        whole["sends"] = json!(email.sends);
        whole["step"] = json!(email.step);
        whole["events"] = json!(events);
        return context.print_json(&whole);
    }
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<12}{}", in_one_line(value));
        }
    };
    line("email", &id.to_string());
    line("status", &format!("{} ({})", email.status, email.detail));
    line("to", &email.to);
    line("from", &email.from);
    line("subject", &email.subject);
    line("template", &email.template);
    line("reference", email.reference.as_deref().unwrap_or_default());
    line("run", &email.run_id.map(|run| run.to_string()).unwrap_or_default());
    line("step", email.step.as_deref().unwrap_or_default());
    line("provider", &email.provider);
    line("message", email.message_id.as_deref().unwrap_or_default());
    line("sends", &email.sends.to_string());
    line("error", email.error.as_deref().unwrap_or_default());
    if is_open(&email) {
        line(
            "to do",
            &format!("check the provider's log, then: riqle-jobs emails resolve {id} sent|not-sent"),
        );
    }
    for event in events {
        let more = event.text.map(|more| format!("  {}", in_one_line(&more))).unwrap_or_default();
        let _ = writeln!(text, "\n{}  {}{more}", event.at.strftime("%Y-%m-%d %H:%M:%S UTC"), event.detail);
    }
    context.console.say(&text)
}
