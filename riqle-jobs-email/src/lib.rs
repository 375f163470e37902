//! Email for riqle-jobs: templates, file and SMTP mailers, the three email jobs of a shop.
