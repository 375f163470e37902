//! An operator's day in a real Chromium, on a store with 10,000 runs of all states. Needs the feature `real-servers`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use riqle_jobs_core::{
    Job, JobError, JobInput, Jobs, Memory, Payload, RetryPolicy, Run, RunContext, RunFilter, RunId, Worker,
    schedule::{NewSchedule, Rule},
};
use riqle_jobs_web::{Dashboard, security::Access};
use serde_json::{Value, json};

use self::support::{
    ANNA_PASSWORD, BEN_PASSWORD,
    browser::{Window, look::Look},
    crowd::{self, Crowd},
    dashboard, data, serve,
    servers::Opened,
};

const CROWD: Crowd = Crowd { runs: 10_000, emails: 60 };

/// A job that fails as its input says, and else takes its time.
struct Mend;

#[derive(serde::Serialize, serde::Deserialize)]
struct MendInput(Value);

impl JobInput for MendInput {
    const JOB: &'static str = "mend";
    const QUEUE: &'static str = "mending";
}

impl Job for Mend {
    type Input = MendInput;
    type Output = Value;

    fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy::exponential(Duration::from_secs(1)).max_retries(0)
    }

    async fn run(&self, run: &RunContext, MendInput(input): MendInput) -> Result<Value, JobError> {
        if input["fails"] == json!(true) {
            return Err(JobError::from(std::io::Error::other(
                "the spoon is broken <script>document.title = 'broken in'</script><img src=x onerror='document.title=1'>",
            )));
        }
        run.step("glue", || async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(true)
        })
        .await?;
        Ok(input)
    }
}

/// A dashboard over a crowd, with a worker that mends.
struct Day {
    opened: Opened,
    jobs: Jobs,
    address: SocketAddr,
}

impl Day {
    async fn begin(opened: Opened) -> Self {
        CROWD.gather(&*opened.store).await;
        let jobs = Jobs::new(&opened.store);
        let worker = Worker::new(&opened.store).register(Mend);
        tokio::spawn(async move { worker.run().await });
        let address = dashboard(&jobs).await;
        Self { opened, jobs, address }
    }

    fn url(&self, path: &str) -> String {
        format!("http://anna:{ANNA_PASSWORD}@{}/jobs/{path}", self.address)
    }

