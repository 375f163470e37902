//! The page of one email: what happened to it, and the message as it was sent.

use askama::Template;
use axum::{extract::State, response::Response};
use mail_parser::MessageParser;
use riqle_jobs_core::{
    EmailId,
    email::{EmailDetail, EmailEvent, EmailRecord, OnUnknown},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::emails::EmailRow;
use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{Count, When},
    visit::{Path, Visit},
};

/// An email with what happened to it and, for operators, the message as it was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EmailPage {
    #[serde(flatten)]
    row: EmailRow,
    from: String,
    header_message_id: String,
    idempotency_key: String,
    step: Option<String>,
    /// What happens if the outcome is unknown.
    on_unknown: &'static str,
    /// The newest error, whole.
    whole_error: Option<String>,
    /// The provider's final reply.
    reply: Option<String>,
    /// Oldest first.
    events: Vec<EventView>,
    /// `null` for viewers.
    message: Option<MessageView>,
    /// Why nothing is sent to the recipient.
    suppressed: Option<String>,
}

/// Something that happened to an email.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    at: When,
    #[schema(value_type = String)]
    detail: EmailDetail,
    text: Option<String>,
    /// By the provider's clock.
    occurred_at: Option<When>,
}

/// A message as it was sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageView {
    bytes: Count,
    /// Name and value, as written in the message.
    headers: Vec<(String, String)>,
    text: Option<String>,
    has_html: bool,
}

/// One email.
#[utoipa::path(get, path = "/emails/{id}", tag = "emails", params(("id" = uuid::Uuid, Path)), responses(
    (status = 200, body = EmailPage), (status = 404, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    let viewer = visit.clone();
    visit.show(move || EmailPage::load(web.clone(), viewer.clone(), id.clone())).await
}

/// An email by the id in an address.
pub(super) async fn find(web: &Web, id: &str) -> Result<EmailRecord, Failure> {
    let id: EmailId = id.parse().map_err(|_| Failure::not_found("email"))?;
    web.jobs.store().email(id).await?.ok_or_else(|| Failure::not_found("email"))
}

impl EmailPage {
    async fn load(web: Web, visit: Visit, id: String) -> Result<Self, Failure> {
        let store = &**web.jobs.store();
        let email = find(&web, &id).await?;
        let (events, suppressed) =
            tokio::try_join!(store.email_events(email.id), store.suppression(&email.to))?;
        Ok(Self {
            row: EmailRow::of(&email, &visit),
            message: visit.is_operator().then(|| MessageView::of(&email.message)),
            from: email.from,
            header_message_id: visit.text(&email.header_message_id),
            idempotency_key: visit.text(&email.idempotency_key),
            step: email.step.as_deref().map(|step| visit.text(step)),
            on_unknown: match email.on_unknown {
                OnUnknown::SendAgain => "send it again",
                OnUnknown::Hold => "hold it for an operator",
            },
            whole_error: email.error.as_deref().map(|error| visit.text(error)),
            reply: email.reply.as_deref().map(|reply| visit.text(reply)),
            events: events.into_iter().map(|event| EventView::of(event, &visit)).collect(),
            suppressed: suppressed.map(|reason| visit.text(&reason)),
        })
    }
}

impl MessageView {
    fn of(message: &[u8]) -> Self {
        let parsed = MessageParser::default().parse(message);
        let headers = parsed.iter().flat_map(|parsed| parsed.headers_raw());
        Self {
            bytes: Count(message.len() as u64),
            headers: headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(),
            text: parsed.as_ref().and_then(|parsed| parsed.body_text(0)).map(|text| text.into_owned()),
            has_html: parsed.is_some_and(|parsed| parsed.html_bodies().any(|part| part.is_text_html())),
        }
    }
}

impl EventView {
    fn of(event: EmailEvent, visit: &Visit) -> Self {
        Self {
            at: When(event.at),
            detail: event.detail,
            text: event.text.map(|text| visit.text(&text)),
            occurred_at: event.occurred_at.map(When),
        }
    }
}

#[derive(Template)]
#[template(path = "email.html")]
struct Html<'a> {
    page: &'a EmailPage,
    visit: &'a Visit,
}

impl Page for EmailPage {
    const PLACE: Place = Place::Emails;

    fn title(&self) -> String {
        format!("Email to {}", self.row.to)
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}
