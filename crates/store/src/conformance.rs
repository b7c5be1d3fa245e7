//! The laws of the ports, one function each; their names read as law. A backend's tests name a way
//! to make an empty one, and the macros below, where the laws are listed once, make one test of each:
//!
//! ```text
//! async fn fresh() -> (std::sync::Arc<dyn stint_store::Store>, tempfile::TempDir) { … }
//! stint_store::store_conformance!(fresh);
//! ```

pub mod agree;
pub mod blobs;
pub mod executions;
pub mod journal;
pub mod letters;
pub mod life;
pub mod records;
pub mod shards;
pub mod tasks;

/// Runs one test on a runtime of its own.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(1).enable_all().build().expect("a runtime").block_on(test)
}

/// One `#[test]` per law of the [`Store`](crate::Store), for a backend made by `$make`: an async
/// function without arguments that gives the store and whatever must live as long as it.
#[macro_export]
macro_rules! store_conformance {
    ($make:path) => {
        $crate::conformance_rules! { $make, shards {
            a_deposed_owner_cannot_commit
            an_unopened_shard_takes_no_batch
            every_opening_raises_the_epoch
            shards_have_their_own_epochs
            the_sequence_rises_with_each_commit
            what_was_minted_is_remembered
            time_goes_on_from_what_was_seen
            an_empty_batch_commits
        }}
        $crate::conformance_rules! { $make, records {
            a_stale_batch_writes_nothing
            an_expectation_of_absence_holds_once
            versions_count_the_writes
            a_deleted_record_is_gone
            records_list_by_prefix_in_order
            listing_goes_on_after_the_cursor
            puts_of_one_batch_apply_in_order
        }}
        $crate::conformance_rules! { $make, tasks {
            a_task_reads_as_written
            a_batch_is_all_or_nothing
            a_duplicate_uid_refuses_the_batch
            a_duplicate_chosen_id_refuses_the_batch
            a_chosen_id_is_unique_within_its_function_only
            an_unknown_task_cannot_be_updated
            a_forgotten_task_frees_its_chosen_id
            chosen_ids_are_found
            open_tasks_are_those_that_have_not_ended
            a_retried_task_is_open_again
            a_task_whose_outcome_is_not_delivered_is_open
            old_tasks_are_those_that_ended
            every_filter_narrows
            paging_is_stable_while_rows_come
            a_foreign_cursor_is_refused
            a_count_is_the_length_of_the_list
            large_payloads_read_back
        }}
        $crate::conformance_rules! { $make, letters {
            a_letter_waits_until_it_is_applied
            an_applied_letter_is_refused_twice
            a_letter_sent_twice_waits_once
            an_applied_letter_sent_again_stays_applied
            a_letter_to_oneself_applies_in_its_own_batch
            letters_come_in_the_order_they_were_sent
            a_refused_batch_sends_nothing
            a_letter_wakes_its_receiver
            an_opened_shard_is_told_of_waiting_letters
        }}
        $crate::conformance_rules! { $make, executions {
            an_execution_reads_as_written
            a_duplicate_execution_refuses_the_batch
            a_name_is_unique_in_its_list_only
            an_unknown_execution_cannot_be_changed
            a_document_is_open_until_it_is_not
            history_is_read_from_any_event_in_both_directions
            history_is_never_rewritten
            executions_are_listed_by_condition
            paging_executions_is_stable
            a_forgotten_execution_leaves_nothing
            an_ended_execution_grows_old
            execution_ids_count_as_minted
        }}
        $crate::conformance_rules! { $make, agree {
            random_batches_agree_with_the_specification
        }}
    };
}

/// One `#[test]` per law of the [`Journal`](crate::Journal).
#[macro_export]
macro_rules! journal_conformance {
    ($make:path) => {
        $crate::conformance_rules! { $make, journal {
            pieces_come_back_in_order
            a_stream_holds_only_its_own
            a_range_is_bounded_by_time_and_number
            retention_drops_the_oldest_in_steps
            the_groups_below_a_name_are_read_together
            nothing_appended_is_nothing_read
        }}
    };
}

/// One `#[test]` per law of [`Blobs`](crate::Blobs).
#[macro_export]
macro_rules! blobs_conformance {
    ($make:path) => {
        $crate::conformance_rules! { $make, blobs {
            a_blob_reads_as_written
            a_second_put_replaces
            a_deleted_blob_is_missing
            bad_names_are_refused
            blobs_list_by_prefix_in_order
        }}
    };
}

/// The plumbing of the macros above.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_rules {
    ($make:path, $laws:ident { $($rule:ident)* }) => {
        $(
            #[test]
            fn $rule() {
                $crate::conformance::run(async {
                    let (port, _keep) = $make().await;
                    $crate::conformance::$laws::$rule(&*port).await;
                });
            }
        )*
    };
}
