//! Signed webhooks for riqle-jobs.
