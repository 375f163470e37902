//! The cases of [`transaction`](crate::transaction), as tests.

/// Emits one test for each case of transactions, for a type that is a [`ShopHarness`](crate::ShopHarness).
#[macro_export]
macro_rules! transaction_suite {
    ($harness:ty) => {
        $crate::transaction_cases!(
            $harness,
            [
                f18_a_commit_makes_the_order_and_its_run_lasting,
                f18_a_rollback_leaves_neither_the_order_nor_its_run,
                what_is_refused_leaves_the_transaction_able_to_commit,
                runs_of_several_queues_are_enqueued_in_one_call,
                an_event_in_a_transaction_starts_its_runs_with_the_commit_and_once,
                a_cancel_takes_effect_with_the_commit,
                a_worker_is_told_of_a_cancel_once_it_has_committed,
                a_step_and_the_writes_of_its_transaction_are_there_together,
                a_step_that_was_rolled_back_is_done_again,
                a_step_that_was_committed_is_not_done_again,
                a_step_is_not_begun_under_a_lost_lease,
                a_step_within_a_transaction_is_dead_at_once_and_nothing_of_it_stays,
                a_step_whose_commit_was_not_answered_is_looked_for_and_not_done_again,
                a_step_in_a_database_that_lacks_the_run_says_so,
                what_is_enqueued_for_another_store_arrives_after_the_commit,
                a_staged_cancel_is_done_in_its_order,
                a_step_for_a_run_of_another_store_is_held_to_once_by_what_is_kept_of_it,
                of_two_that_take_a_step_at_once_the_second_gets_what_the_first_has_kept,
                a_kept_step_is_forgotten_after_its_time,
                of_two_relays_none_takes_a_cancel_before_what_was_staged_ahead_of_it_has_arrived,
                a_repeated_cancel_leaves_alone_what_was_staged_after_it,
                a_transaction_with_a_call_that_was_dropped_half_way_does_not_commit,
            ]
        );
    };
}

/// The list of [`transaction_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! transaction_cases {
    ($harness:ty, [$($case:ident,)+]) => {
        mod transaction {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    let shop = <$harness as $crate::ShopHarness>::start().await;
                    $crate::within_limit($crate::transaction::$case(&shop)).await;
                }
            )+
        }
    };
}
