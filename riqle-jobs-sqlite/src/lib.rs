//! The embedded store of riqle-jobs: one SQLite file.
