//! What the doctor says of a domain's SPF, DKIM and DMARC records.

use std::collections::HashMap;

use riqle_jobs_core::{Error, ErrorKind, Mailbox, async_trait};

use super::{Doctor, Level, Report, Resolver};

/// DNS from a table; names that begin with `away` are not answered.
struct Table(HashMap<String, Vec<String>>);

impl Table {
    fn of(records: &[(&str, &str)]) -> Self {
        let mut table: HashMap<String, Vec<String>> = HashMap::new();
        for (name, text) in records {
            table.entry((*name).to_owned()).or_default().push((*text).to_owned());
        }
        Self(table)
    }
}

#[async_trait]
impl Resolver for Table {
    async fn txt(&self, name: &str) -> Result<Vec<String>, Error> {
        if name.contains("away") {
            return Err(Error::new(ErrorKind::Unavailable, "DNS", format!("{name}: no answer")));
        }
        Ok(self.0.get(name).cloned().unwrap_or_default())
    }
}

async fn examine(sender: &str, records: &[(&str, &str)]) -> Report {
    let doctor = Doctor::new(&Mailbox::parse(sender).unwrap()).dkim_selector("mail");
    doctor.examine(&Table::of(records)).await
}

const SPF: (&str, &str) = ("riqle.com", "v=spf1 include:_spf.example.com ~all");
const DKIM: (&str, &str) = ("mail._domainkey.riqle.com", "v=DKIM1; k=rsa; p=MIIB IjAN");
const DMARC: (&str, &str) = ("_dmarc.riqle.com", "v=DMARC1; p=none");

#[tokio::test]
async fn a_domain_that_is_set_up_is_fine() {
    let report =
        examine("Riqle <orders@Riqle.com>", &[SPF, ("riqle.com", "google-site-verification=1"), DKIM, DMARC])
            .await;
    assert!(report.is_healthy());
    assert_eq!(
        report.to_string(),
        "fine     SPF of riqle.com: v=spf1 include:_spf.example.com ~all\n\
         fine     DKIM key mail._domainkey.riqle.com: key found\n\
         fine     DMARC of riqle.com: v=DMARC1; p=none (_dmarc.riqle.com)\n\
         no problems\n"
    );
}

#[tokio::test]
async fn a_domain_without_records_is_told_each_of_them() {
    let report = examine("orders@riqle.com", &[]).await;
    assert!(!report.is_healthy());
    let records: Vec<(&str, &str)> = report
        .findings
        .iter()
        .flat_map(|finding| &finding.records)
        .map(|record| (record.name.as_str(), record.value.as_str()))
        .collect();
    let [spf, dkim, dmarc] = &records[..] else { panic!("{records:?}") };
    assert_eq!(*spf, ("riqle.com", "v=spf1 mx ~all"));
    assert!(dkim.0 == "mail._domainkey.riqle.com" && dkim.1.starts_with("v=DKIM1; k=rsa; p="));
    assert_eq!(*dmarc, ("_dmarc.riqle.com", "v=DMARC1; p=none; rua=mailto:postmaster@riqle.com"));
    assert!(report.to_string().ends_with("3 problems\n"), "{report}");
}

#[tokio::test]
async fn records_that_do_not_hold_are_found() {
    let eleven = format!("v=spf1{} ~all", " include:a.example".repeat(11));
    for (right, wrong, level, word) in [
        (SPF, "v=spf1 +all", Level::Wrong, "anyone"),
        (SPF, eleven.as_str(), Level::Wrong, "10 lookups"),
        (SPF, "v=spf1 mx", Level::Warning, "~all"),
        (SPF, "v=spf10 mx ~all", Level::Wrong, "no record"),
        (DKIM, "v=DKIM1; p=", Level::Wrong, "revoked"),
        (DKIM, "v=DKIM1; t=s:y; p=MIIB", Level::Warning, "t=y"),
        (DKIM, "hello", Level::Wrong, "no key"),
        (DMARC, "v=DMARC1; p=maybe", Level::Wrong, "no policy"),
    ] {
        let all = [SPF, DKIM, DMARC];
        let records: Vec<_> =
            all.iter().map(|record| if *record == right { (right.0, wrong) } else { *record }).collect();
        let report = examine("orders@riqle.com", &records).await;
        let worst = report.findings.iter().max_by_key(|finding| finding.level).unwrap();
        assert_eq!((worst.level, worst.message.contains(word)), (level, true), "{wrong}: {report}");
    }
}

#[tokio::test]
async fn two_records_where_one_may_be_count_as_none() {
    for twice in [SPF, DKIM, DMARC] {
        let report = examine("orders@riqle.com", &[SPF, DKIM, DMARC, twice]).await;
        assert!(!report.is_healthy() && report.to_string().contains("more than one"), "{report}");
    }
}

#[tokio::test]
async fn the_policy_of_a_parent_counts_for_a_subdomain() {
    let report = examine("orders@shop.mail.riqle.com", &[DMARC]).await;
    let dmarc = report.findings.last().unwrap();
    assert_eq!((dmarc.level, dmarc.subject.as_str()), (Level::Fine, "DMARC of shop.mail.riqle.com"));
}

#[tokio::test]
async fn dns_that_does_not_answer_is_no_verdict() {
    let report = examine("orders@away.com", &[]).await;
    assert!(report.findings.iter().all(|finding| finding.level == Level::Warning), "{report}");
    assert!(report.to_string().contains("the DNS lookup failed: away.com: no answer"), "{report}");
}

#[tokio::test]
async fn a_domain_of_other_letters_is_asked_for_in_ascii() {
    let report = examine("orders@bücher.example", &[]).await;
    assert_eq!(report.findings[0].records[0].name, "xn--bcher-kva.example");
}