    /// Runs of the job that have died.
    async fn dead(&self, runs: usize) -> Vec<Run> {
        for _ in 0..runs {
            self.jobs
                .enqueue(MendInput(json!({"fails": true, "spoon": 12345678901234567890_u64})))
                .await
                .unwrap();
        }
        let filter = RunFilter::dead().job(MendInput::JOB.to_owned());
        let died = async {
            loop {
                let dead = self.opened.store.runs(filter.clone()).await.unwrap();
                if dead.len() >= runs {
                    return dead;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), died).await.unwrap()
    }

    async fn of(&self, id: &str) -> Run {
        let id: RunId = id.parse().unwrap();
        self.opened.store.run(id).await.unwrap().unwrap()
    }
}

/// The last part of the address that is shown.
async fn shown_id(window: &Window) -> String {
    window.run("return location.pathname.split('/').pop()").await.as_str().unwrap().to_owned()
}

async fn a_dead_run_is_found_mended_and_seen_to_succeed(day: &Day, window: &Window) {
    let dead = day.dead(1).await.remove(0);
    window.goto(day.url("runs?state=dead")).await;
    window.click("details.search summary").await;
    window.fill("input[name=text]", "SPOON is broken").await;
    window.click("details.search button").await;
    window.until("document.querySelectorAll('tbody tr').length === 1").await;
    window.click("tbody a").await;
    window.until_text(".heading .state", "dead").await;
    assert_eq!(shown_id(window).await, dead.id.to_string());

    // What a body wrote is text, and no more.
    assert!(window.text("pre.error").await.contains("<script>document.title = 'broken in'</script>"));
    window.until("document.querySelectorAll('main script, main img').length === 0").await;
    window.until("document.title.startsWith('mend ')").await;

    let input = window.run("return document.querySelector('textarea').value").await;
    assert_eq!(input, json!("{\n  \"fails\": true,\n  \"spoon\": 12345678901234567890\n}"));
    window.fill("#replay textarea", r#"{"fails": false, "spoon": 12345678901234567890}"#).await;
    window.click("#replay button").await;
    window
        .until(&format!(
            "location.pathname.startsWith('/jobs/runs/') && !location.pathname.endsWith('{}')",
            dead.id
        ))
        .await;
    window.run("window.isTheSame = true").await;
    window.until_text(".heading .state", "succeeded").await;
    window.until_text(".steps b", "glue").await;
    window.until("window.isTheSame === true").await;
    let replay = day.of(&shown_id(window).await).await;
    assert_eq!(replay.replay_of, Some(dead.id));
    assert_eq!(replay.input.bytes, br#"{"fails":false,"spoon":12345678901234567890}"#);
    window.assert_no_errors().await;
}

async fn what_is_chosen_stays_what_it_is(day: &Day, window: &Window) {
    let dead = day.dead(2).await;
    window.goto(day.url("runs?state=dead&job=mend")).await;
    window.click(&format!("[id='choose-{}']", dead[0].id)).await;
    window.run("window.moved = 0; document.addEventListener('htmx:sse:before:message', () => { window.moved += 1; })").await;
    day.jobs.enqueue(MendInput(json!({"fails": true}))).await.unwrap();
    window.until("window.moved > 0").await;
    let chosen =
        window.run("return [...document.querySelectorAll('input:checked')].map(box => box.value)").await;
    assert_eq!(chosen, json!([dead[0].id.to_string()]));
    // Once nothing is chosen the list goes on.
    window.click(&format!("[id='choose-{}']", dead[0].id)).await;
    window.until("document.querySelectorAll('tbody tr').length === 3").await;
    window.assert_no_errors().await;
}

async fn a_group_is_replayed(day: &Day, window: &Window) {
    window.goto(day.url("dead-letters")).await;
    // The newest group comes first.
    window.until_text(".groups li:first-child b", "mend").await;
    window.click(".groups li:first-child a[href*='act=replay']").await;
    window.until_text("h1", "Replay 3 runs?").await;
    window.click("form button").await;
    window.until_text(".heading .state", "done").await;
    window.until("document.querySelector('.facts').textContent.includes('3 done')").await;
    window.until("document.querySelector('.facts').textContent.includes('anna')").await;
    window.assert_no_errors().await;
}

async fn a_queue_is_paused_and_resumed(day: &Day, window: &Window) {
    window.goto(day.url("queues")).await;
    window.fill("form[action$='mending/pause'] input[name=why]", "spoons are out").await;
    window.click("form[action$='mending/pause'] button").await;
    window.until("document.querySelector('.card.notice')?.textContent.includes('spoons are out')").await;
    let paused =
        day.opened.store.queues().await.unwrap().into_iter().find(|queue| queue.name == "mending").unwrap();
    assert_eq!(paused.pause.unwrap().by, "anna");
    window.click("form[action$='mending/resume'] button").await;
    window.until("document.querySelector('.card.notice') === null").await;
    window.assert_no_errors().await;
}

async fn a_schedule_is_triggered_paused_and_edited(day: &Day, window: &Window) {
    let rule = Rule::Cron { expression: "0 8 * * 1-5".to_owned(), zone: "Europe/Berlin".to_owned() };
    let input = Payload::from_json_text(r#"{"spoon":12345678901234567890}"#);
    day.jobs.schedule_named(NewSchedule::new(MendInput::JOB, "spoons", rule, input)).await.unwrap();
    window.goto(day.url("schedules?prefix=spoons")).await;
    window.click("tbody a").await;
    window.until_text("h1", "spoons").await;
    window.until("document.querySelectorAll('#next-ticks li').length === 5").await;
    window.run("window.confirm = () => true").await;
    window.click("form[action$='/trigger'] button").await;
    window.until_text(".heading .state", "succeeded").await;
    window.click(".facts a[href*='schedules/']").await;
    window.until_text("h1", "spoons").await;

    window.fill("form[action$='/pause'] input[name=why]", "the spoons are out").await;
    window.click("form[action$='/pause'] button").await;
    window.until("document.querySelector('.card.notice')?.textContent.includes('the spoons are out')").await;
    window.until("document.querySelectorAll('#next-ticks li').length === 0").await;
    window.click("form[action$='/resume'] button").await;
    window.until("document.querySelectorAll('#next-ticks li').length === 5").await;

    window.fill("#edit input[name=cron]", "30 9 * * *").await;
    window.click("#edit button").await;
    window.until_text(".heading p", "at 09:30 every day, Europe/Berlin").await;
    let edited = day.jobs.schedule_status(MendInput::JOB, "spoons").await.unwrap().unwrap();
    assert_eq!(edited.input.bytes, br#"{"spoon":12345678901234567890}"#);
    window.assert_no_errors().await;
}

async fn an_email_is_viewed(day: &Day, window: &Window) {
    window.goto(day.url("emails?state=sent")).await;
    window.click("tbody a").await;
    window.until_text(".message h2", "Message, 368 bytes").await;
    window.driver().enter_frame(0).await.unwrap();
    window.until_text("#thanks", "Thank you").await;
    window.driver().enter_default_frame().await.unwrap();
    window.assert_no_errors().await;
}

async fn a_viewer_can_not_act(day: &Day) {
    let window = Window::open(Look::DESKTOP).await;
    let dead = day.dead(1).await.remove(0);
    window.goto(format!("http://ben:{BEN_PASSWORD}@{}/jobs/runs/{}", day.address, dead.id)).await;
    window.until_text(".who span", "viewer").await;
    window.until("document.querySelectorAll('form[method=post], textarea').length === 0").await;
    window.assert_no_errors().await;
    let status = window
        .run(&format!(
            "return fetch(location.origin + '/jobs/runs/{}/replay', {{method: 'POST', body: '{{}}', \
             headers: {{'Content-Type': 'application/json'}}}}).then(answer => answer.status)",
            dead.id
        ))
        .await;
    assert_eq!(status, json!(403));
    assert_eq!(day.of(&dead.id.to_string()).await.replayed_by, None);
}

async fn an_operators_day(opened: Opened) {
    let day = Day::begin(opened).await;
    let window = Window::open(Look::DESKTOP).await;
    a_dead_run_is_found_mended_and_seen_to_succeed(&day, &window).await;
    what_is_chosen_stays_what_it_is(&day, &window).await;
    a_group_is_replayed(&day, &window).await;
    a_queue_is_paused_and_resumed(&day, &window).await;
    a_schedule_is_triggered_paused_and_edited(&day, &window).await;
    an_email_is_viewed(&day, &window).await;
    a_viewer_can_not_act(&day).await;
}

/// Opens each page in every look: nothing is wider than the window, and nothing is complained about.
async fn every_page_fits(opened: Opened) {
    let day = Day::begin(opened).await;
    day.dead(1).await;
    crowd::schedules(&day.jobs).await;
    let id = |list: &Value| list[0]["id"].as_str().unwrap().to_owned();
    let token = support::ANNA;
    let dead = id(&data(day.address, token, "runs?state=dead&job=send-welcome-email").await["runs"]);
    let email = id(&data(day.address, token, "emails?state=open").await["emails"]);
    support::act(day.address, token, "queues/mending/pause", r#"{"why":"the provider is down"}"#).await;
    support::act(day.address, token, &format!("emails/{email}/resolve"), r#"{"outcome":"sent"}"#).await;
    support::act(day.address, token, "suppressions/add", r#"{"address":"ada@example.com","reason":"asked"}"#)
        .await;
    let action = id(&data(day.address, token, "audit").await["actions"]);
    let pages = [
        ("overview", "overview".to_owned()),
        ("overview-week", "overview?range=week".to_owned()),
        ("runs", "runs?state=dead".to_owned()),
        ("runs-search", "runs?state=succeeded&job=send-welcome-email".to_owned()),
        ("run", format!("runs/{dead}")),
        ("confirm", "runs/confirm?act=replay&state=dead".to_owned()),
        ("dead-letters", "dead-letters".to_owned()),
        ("jobs", "jobs".to_owned()),
        ("job", "jobs/send-purchase-confirmation?range=day".to_owned()),
        ("schedules", "schedules".to_owned()),
        ("schedule", "schedules/send-welcome-email/every%2Dmorning".to_owned()),
        ("schedule-interval", "schedules/send-welcome-email/shop%2F7%20%26%20more".to_owned()),
        ("queues", "queues".to_owned()),
        ("events", "events".to_owned()),
        ("emails", "emails".to_owned()),
        ("email", format!("emails/{email}")),
        ("suppressions", "suppressions".to_owned()),
        ("audit", "audit".to_owned()),
        ("action", format!("audit/{action}")),
    ];
    let mut window = Window::open(Look::DESKTOP).await;
    for look in [Look::DESKTOP, Look::DESKTOP.dark(), Look::PHONE, Look::PHONE.dark()] {
        window.look(look).await;
        for (name, path) in &pages {
            window.goto(day.url(path)).await;
            window.until("document.querySelector('main').textContent.length > 20").await;
            let wider = window.run("return document.documentElement.scrollWidth - window.innerWidth").await;
            assert!(wider.as_i64().unwrap() <= 0, "{name} at {look} is {wider} px too wide");
            window.screenshot(name).await;
            window.assert_no_errors().await;
        }
    }
}

mod on_sqlite {
    use super::*;

    #[tokio::test]
    async fn an_operators_day() {
        super::an_operators_day(Opened::on_sqlite().await).await;
    }

    #[tokio::test]
    async fn every_page_fits() {
        super::every_page_fits(Opened::on_sqlite().await).await;
    }
}

mod on_postgres {
    use super::*;

    #[tokio::test]
    async fn an_operators_day() {
        super::an_operators_day(Opened::on_postgres().await).await;
    }

    #[tokio::test]
    async fn every_page_fits() {
        super::every_page_fits(Opened::on_postgres().await).await;
    }
}

#[tokio::test]
async fn a_click_on_the_link_in_another_site_opens_the_dashboard_and_leaves_no_token_in_the_address() {
    let jobs = Jobs::new(&Memory::new());
    jobs.declare::<MendInput>().await.unwrap();
    let (access, link) = Access::closed().or_link();
    let dashboard = Dashboard::new(&jobs, access).router();
    let address = serve(|_| Router::new().nest_service("/jobs", dashboard)).await;
    let link = link.unwrap().to(&format!("http://{address}/jobs"));
    let window = Window::open(Look::DESKTOP).await;
    // A chat, which is of another site.
    window.goto(format!("data:text/html,<a href='{link}'>the shop</a>")).await;
    window.click("a").await;
    window.until("location.pathname === '/jobs/overview'").await;
    window.until("location.search === '' && !document.cookie.includes('riqle')").await;
    window.goto(format!("http://{address}/jobs/queues")).await;
    window.fill("#queue-mending input[name=why]", "a click").await;
    window.click("#queue-mending button").await;
    window.until_text("#queue-mending b", "mending").await;
    window.until("document.querySelector('#queue-mending').innerText.includes('Paused by link')").await;
    window.assert_no_errors().await;
}
