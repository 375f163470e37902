//! The sender's protocol over SMTP, at each place where a process can die: how often an email leaves, and what the log
//! says of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::{sync::Arc, time::Duration};

use riqle_jobs_conformance::{Effect, Intercepted, Interceptor};
use riqle_jobs_core::{
    Email, EmailLog, Error, Mailbox, ManualClock, Memory, SendError, Sender, Store, async_trait,
    email::{EmailDetail, EmailFilter, EmailRecord, EmailStatus, OnUnknown, SendPhase},
};
use riqle_jobs_email::SmtpMailer;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::Notify,
};

use self::support::{
    fault_server::{Fault, FaultServer, Script},
    outbox::{Outbox, email},
};

const ADA: &str = "ada@example.com";
/// Of an outbox that waits 20 seconds for any answer.
const LONGEST_SEND: Duration = Duration::from_secs(40);

fn url(server: &FaultServer) -> String {
    format!("smtp://127.0.0.1:{}?tls=none", server.port)
}

/// Starts a send, and kills it once the server has taken the email and before it has answered.
async fn die_after_the_server_has_taken_it(server: &FaultServer, store: &Memory, on_unknown: OnUnknown) {
    server.change(|script| _ = script.faults.insert("BODY", Fault::Hangs));
    let outbox = Outbox::over(store, &url(server));
    let process = tokio::spawn(async move { outbox.send(&email(ADA).on_unknown(on_unknown)).await });
    server.has_received(1).await;
    process.abort();
    assert!(process.await.unwrap_err().is_cancelled());
    server.change(|script| _ = script.faults.remove("BODY"));
}

/// How often an unknown outcome was noted.
async fn unknown_events(store: &Memory, row: &EmailRecord) -> usize {
    let events = store.email_events(row.id).await.unwrap();
    events.iter().filter(|event| event.detail == EmailDetail::Unknown).count()
}

#[tokio::test]
async fn a_sent_email_is_not_sent_again() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::new(&url(&server));
    let first = outbox.send(&email(ADA)).await.unwrap();
    let second = Outbox::over(&outbox.store, &url(&server)).send(&email(ADA)).await.unwrap();
    assert_eq!(first, second);
    assert_eq!(server.received().len(), 1);
}

/// A store that lets a server speak while the sender records that the body begins.
#[derive(Clone)]
struct SpeaksInBetween {
    store: Arc<dyn Store>,
    begins: Arc<Notify>,
    has_spoken: Arc<Notify>,
}

#[async_trait]
impl Interceptor for SpeaksInBetween {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.store
    }

    async fn call<T, A, F>(&self, operation: &'static str, _: Effect, call: F) -> Result<T, Error>
    where
        T: Send,
        A: Future<Output = Result<T, Error>> + Send,
        F: Fn() -> A + Send + Sync,
    {
        if operation == "email_body_begins" {
            self.begins.notify_one();
            self.has_spoken.notified().await;
        }
        call().await
    }
}

#[tokio::test]
async fn what_a_server_says_before_the_body_leaves_is_not_its_answer_to_the_body() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}?tls=none", listener.local_addr().unwrap());
    let (begins, has_spoken) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let between = SpeaksInBetween {
        store: Arc::new(Memory::new()),
        begins: Arc::clone(&begins),
        has_spoken: Arc::clone(&has_spoken),
    };
    let sender = Sender::new(&Intercepted(between), Arc::new(SmtpMailer::from_url(&url).unwrap()));
    let sends = tokio::spawn(async move { sender.send(&email(ADA)).await });

    let (stream, _) = listener.accept().await.unwrap();
    // Nothing is kept back until what was sent before it is acknowledged.
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 ready\r\n").await.unwrap();
    let mut line = String::new();
    while !line.starts_with("DATA") {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        stream
            .write_all(if line.starts_with("DATA") { b"354 go on\r\n" } else { b"250 done\r\n" })
            .await
            .unwrap();
    }
    begins.notified().await;
    stream.write_all(b"250 taken\r\n").await.unwrap();
    // The runtime looks at its sockets before it goes on here.
    tokio::task::yield_now().await;
    has_spoken.notify_one();

    let error = sends.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("spoke out of turn"), "{error}");
}

