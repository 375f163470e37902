//! The page of the email log, and its search.

use askama::Template;
use axum::{extract::State, response::Response};
use riqle_jobs_core::{
    EmailId, RunId,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStatus, mask_addresses},
    verdict::{OPEN, is_open},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dashboard::{
    Web,
    failure::Failure,
    page::{Page, Place},
    show::{When, first_line, query_of},
    visit::{Query, Visit},
};

const PAGE: usize = 50;

/// The email log, newest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmailsPage {
    search: EmailSearch,
    emails: Vec<EmailRow>,
    /// The query of the next page, if there is one.
    next: Option<String>,
}

/// An email in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EmailRow {
    #[schema(value_type = uuid::Uuid)]
    pub(crate) id: EmailId,
    /// `sent`, `failed` or `pending`.
    #[schema(value_type = String)]
    pub(crate) status: EmailStatus,
    /// Its state, in detail: `queued`, `sending`, `retry`, `unknown`, `held`, `throttled`, `greylisted`,
    /// `quota-used-up`, `misconfigured`, `suppressed`, `rejected`, `accepted`, `delivered`, `bounced` or
    /// `complained`.
    #[schema(value_type = String)]
    pub(crate) detail: EmailDetail,
    /// It may or may not have been sent; an operator must say which.
    pub(crate) is_open: bool,
    /// The recipient's address; for viewers without its name.
    pub(crate) to: String,
    pub(crate) subject: String,
    pub(crate) template: String,
    pub(crate) provider: String,
    /// The provider's id.
    pub(crate) message_id: Option<String>,
    pub(crate) reference: Option<String>,
    #[schema(value_type = Option<uuid::Uuid>)]
    pub(crate) run_id: Option<RunId>,
    pub(crate) attempt: u32,
    /// How often the body may have left.
    pub(crate) sends: u32,
    /// The first line of the newest error.
    pub(crate) error: Option<String>,
    pub(crate) created_at: When,
    pub(crate) sent_at: Option<When>,
}

/// Which emails to list, as in the URL. Empty fields filter nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EmailSearch {
    /// `sent`, `failed`, `pending`, or `open` for those that may or may not have been sent; or one of the details.
    pub(crate) state: String,
    /// The recipient's address.
    pub(crate) to: String,
    pub(crate) reference: String,
    /// The idempotency key.
    pub(crate) key: String,
    /// Of this run.
    pub(crate) run: String,
    /// Older than this email: the last one of the previous page.
    pub(crate) before: String,
}

/// Emails, newest first.
#[utoipa::path(get, path = "/emails", tag = "emails", params(EmailSearch), responses(
    (status = 200, body = EmailsPage), (status = 400, body = crate::dashboard::openapi::Problem)))]
pub(crate) async fn show(
    visit: Visit,
    State(web): State<Web>,
    Query(search): Query<EmailSearch>,
) -> Response {
    let viewer = visit.clone();
    visit.show(move || EmailsPage::load(web.clone(), viewer.clone(), search.clone())).await
}

impl EmailsPage {
    async fn load(web: Web, visit: Visit, search: EmailSearch) -> Result<Self, Failure> {
        let filter = search.filter()?.limit(PAGE + 1);
        let mut emails = web.jobs.store().emails(filter).await?;
        let is_more = emails.len() > PAGE;
        emails.truncate(PAGE);
        let next = emails.last().filter(|_| is_more).map(|last| {
            let before = last.id.to_string();
            EmailSearch { before, ..search.clone() }.query()
        });
        Ok(Self { emails: emails.iter().map(|email| EmailRow::of(email, &visit)).collect(), next, search })
    }
}

impl EmailSearch {
    fn filter(&self) -> Result<EmailFilter, Failure> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let (mut status, mut details) = (None, Vec::new());
        match self.state.as_str() {
            "" => {}
            "open" => details = OPEN.to_vec(),
            word => match (word.parse(), word.parse()) {
                (Ok(known), _) => status = Some(known),
                (_, Ok(detail)) => details = vec![detail],
                _ => return Err(Failure::bad("unknown email state")),
            },
        }
        let id =
            |text: &str| uuid::Uuid::parse_str(text.trim()).map_err(|_| Failure::bad("this is not an id"));
        Ok(EmailFilter {
            status,
            details,
            reference: some(&self.reference),
            idempotency_key: some(&self.key),
            run_id: some(&self.run).map(|run| id(&run).map(RunId::from_uuid)).transpose()?,
            to: some(&self.to),
            before: some(&self.before).map(|before| id(&before).map(EmailId::from_uuid)).transpose()?,
            limit: 0,
        })
    }

    fn query(&self) -> String {
        query_of(self)
    }

    /// With another state, from the first page on.
    fn of_state(&self, state: &str) -> String {
        Self { state: state.to_owned(), before: String::new(), ..self.clone() }.query()
    }
}

impl EmailRow {
    pub(crate) fn of(email: &EmailRecord, visit: &Visit) -> Self {
        Self {
            id: email.id,
            status: email.status,
            detail: email.detail,
            is_open: is_open(email),
            to: if visit.is_operator() { email.to.clone() } else { masked(&email.to) },
            subject: visit.text(&email.subject),
            template: email.template.clone(),
            provider: email.provider.clone(),
            message_id: email.message_id.clone(),
            reference: email.reference.as_deref().map(|reference| visit.text(reference)),
            run_id: email.run_id,
            attempt: email.attempt,
            sends: email.sends,
            error: email.error.as_deref().map(|error| first_line(&visit.text(error), 160)),
            created_at: When(email.created_at),
            sent_at: email.sent_at.map(When),
        }
    }

    /// Whether the provider accepted it, whatever failed before.
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.detail, EmailDetail::Accepted | EmailDetail::Delivered)
    }

    /// How good its state is.
    pub(crate) fn class(&self) -> &'static str {
        match self.detail {
            EmailDetail::Accepted | EmailDetail::Delivered => "good",
            EmailDetail::Unknown
            | EmailDetail::Held
            | EmailDetail::QuotaUsedUp
            | EmailDetail::Misconfigured => "warning",
            EmailDetail::Suppressed
            | EmailDetail::Rejected
            | EmailDetail::Bounced
            | EmailDetail::Complained => "bad",
            _ if self.status == EmailStatus::Failed => "bad",
            EmailDetail::Queued
            | EmailDetail::Sending
            | EmailDetail::Retry
            | EmailDetail::Throttled
            | EmailDetail::Greylisted => "quiet",
        }
    }
}

/// An address without its name: `a…@example.com`; of any other text, the first letter.
fn masked(address: &str) -> String {
    let masked = mask_addresses(address);
    if masked == address { address.chars().take(1).chain(['…']).collect() } else { masked }
}

#[derive(Template)]
#[template(path = "emails.html")]
struct Html<'a> {
    page: &'a EmailsPage,
    visit: &'a Visit,
}

impl Page for EmailsPage {
    const PLACE: Place = Place::Emails;

    fn title(&self) -> String {
        "Emails".to_owned()
    }

    fn html(&self, visit: &Visit) -> Result<String, askama::Error> {
        Html { page: self, visit }.render()
    }
}
