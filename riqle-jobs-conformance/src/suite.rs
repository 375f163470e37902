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
            give_back_frees_a_run_whose_lease_has_run_out,
            give_back_leaves_other_tokens_alone,
            a_given_back_token_is_stale,
        ]);
        $crate::conformance_area!($harness, settle: [
            a_succeeded_run_keeps_its_output,
            an_ended_run_is_not_claimed_again,
            a_repeated_settle_answers_done_and_changes_nothing,
            a_wait_of_any_length_is_kept,
            a_retry_that_is_settled_twice_fails_once,
            one_stale_settlement_leaves_its_neighbours_alone,
            the_same_settlement_twice_in_a_batch_applies_once,
            a_dead_run_keeps_its_reason_and_error,
            a_body_may_cancel_its_run,
            empty_batches_are_fine,
            f08_settle_and_takeover_race_with_one_winner,
        ]);
        $crate::conformance_area!($harness, retry: [
            a_retry_is_due_exactly_after_its_delay,
            a_delay_is_rounded_up_to_a_millisecond,
            an_attempt_is_recorded_with_its_times_worker_and_error,
            a_run_that_always_fails_has_its_whole_timeline,
            failures_are_what_the_settlement_says,
            a_snooze_charges_nothing,
            snoozes_in_a_row_are_one_record_and_push_no_failure_out,
            give_backs_between_snoozes_push_no_failure_out_either,
            snoozes_after_25_failures_take_the_place_of_one,
            a_give_back_keeps_the_due_time_and_charges_nothing,
            only_the_newest_25_attempts_are_kept,
            a_retry_keeps_its_priority,
        ]);
        $crate::conformance_area!($harness, crash: [
            a_takeover_raises_crashes_and_not_failures,
            a_crash_is_counted_when_it_is_found_and_only_once,
            a_crashed_attempt_is_recorded_with_its_worker,
            f15_a_poison_run_counts_every_worker_it_kills,
            a_success_after_a_crash_keeps_the_count,
            every_run_of_a_dead_worker_is_given_again,
            a_takeover_is_one_claimers_alone,
        ]);
        $crate::conformance_area!($harness, unique: [
            a_taken_key_answers_with_its_run,
            a_key_belongs_to_one_job,
            while_pending_a_key_is_free_from_the_first_claim,
            while_pending_a_key_is_free_once_its_run_is_cancelled,
            while_not_ended_a_key_is_taken_through_retries_and_crashes,
            while_not_ended_a_key_is_free_once_its_run_is_dead_or_cancelled,
            a_period_runs_from_the_enqueue_to_the_millisecond,
            a_period_outlasts_its_run,
            the_end_of_an_old_run_leaves_the_key_to_a_later_one,
            a_taken_key_with_another_input_is_a_conflict,
            another_input_is_ignored_where_the_run_says_so,
            a_conflict_names_its_index_and_nothing_of_the_group_is_stored,
            within_a_group_the_first_takes_the_key,
            within_a_group_another_input_is_a_conflict,
            of_many_callers_at_once_one_takes_the_key,
            a_caller_that_fails_leaves_others_at_the_same_time_alone,
            f55_the_same_input_written_otherwise_is_the_same_input,
        ]);
        $crate::conformance_area!($harness, steps: [
            a_step_is_saved_with_its_result_time_and_length,
            steps_come_in_the_order_of_saving,
            steps_of_one_name_are_told_apart_by_their_keys,
            the_first_result_of_a_step_stays,
            the_same_step_twice_in_a_batch_is_saved_once,
            a_retry_is_given_the_saved_steps,
            saved_steps_survive_a_crash_and_a_give_back,
            a_batch_saves_steps_of_many_runs,
            an_ended_run_still_shows_its_steps,
            f29_a_result_that_replaces_another_takes_its_place,
            f29_a_result_that_replaces_nothing_is_saved,
            f29_a_stale_token_can_not_replace_a_result,
        ]);
        $crate::conformance_area!($harness, events: [
            an_event_is_stored_as_it_was_given,
            a_known_event_id_keeps_the_first,
            an_event_id_twice_in_a_list_keeps_the_first,
            a_started_event_says_so_when_it_comes_again,
            an_event_id_is_free_again_after_24_hours,
            an_event_id_is_kept_for_as_long_as_its_event_says,
            a_kept_event_id_starts_nothing_though_its_event_and_its_run_were_pruned,
            idle_events_are_those_that_started_nothing_oldest_first,
            f16_an_event_that_comes_many_times_at_once_starts_one_run,
            f16_an_event_that_comes_again_after_its_run_ended_starts_nothing,
            events_are_stored_with_the_runs_that_they_start,
            events_that_are_started_again_start_nothing,
            an_event_that_was_stored_without_its_runs_is_started_with_what_came_first,
            runs_that_were_enqueued_before_their_event_was_counted_are_not_enqueued_again,
            an_event_id_that_was_stored_under_another_name_starts_nothing,
            an_event_id_twice_in_a_list_starts_once,
            a_started_event_may_come_again_after_24_hours,
            a_started_event_wakes_waiting_workers,
            where_a_run_of_an_event_is_refused_nothing_is_stored,
            of_many_starts_of_an_event_at_once_one_enqueues_its_runs,
            many_events_may_start_more_runs_than_a_group_has,
            an_event_that_is_refused_leaves_the_others_of_its_list_unsent,
        ]);
        $crate::conformance_area!($harness, cancel: [
            a_pending_run_is_cancelled_and_never_claimed,
            f33_a_running_run_is_cancelled_at_once_and_its_worker_told,
            f33_what_a_cancelled_run_still_writes_changes_nothing,
            a_token_that_was_stale_before_the_cancel_stays_stale,
            a_run_that_waits_for_its_retry_is_cancelled,
            a_run_whose_lease_ran_out_is_cancelled,
            cancelling_again_is_fine,
            what_has_ended_another_way_can_not_be_cancelled,
            what_is_not_there_can_not_be_cancelled,
            f33_cancel_and_settle_race_with_one_winner,
        ]);
        $crate::conformance_area!($harness, dead_letters: [
            a_replay_is_a_new_run_with_the_same_input_and_no_failures,
            a_replay_from_the_failed_step_keeps_every_saved_step,
            a_replay_from_the_start_keeps_no_step,
            a_replay_from_a_step_keeps_those_before_it,
            a_replayed_run_leaves_the_dead_letters,
            a_replay_repeated_changes_nothing,
            a_run_is_replayed_by_one_run_only,
            of_many_replays_at_once_one_is_stored,
            the_root_is_kept_over_a_line_of_replays,
            a_cancelled_run_can_be_replayed,
            what_has_not_ended_or_has_succeeded_is_not_replayed,
            a_replay_takes_its_unique_key_again,
            a_replay_whose_unique_key_is_taken_is_a_conflict,
            a_replay_takes_its_key_for_a_fresh_period,
            a_replay_wakes_waiting_workers,
            a_discarded_dead_letter_is_gone,
            only_dead_letters_are_discarded,
            f11_a_replay_may_have_an_edited_input,
            f14_an_edited_input_over_the_limit_is_refused,
        ]);
        $crate::conformance_area!($harness, dead_groups: [
            dead_letters_are_grouped_by_job_and_error_the_last_to_die_first,
            groups_of_one_time_come_by_job_and_error,
            of_runs_that_died_at_one_time_the_newest_is_that_of_the_greatest_id,
            one_job_in_several_queues_is_one_group,
            a_group_goes_by_the_newest_error_and_by_any_where_the_last_attempt_brought_none,
            errors_of_dead_letters_are_those_of_the_runs_that_a_filter_lists,
            a_run_leaves_its_group_when_it_is_replayed_discarded_or_pruned,
            a_group_has_as_many_runs_as_its_filter_lists,
            a_group_is_counted_exactly_below_the_bound_and_at_least_to_it,
        ]);
        $crate::conformance_area!($harness, counts: [
            an_empty_store_counts_and_lists_nothing,
            counts_tell_jobs_and_states_apart,
            a_running_run_without_a_pending_neighbour_is_listed,
            runs_are_listed_newest_first_wherever_they_stand,
            runs_are_listed_by_state,
            runs_are_listed_by_job_queue_and_reference,
            a_list_comes_in_pages,
            a_run_that_is_not_there_is_none,
            runs_are_listed_by_unique_key,
            runs_are_listed_by_the_fingerprint_of_their_newest_error,
            runs_are_listed_by_the_time_of_their_enqueue,
            a_filter_counts_what_it_lists,
            a_page_does_not_limit_the_count,
            a_count_stops_where_it_is_told,
            runs_are_counted_by_key_error_and_time_of_enqueue,
            a_replayed_run_is_counted_only_where_no_state_is_asked,
            runs_without_an_error_are_listed_by_the_empty_fingerprint,
        ]);
        $crate::conformance_area!($harness, health: [
            an_empty_store_is_healthy,
            the_run_that_has_waited_longest_is_told_unless_its_queue_is_paused,
            f10_due_jobs_that_no_living_worker_knows_are_named,
            leases_that_ran_out_are_counted_until_they_are_taken_over,
            housekeeping_that_has_failed_for_ten_minutes_is_told_with_its_error,
            a_provider_that_has_taken_no_email_for_a_minute_is_told,
        ]);
        $crate::conformance_area!($harness, email_start: [
            a_start_takes_the_row_and_answers_with_what_it_was,
            a_start_leaves_the_run_and_replaces_what_is_sent_where_told,
            bytes_are_final_while_nobody_knows_whether_they_were_taken_and_free_once_they_were_refused,
            the_time_since_which_a_run_is_put_off_is_kept_until_another_run_sends,
            an_outcome_that_is_unknown_is_told_once_for_each_time_the_body_left,
            a_row_that_is_not_there_can_not_be_started,
        ]);
        $crate::conformance_area!($harness, email_log: [
            an_intent_is_a_pending_row_with_what_it_was_given,
            an_intent_under_a_known_key_answers_with_the_first,
            of_many_intents_at_once_under_a_key_one_is_stored,
            a_body_that_begins_is_counted_and_its_first_time_kept,
            a_body_that_begins_again_after_a_lost_reply_counts_once,
            a_body_on_its_way_is_left_to_its_sender_for_as_long_as_it_may_last,
            a_body_is_not_waited_for_by_its_own_run_nor_once_its_outcome_is_known,
            a_start_does_not_forget_that_a_body_may_have_left,
            an_older_sender_may_not_begin_the_body,
            a_sent_email_keeps_what_the_provider_said,
            sent_is_recorded_even_for_a_sender_that_lost_the_row,
            a_sent_email_stays_as_it_is,
            an_email_not_sent_keeps_status_detail_and_error,
            an_older_sender_can_not_record_a_failure,
            a_failed_email_can_be_sent_after_all,
            each_unknown_outcome_appends_one_event,
            a_run_that_gives_up_fails_its_pending_emails,
            a_run_that_gives_up_takes_its_emails_from_their_sender,
            emails_are_listed_newest_first_by_what_is_asked,
            a_suppressed_address_is_known_in_every_spelling,
            a_suppressed_address_is_known_in_any_case_and_keeps_its_first_reason,
        ]);
        $crate::conformance_area!($harness, limits: [
            a_job_name_has_1_to_128_bytes,
            a_queue_name_has_1_to_128_bytes,
            a_unique_key_has_1_to_512_bytes,
            a_reference_has_1_to_512_bytes,
            names_and_keys_hold_no_control_character,
            f14_an_input_over_the_limit_is_refused_with_limit_and_size,
            a_step_result_and_an_output_at_the_limit_are_kept,
            a_group_at_the_limit_is_stored,
            a_group_over_the_limit_is_refused,
            a_group_is_of_one_queue,
        ]);
        $crate::conformance_area!($harness, odd_data: [
            an_input_comes_back_as_it_was_given,
            f13_integers_beyond_2_to_the_53_are_exact,
            a_step_result_comes_back_as_it_was_given,
            an_output_comes_back_as_it_was_given,
            event_data_comes_back_as_it_was_given,
            an_error_text_comes_back_as_it_was_given,
            f12_a_cleaned_error_text_never_makes_a_run_stick,
            names_and_keys_come_back_as_they_were_given,
            a_filter_matches_whole_texts_only,
        ]);
        $crate::conformance_area!($harness, concurrency: [
            runs_that_many_enqueue_and_many_work_on_end_once_each,
            runs_whose_leases_run_out_under_many_workers_end_once_each,
            cancels_settles_and_takeovers_at_once_end_each_run_once,
            a_step_that_many_save_at_once_has_one_result,
            a_settlement_that_many_repeat_at_once_applies_once,
            many_steps_of_many_runs_at_once_are_all_kept,
        ]);
        $crate::conformance_area!($harness, prune: [
            nothing_goes_where_everything_is_kept,
            ended_runs_go_with_their_steps_once_they_are_older,
            runs_that_have_not_ended_stay,
            dead_letters_have_a_time_of_their_own,
            a_replayed_dead_letter_goes_like_any_ended_run,
            a_key_taken_for_a_period_outlasts_its_pruned_run,
            events_go_once_they_are_older_and_never_within_24_hours,
            emails_go_once_they_are_older_and_never_while_pending,
            actions_go_a_time_after_their_first_record,
            workers_are_forgotten_a_day_after_their_last_report_whatever_is_kept,
            workers_that_were_killed_are_off_the_list_after_a_day_though_nobody_prunes,
        ]);
        $crate::conformance_area!($harness, registry: [
            jobs_are_known_by_name_as_they_were_announced_last,
            a_worker_is_known_as_it_reported_last,
            a_worker_that_stopped_is_forgotten,
            f30_workers_of_one_label_are_told_apart,
            a_new_worker_is_to_work,
            an_order_is_answered_to_each_report_of_its_worker,
            a_worker_that_is_not_known_takes_no_order,
        ]);
        $crate::conformance_area!($harness, audit: [
            an_action_is_kept_as_it_was_recorded_last_with_the_time_of_its_first_record,
            an_action_that_is_not_there_is_none,
            every_kind_and_state_of_an_action_is_kept,
            actions_come_newest_first_in_pages,
            actions_are_listed_by_who_what_subject_and_time,
            a_filtered_list_of_actions_comes_in_pages_however_many_lie_between,
            an_action_says_who_acts,
            the_texts_of_an_action_are_cleaned_and_cut,
        ]);
        $crate::conformance_area!($harness, pause: [
            a_paused_queue_gives_no_run_to_any_claimer,
            a_paused_queue_gives_no_run_whose_lease_ran_out,
            attempts_go_on_in_a_paused_queue,
            a_paused_queue_takes_runs_and_gives_them_once_it_is_resumed,
            other_queues_go_on,
            a_pause_says_who_and_why_and_the_first_one_stays,
            a_pause_names_a_queue_and_a_person,
            a_resume_wakes_waiting_workers,
            queues_are_listed_by_name_with_what_they_hold,
            a_queue_whose_runs_have_ended_is_not_listed,
            a_queue_is_counted_exactly_below_the_bound_and_at_least_to_it,
        ]);
        $crate::conformance_area!($harness, run_now: [
            a_run_that_was_due_later_is_due_now,
            a_run_that_waits_for_its_retry_is_tried_now,
            a_run_that_is_due_keeps_its_place,
            a_run_that_is_made_due_stands_behind_what_was_due_before,
            what_runs_or_has_ended_is_not_made_due,
            a_run_that_is_made_due_wakes_waiting_workers,
        ]);
        $crate::conformance_area!($harness, notes: [
            progress_and_lines_are_kept_as_they_were_given,
            the_newest_progress_stays,
            a_line_that_is_added_again_is_kept_once,
            each_claim_counts_its_lines_from_one,
            f37_only_the_newest_100_lines_are_kept,
            a_stale_token_can_not_annotate,
            a_settled_run_keeps_its_notes_and_takes_no_more,
            a_replay_starts_without_notes,
            notes_go_with_their_run,
        ]);
        $crate::conformance_area!($harness, metrics: [
            what_a_worker_reports_again_replaces_what_it_reported,
            what_many_workers_report_is_added_up,
            metrics_are_read_by_minute_and_job,
            metrics_go_once_they_are_older,
            spans_of_each_length_are_kept_and_read_apart,
        ]);
        $crate::conformance_area!($harness, email_delivery: [
            a_delivery_event_is_appended_once_for_its_id,
            of_many_deliveries_of_an_event_at_once_one_is_new,
            events_in_any_order_leave_the_same_detail,
            an_email_is_found_by_any_of_its_ids,
            a_delivery_event_proves_that_a_held_email_was_sent,
            an_event_that_is_none_is_refused,
            an_operator_says_that_an_email_was_sent,
            an_operator_says_that_an_email_was_not_sent_and_it_may_go_again,
            only_an_open_question_is_resolved,
            an_email_whose_sender_died_is_resolved_once_its_run_has_given_up,
            a_permanent_bounce_and_a_complaint_suppress_the_address,
            the_suppression_list_comes_in_pages_by_address,
        ]);
    };
}

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
            f18_what_was_staged_arrives_once_and_leaves_nothing_behind,
            a_delay_counts_from_the_staging,
            of_several_relays_at_once_each_item_is_moved_once,
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

/// Emits the model test, [`run_model_test`](crate::run_model_test), for a type that is a
/// [`Harness`](crate::Harness).
#[macro_export]
macro_rules! model_test {
    ($harness:ty) => {
        mod model {
            #[allow(unused_imports)]
            use super::*;

            #[::tokio::test(flavor = "multi_thread")]
            async fn random_operations_match_memory() {
                $crate::run_model_test::<$harness>().await;
            }
        }
    };
}