#[tokio::test]
async fn of_two_senders_at_the_same_moment_one_sends() {
    let go_on = Arc::new(Notify::new());
    let server = FaultServer::start(Script::new().fault("BODY", Fault::Waits(Arc::clone(&go_on)))).await;
    let store = Memory::with_clock(&ManualClock::new());
    let (first, second) = (Outbox::over(&store, &url(&server)), Outbox::over(&store, &url(&server)));
    let sends = tokio::spawn(async move { first.send(&email(ADA)).await });
    server.has_received(1).await;

    let error = second.send(&email(ADA)).await.unwrap_err();
    assert!(matches!(error, SendError::OnItsWay { after } if after == Duration::from_secs(1)), "{error}");
    go_on.notify_one();
    let receipt = sends.await.unwrap().unwrap();

    assert_eq!(second.send(&email(ADA)).await.unwrap(), receipt);
    let row = second.row().await;
    assert_eq!((row.status, row.sends, unknown_events(&store, &row).await), (EmailStatus::Sent, 1, 0));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn whoever_waits_for_another_sender_looks_less_and_less_often() {
    let server = FaultServer::start(Script::new()).await;
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    die_after_the_server_has_taken_it(&server, &store, OnUnknown::SendAgain).await;
    let outbox = Outbox::over(&store, &url(&server));
    let mut looks = Vec::new();
    while let Err(error) = outbox.send(&email(ADA)).await {
        let SendError::OnItsWay { after } = error else { panic!("{error}") };
        looks.push(after.as_secs());
        clock.advance(after);
    }
    assert_eq!(looks, [1, 1, 2, 4, 8, 16, 8]);
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn after_a_crash_before_the_record_the_same_email_goes_out_again() {
    let server = FaultServer::start(Script::new()).await;
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    die_after_the_server_has_taken_it(&server, &store, OnUnknown::SendAgain).await;
    clock.advance(LONGEST_SEND);
    let outbox = Outbox::over(&store, &url(&server));
    let dead = outbox.row().await;
    assert_eq!((dead.status, dead.phase, dead.sends), (EmailStatus::Pending, SendPhase::Body, 1));

    outbox.send(&email(ADA)).await.unwrap();
    let row = outbox.row().await;
    assert_eq!((row.status, row.sends), (EmailStatus::Sent, 2));
    assert_eq!(unknown_events(&store, &row).await, 1);
    let [first, second] = &server.received()[..] else { panic!("not two emails") };
    assert_eq!(first.data, second.data);
    assert_eq!(first.message_id(), row.header_message_id);
}

#[tokio::test]
async fn after_a_crash_before_the_record_an_email_that_must_not_come_twice_is_held() {
    let server = FaultServer::start(Script::new()).await;
    let clock = ManualClock::new();
    let store = Memory::with_clock(&clock);
    die_after_the_server_has_taken_it(&server, &store, OnUnknown::Hold).await;
    clock.advance(LONGEST_SEND);
    let outbox = Outbox::over(&store, &url(&server));
    for _ in 0..2 {
        let error = outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await.unwrap_err();
        assert!(matches!(error, SendError::Held(_)), "{error}");
    }
    let row = outbox.row().await;
    assert_eq!((row.status, row.detail, row.sends), (EmailStatus::Pending, EmailDetail::Held, 1));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_lost_reply_is_noted_once_and_the_same_email_goes_out_again() {
    let server = FaultServer::start(Script::new().fault("BODY", Fault::Cuts)).await;
    let outbox = Outbox::new(&url(&server));
    let error = outbox.send(&email(ADA)).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error}");
    let row = outbox.row().await;
    assert_eq!((row.status, row.detail, row.sends), (EmailStatus::Pending, EmailDetail::Unknown, 1));

    server.change(|script| script.faults.clear());
    outbox.send(&email(ADA)).await.unwrap();
    let row = outbox.row().await;
    assert_eq!((row.status, row.sends), (EmailStatus::Sent, 2));
    assert_eq!(unknown_events(&outbox.store, &row).await, 1);
    assert_eq!(server.received()[0].data, server.received()[1].data);
}

#[tokio::test]
async fn a_lost_reply_to_an_email_that_must_not_come_twice_holds_it() {
    let server = FaultServer::start(Script::new().fault("BODY", Fault::Cuts)).await;
    let outbox = Outbox::new(&url(&server));
    for _ in 0..2 {
        let error = outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await.unwrap_err();
        assert!(matches!(error, SendError::Held(_)), "{error}");
    }
    assert_eq!((outbox.row().await.sends, server.received().len()), (1, 1));
}

#[tokio::test]
async fn a_crash_before_the_body_does_not_count_as_a_send() {
    let server = FaultServer::start(Script::new().fault("DATA", Fault::Hangs)).await;
    let store = Memory::new();
    let outbox = Outbox::over(&store, &url(&server));
    let process = tokio::spawn(async move { outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await });
    while server.connections() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.abort();
    let _ = process.await;
    server.change(|script| script.faults.clear());

    let outbox = Outbox::over(&store, &url(&server));
    outbox.send(&email(ADA).on_unknown(OnUnknown::Hold)).await.unwrap();
    let row = outbox.row().await;
    assert_eq!((row.status, row.sends, server.received().len()), (EmailStatus::Sent, 1, 1));
}

#[tokio::test]
async fn a_sender_that_was_overtaken_sends_nothing() {
    let go_on = Arc::new(Notify::new());
    let server = FaultServer::start(Script::new().fault("DATA", Fault::Waits(Arc::clone(&go_on)))).await;
    let store = Memory::new();
    let overtaken = Outbox::over(&store, &url(&server));
    let zombie = tokio::spawn(async move { overtaken.send(&email(ADA)).await });
    while server.connections() == 0 || store.emails(Default::default()).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;

    let outbox = Outbox::over(&store, &url(&server));
    outbox.send(&email(ADA)).await.unwrap();
    go_on.notify_one();
    let error = zombie.await.unwrap().unwrap_err();
    assert!(matches!(&error, SendError::Retry { error, .. } if error.contains("another sender")), "{error}");
    let row = outbox.row().await;
    assert_eq!((row.status, row.sends, server.received().len()), (EmailStatus::Sent, 1, 1));
}

#[tokio::test]
async fn a_suppressed_recipient_is_sent_nothing() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::new(&url(&server));
    for (suppressed, recipient) in [
        ("ADA@example.com", ADA),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        ("ben@BÜCHER.example", "ben@xn--bcher-kva.example"),
    ] {
        outbox.store.suppress(suppressed, "bounced").await.unwrap();
        let error = outbox.send(&email(recipient)).await.unwrap_err();
        assert!(matches!(error, SendError::Suppressed(_)), "{recipient}: {error}");
        let row = outbox.store.emails(EmailFilter::default()).await.unwrap().remove(0);
        assert_eq!(row.to, recipient);
        assert_eq!((row.status, row.detail, row.sends), (EmailStatus::Failed, EmailDetail::Suppressed, 0));
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn every_address_that_rfc_5321_allows_reaches_the_server() {
    let server = FaultServer::start(Script::new()).await;
    let outbox = Outbox::new(&url(&server));
    for (recipient, sent) in [
        ("\"ada lovelace\"@example.com", "\"ada lovelace\"@example.com"),
        ("\"a..b\"@example.com", "\"a..b\"@example.com"),
        ("\"a\\\"b@c\"@example.com", "\"a\\\"b@c\"@example.com"),
        ("\"\"@example.com", "\"\"@example.com"),
        ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
        ("ada@[IPv6:2001:db8::1]", "ada@[IPv6:2001:db8::1]"),
        ("Ada＠bücher.example", "Ada@xn--bcher-kva.example"),
    ] {
        let mut email = email(recipient);
        email.from = Mailbox::parse("Riqle <orders@bücher.example>").unwrap();
        outbox.send(&email).await.unwrap();
        let received = server.received().pop().unwrap();
        assert_eq!((received.from.as_str(), received.to.as_str()), ("orders@xn--bcher-kva.example", sent));
        assert!(received.message_id().ends_with("@xn--bcher-kva.example>"), "{}", received.message_id());
        let to = format!("\r\nTo: {sent}\r\n");
        assert!(received.data.contains(&to), "{}", received.data);
    }
}

#[tokio::test]
async fn a_deploy_between_two_attempts_changes_what_has_not_left_and_nothing_of_what_may_have() {
    let deployed = |email: Email| Email {
        subject: "Another subject".to_owned(),
        from: Mailbox::parse("Shop <hello@shop.example>").unwrap(),
        ..email
    };
    for (at, says, is_new) in [("RCPT", "452 4.3.1 not now", true), ("BODY", "what a nice email", false)] {
        let server = FaultServer::start(Script::new().fault(at, Fault::Says(says))).await;
        let outbox = Outbox::new(&url(&server));
        outbox.send(&email(ADA)).await.unwrap_err();
        let before = outbox.row().await;
        server.change(|script| script.faults.clear());

        outbox.send(&deployed(email(ADA))).await.unwrap();
        let received = server.received().pop().unwrap();
        assert_eq!(received.data.as_bytes() == before.message, !is_new, "{at}");
        assert_eq!(received.data.as_bytes(), outbox.row().await.message);
        assert_eq!(received.from, if is_new { "hello@shop.example" } else { "orders@riqle.com" });
    }
}

#[cfg(feature = "dkim")]
#[tokio::test]
async fn a_corrected_dkim_key_signs_what_has_not_left_or_was_refused() {
    let signing = |server: &FaultServer, selector: &str| {
        let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dkim/ed25519.pem");
        format!("{}&dkim={selector}._domainkey.riqle.com&dkim_key={key}", url(server))
    };
    let refusals = [("RCPT", "452 4.3.1 not now", 0), ("BODY", "550 5.7.20 no passing DKIM signature", 1)];
    for (at, says, generation) in refusals {
        let server = FaultServer::start(Script::new().fault(at, Fault::Says(says))).await;
        let store = Memory::new();
        Outbox::over(&store, &signing(&server, "old")).send(&email(ADA)).await.unwrap_err();
        server.change(|script| script.faults.clear());

        let corrected = Outbox::over(&store, &signing(&server, "new"));
        corrected.send(&email(ADA)).await.unwrap();
        let received = server.received().pop().unwrap();
        assert!(received.data.contains(" s=new;"), "{at}: {}", received.data);
        assert_eq!(corrected.row().await.generation, generation, "{at}");
    }
}
