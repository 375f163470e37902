//! The guide: a short page for each question. Every example is compiled, and run where it needs no server.
//!
//! | write | |
//! |---|---|
//! | [A first job](first_job) | from nothing to a tested job, on one page |
//! | [Steps](steps) | names, keys, loops, results, your transaction |
//! | [Retries and errors](retries) | policies, what an error does, waiting |
//! | [Enqueueing](enqueueing) | delays, unique keys, batches |
//! | [Schedules](schedules) | cron, intervals, time zones, missed ticks |
//! | [Events and webhooks](events) | jobs that events start, over HTTP, from Stripe |
//! | [Email](email) | your own, the three of a shop, mailers, failures |
//! | [Your own HTTP calls](http_calls) | idempotency keys, back-off, limits of a service |
//! | [CPU-heavy jobs](cpu) | blocking threads, slots |
//! | [Testing](testing) | a clock that the test moves, recorded emails |
//!
//! | run | |
//! |---|---|
//! | [Stores](stores) | what each promises, and its URL |
//! | [Staging, and moving to another store](staging) | your data here, your jobs there |
//! | [Configuration](configuration) | variables and settings |
//! | [Operating](operating) | dead letters, alerts, replay, pauses |
//! | [Metrics and alerts](metrics) | what a process counts, what the store knows, Prometheus, Kubernetes |
//! | [Traces and logs](traces) | what is logged, spans, OpenTelemetry |
//! | [Incidents](incidents) | three of them, from the alarm to the cure |
//! | [The command line](command_line) | looking and acting from a shell, a doctor |
//! | [The dashboard](dashboard) | who gets in, your own sessions, proxies |
//! | [Deploying and upgrading](deploys) | what may change between two deploys |
//! | [Shutdown](shutdown) | signals, grace, containers |
//! | [Troubleshooting](troubleshooting) | symptoms and causes |
//! | [Writing a store](writing_a_store) | five steps and one suite |

macro_rules! pages {
    ($($page:ident)+) => {
        $(
            #[doc = include_str!(concat!(stringify!($page), ".md"))]
            pub mod $page {}
        )+
    };
}

pages! {
    first_job steps retries enqueueing schedules events email http_calls cpu testing
    stores staging configuration operating incidents metrics traces command_line dashboard deploys shutdown troubleshooting writing_a_store
}
