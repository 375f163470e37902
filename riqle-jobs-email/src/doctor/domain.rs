//! What receivers look at: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 7489).

use super::{Finding, Level, Resolver};

/// Terms of an SPF record that ask DNS in their turn; more than ten make it void (RFC 7208, section 4.6.4).
const MOST_LOOKUPS: usize = 10;

/// The TXT records of a name that begin so; the finding where DNS does not answer.
async fn records(
    resolver: &dyn Resolver,
    subject: &str,
    name: &str,
    begin: &str,
) -> Result<Vec<String>, Finding> {
    let all = resolver.txt(name).await.map_err(|error| {
        Finding::new(Level::Warning, subject, format!("the DNS lookup failed: {}", error.message()))
    })?;
    let is_wanted = |text: &String| {
        text.get(..begin.len()).is_some_and(|start| start.eq_ignore_ascii_case(begin))
            && !text[begin.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// Which servers may send for a domain; `allowed` is the term that lets the mailer's in.
pub(super) async fn spf(resolver: &dyn Resolver, domain: &str, allowed: &str) -> Finding {
    let subject = format!("SPF of {domain}");
    let found = match records(resolver, &subject, domain, "v=spf1").await {
        Ok(found) => found,
        Err(finding) => return finding,
    };
    let finding = |level, message: &str| Finding::new(level, &subject, message);
    let [record] = &found[..] else {
        let message = if found.is_empty() {
            "no record; receivers can't tell who may send for the domain"
        } else {
            "more than one record, which counts as none; merge them into one"
        };
        let wanted = format!("v=spf1 {allowed} ~all");
        return finding(Level::Wrong, message).with(domain, "TXT", wanted);
    };
    let terms: Vec<String> = record.split_whitespace().skip(1).map(str::to_ascii_lowercase).collect();
    if terms.iter().any(|term| term == "+all" || term == "all") {
        return finding(Level::Wrong, "it lets anyone send for the domain (+all)").with(
            domain,
            "TXT",
            format!("v=spf1 {allowed} ~all"),
        );
    }
    if terms.iter().filter(|term| asks_dns(term)).count() > MOST_LOOKUPS {
        return finding(
            Level::Wrong,
            "it needs more than 10 lookups, which makes it invalid; remove some terms",
        );
    }
    let ends = terms.iter().any(|term| term.ends_with("all") || term.starts_with("redirect="));
    if !ends {
        return finding(Level::Warning, "it says nothing about other servers; end it with ~all");
    }
    Finding::new(Level::Fine, &subject, record.clone())
}

fn asks_dns(term: &str) -> bool {
    let term = term.trim_start_matches(['+', '-', '~', '?']);
    let name = term.split([':', '/', '=']).next().unwrap_or_default();
    matches!(name, "include" | "a" | "mx" | "ptr" | "exists" | "redirect")
}

/// The public key of a selector. `record` is its full name.
pub(super) async fn dkim(resolver: &dyn Resolver, record: &str) -> Finding {
    let subject = format!("DKIM key {record}");
    let finding = |level, message: &str| Finding::new(level, &subject, message);
    let found = match resolver.txt(record).await {
        Ok(found) => found,
        Err(error) => return finding(Level::Warning, &format!("the DNS lookup failed: {}", error.message())),
    };
    // The version may be left out (RFC 6376, section 3.6.1).
    let keys: Vec<&String> = found.iter().filter(|text| tag(text, "p").is_some()).collect();
    let wanted = "v=DKIM1; k=rsa; p=(the output of: openssl rsa -in KEY -pubout -outform DER | base64 -w0)";
    match &keys[..] {
        [] => finding(Level::Wrong, "no key, so no signature is valid").with(record, "TXT", wanted),
        [key] if tag(key, "p").is_some_and(|p| p.is_empty()) => {
            finding(Level::Wrong, "the key is revoked (p= is empty)").with(record, "TXT", wanted)
        }
        [key] if tag(key, "t").is_some_and(|flags| flags.split(':').any(|flag| flag == "y")) => {
            finding(Level::Warning, "the key is marked as a test (t=y); receivers may ignore it")
        }
        [_] => finding(Level::Fine, "key found"),
        _ => finding(Level::Wrong, "more than one key under this name; keep one"),
    }
}

/// What receivers are to do with what is neither signed nor sent by a server of the domain.
pub(super) async fn dmarc(resolver: &dyn Resolver, domain: &str) -> Finding {
    let subject = format!("DMARC of {domain}");
    let finding = |level, message: &str| Finding::new(level, &subject, message);
    // Where the domain itself has none, that of the organisation's counts: the nearest parent that has one.
    let labels: Vec<&str> = domain.split('.').collect();
    for parent in 0..labels.len().saturating_sub(1) {
        let name = format!("_dmarc.{}", labels[parent..].join("."));
        let found = match records(resolver, &subject, &name, "v=DMARC1").await {
            Ok(found) => found,
            Err(finding) => return finding,
        };
        match &found[..] {
            [] => {}
            [record] => {
                return match tag(record, "p").as_deref() {
                    Some("none" | "quarantine" | "reject") => {
                        finding(Level::Fine, &format!("{record} ({name})"))
                    }
                    _ => finding(Level::Wrong, "it has no policy p=none, p=quarantine or p=reject").with(
                        &name,
                        "TXT",
                        wanted_policy(domain),
                    ),
                };
            }
            _ => {
                return finding(Level::Wrong, "more than one record, which counts as none; keep one");
            }
        }
    }
    finding(Level::Wrong, "no record; large receivers require one").with(
        &format!("_dmarc.{domain}"),
        "TXT",
        wanted_policy(domain),
    )
}

fn wanted_policy(domain: &str) -> String {
    format!("v=DMARC1; p=none; rua=mailto:postmaster@{domain}")
}

/// The value of a tag in a list such as `v=DKIM1; k=rsa; p=…`, without white space.
fn tag(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|part| {
        let (tag, value) = part.split_once('=')?;
        (tag.trim() == name).then(|| value.chars().filter(|c| !c.is_whitespace()).collect())
    })
}
