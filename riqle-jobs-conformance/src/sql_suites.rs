//! The lists of the cases that only SQL stores have.

/// Emits every case of a staging, for a type that is a [`StagingHarness`](crate::StagingHarness).
#[macro_export]
macro_rules! staging_suite {
    ($harness:ty) => {
        $crate::conformance_area!($harness, staging: [
            a_run_is_taken_as_it_was_staged,
            an_event_is_taken_as_it_was_staged,
            f18_a_transaction_that_rolls_back_stages_nothing,
            the_same_id_again_stages_nothing_more,
            f14_what_is_over_a_limit_is_refused_at_once_and_nothing_of_it_staged,
            items_are_taken_in_the_order_of_staging_and_never_more_than_asked_for,
            only_items_behind_a_number_are_taken_where_one_is_given,
            no_item_is_taken_behind_so_many_bytes,
            what_one_relay_has_taken_no_other_takes_before_its_lease_ends,
            a_relay_is_answered_again_what_it_has_taken_and_its_lease_prolonged,
            of_many_relays_at_once_each_takes_other_items,
            what_is_removed_is_gone_and_may_be_removed_again,
            a_refused_item_is_kept_aside_with_its_first_error,
            refused_items_come_in_pages,
            a_refused_item_moves_when_it_is_staged_again,
            the_status_tells_what_waits_and_what_was_refused,
            a_waiting_relay_is_woken_by_the_wake,
        ]);
        $crate::conformance_area!($harness, staging_relay: [
            f18_what_was_staged_arrives_once_and_leaves_nothing_behind,
            a_delay_counts_from_the_staging,
            of_several_relays_at_once_each_item_is_moved_once,
        ]);
    };
}

/// Emits one test for each case of transactions, for a type that is a [`ShopHarness`](crate::ShopHarness).
#[macro_export]
macro_rules! transaction_suite {
    ($harness:ty) => {
        $crate::conformance_area!($harness as ShopHarness, transaction: [
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
            a_transaction_with_a_call_that_was_dropped_half_way_does_not_commit,
        ]);
        $crate::conformance_area!($harness as ShopHarness, transaction_schedules: [
            a_schedule_of_a_transaction_is_made_after_its_commit_alone,
            a_tick_that_waits_starts_once_a_cancel_of_the_earlier_run_has_committed,
        ]);
        $crate::conformance_area!($harness as ShopHarness, transaction_staging: [
            what_is_enqueued_for_another_store_arrives_after_the_commit,
            a_staged_cancel_is_done_in_its_order,
            a_schedule_that_is_staged_is_made_where_its_job_runs,
            a_step_for_a_run_of_another_store_is_held_to_once_by_what_is_kept_of_it,
            of_two_that_take_a_step_at_once_the_second_gets_what_the_first_has_kept,
            a_kept_step_is_forgotten_after_its_time,
            of_two_relays_none_takes_a_cancel_before_what_was_staged_ahead_of_it,
            a_repeated_cancel_leaves_alone_what_was_staged_after_it,
        ]);
    };
}
