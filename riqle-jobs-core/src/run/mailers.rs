//! The providers that accept no email from a worker's runs right now.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

use crate::store::{TroubleKind, WorkerTrouble};

/// The providers that accept no email from a worker's runs right now.
#[derive(Debug, Default)]
pub(crate) struct Mailers(Mutex<BTreeMap<&'static str, Refuses>>);

/// What keeps a provider from accepting emails.
#[derive(Debug)]
struct Refuses {
    kind: TroubleKind,
    since: Instant,
    error: String,
}

impl Mailers {
    /// A provider accepts none, and says why.
    pub(crate) fn refuses(&self, provider: &'static str, kind: TroubleKind, since: Instant, error: &str) {
        let mut all = self.all();
        let known = all.get(provider).filter(|known| known.kind == kind);
        let since = known.map_or(since, |known| known.since.min(since));
        all.insert(provider, Refuses { kind, since, error: error.to_owned() });
    }

    /// A provider accepts them.
    pub(crate) fn accepts(&self, provider: &'static str) {
        self.all().remove(provider);
    }

    /// Of each kind the one that has lasted longest.
    pub(crate) fn troubles(&self) -> Vec<WorkerTrouble> {
        let all = self.all();
        let longest = |kind| {
            let of_kind = all.iter().filter(|(_, refuses)| refuses.kind == kind);
            let (provider, Refuses { since, error, .. }) =
                of_kind.min_by_key(|(_, refuses)| refuses.since)?;
            Some(WorkerTrouble { kind, lasting: since.elapsed(), error: format!("{provider}: {error}") })
        };
        [TroubleKind::Mailer, TroubleKind::MailerSetup].into_iter().filter_map(longest).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<&'static str, Refuses>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_keeps_refusing_lasts_from_the_first_time_and_one_that_accepts_is_forgotten() {
        let (mailers, begun) = (Mailers::default(), Instant::now());
        mailers.refuses("resend", TroubleKind::MailerSetup, begun, "401");
        tokio::time::advance(Duration::from_secs(60)).await;
        mailers.refuses("resend", TroubleKind::MailerSetup, Instant::now(), "403");
        mailers.refuses("smtp", TroubleKind::Mailer, Instant::now(), "421");
        let told = |mailers: &Mailers| {
            let told = |trouble: WorkerTrouble| (trouble.kind, trouble.lasting.as_secs(), trouble.error);
            mailers.troubles().into_iter().map(told).collect::<Vec<_>>()
        };
        let smtp = (TroubleKind::Mailer, 0, "smtp: 421".to_owned());
        assert_eq!(told(&mailers), [smtp, (TroubleKind::MailerSetup, 60, "resend: 403".to_owned())]);

        mailers.refuses("resend", TroubleKind::Mailer, Instant::now(), "429");
        mailers.accepts("smtp");
        assert_eq!(told(&mailers), [(TroubleKind::Mailer, 0, "resend: 429".to_owned())]);
    }
}
