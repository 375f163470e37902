//! The Redis store, held to what every store owes: on one server, and on a cluster.

mod support;

use std::sync::Arc;

use riqle_jobs_conformance::Harness;
use riqle_jobs_core::{ManualClock, Store, async_trait};
use riqle_jobs_redis::Redis;

use crate::support::Prefix;

macro_rules! harness {
    ($name:ident, $place:ident) => {
        struct $name {
            store: Redis,
            clock: ManualClock,
            prefix: Prefix,
        }

        #[async_trait]
        impl Harness for $name {
            async fn start() -> Self {
                let (prefix, clock) = (Prefix::$place(), ManualClock::new());
                let store = prefix.open(&clock).await;
                Self { store, clock, prefix }
            }

            fn store(&self) -> Arc<dyn Store> {
                Arc::new(self.store.clone())
            }

            async fn second_handle(&self) -> Arc<dyn Store> {
                Arc::new(self.prefix.open(&self.clock).await)
            }

            fn clock(&self) -> &ManualClock {
                &self.clock
            }
        }
    };
}

mod on_one_server {
    use riqle_jobs_conformance::{conformance_suite, model_test};

    use super::*;

    harness!(OnServer, on_server);
    conformance_suite!(OnServer);
    model_test!(OnServer);
}

mod on_a_cluster {
    use riqle_jobs_conformance::{conformance_suite, model_test};

    use super::*;

    harness!(OnCluster, on_cluster);
    conformance_suite!(OnCluster);
    model_test!(OnCluster);
}
