//! riqle-jobs
