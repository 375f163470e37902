//! Every behaviour that a store of riqle-jobs owes, one named test a case.
