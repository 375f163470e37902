/// Emits every case as a test of its own, in a module for each area, for a type that is a
/// [`Harness`](crate::Harness). This is the one list of cases.
#[macro_export]
macro_rules! conformance_suite {
    ($harness:ty) => {
        $crate::conformance_area!($harness, enqueue: [
            a_run_is_stored_as_it_was_given,
            a_group_is_answered_in_its_order,
            an_empty_group_is_fine,
            the_same_id_again_answers_existing,
            the_same_id_twice_in_a_group_is_stored_once,
            an_id_that_has_ended_starts_nothing_again,
            a_delay_counts_from_the_time_of_the_store,
            a_due_time_is_kept_to_the_millisecond,
            a_waiting_worker_is_woken,
        ]);
        $crate::conformance_area!($harness, claim: [
            due_runs_come_by_priority_then_due_time_then_id,
            runs_of_several_jobs_are_merged_in_order,
            never_more_than_asked_for,
            a_limit_of_zero_claims_nothing_and_tells_the_next_due_time,
            a_future_run_is_claimed_at_its_time_and_not_before,
            a_time_in_the_past_stands_before_what_is_due_now,
            jobs_not_named_are_left_alone,
            an_unknown_job_waits_for_a_worker_that_knows_it,
            other_queues_are_left_alone,
            no_jobs_claim_nothing,
            a_job_named_twice_is_claimed_once,
            a_claimed_run_carries_what_its_body_needs,
            a_claimed_run_shows_who_holds_it,
            next_due_is_the_earliest_future_run,
            next_due_is_the_next_lease_to_run_out,
            next_due_has_passed_where_more_are_due,
            next_due_is_none_where_nothing_is_left_of_the_jobs,
            each_run_goes_to_one_of_many_claimers,
        ]);
        $crate::conformance_area!($harness, lease: [
            a_lease_is_not_given_away_a_millisecond_early,
            an_expired_lease_is_given_again,
            an_expired_lease_keeps_its_place_among_the_due,
            an_extended_lease_lasts_from_the_extension,
            a_lease_that_ran_out_and_was_not_taken_over_can_be_extended,
            a_lease_that_ran_out_and_was_not_taken_over_can_be_settled,
            a_stale_token_can_not_extend,
            a_stale_token_can_not_save_a_step,
            f06_a_zombie_can_not_settle,
            a_settled_token_can_neither_extend_nor_save,
            a_run_that_was_never_there_is_refused,
            a_stale_lease_leaves_its_neighbours_alone,
            a_lease_connection_extends,
            give_back_frees_the_runs_of_its_token_uncharged,
            give_back_leaves_other_tokens_alone,
            a_given_back_token_is_stale,
        ]);
    };
}

/// One area of [`conformance_suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_area {
    ($harness:ty, $area:ident: [$($case:ident,)+]) => {
        mod $area {
            #[allow(unused_imports)]
            use super::*;

            $(
                #[::tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    let harness = <$harness as $crate::Harness>::start().await;
                    $crate::within_limit($crate::$area::$case(&harness)).await;
                }
            )+
        }
    };
}
