//! Stories, by question.

use super::script::check;

const ONE: &str = "
    function 1
    pool 1
    lane 1
    node 1
";

pub(super) fn one(script: &str, expected: &str) {
    check(&std::format!("{ONE}{script}"), expected);
}

// Who is next.

#[test]
fn first_come_first_served_by_eligible_time_then_number() {
    one(
        "task 12
         task 11
         task 10 from 50
         plan 0
         plan 60",
        "0: 11 on node 1, cold
         0: 12 on node 1, cold
         0: wake at 50
         60: 11 on node 1, cold
         60: 12 on node 1, cold
         60: 10 on node 1, cold",
    );
}

#[test]
fn higher_classes_go_first() {
    one(
        "task 1 priority 0
         task 2 priority 9
         task 3
         plan 0",
        "0: 2 on node 1, cold
         0: 3 on node 1, cold
         0: 1 on node 1, cold",
    );
}

#[test]
fn waiting_raises_a_class_a_minute() {
    one(
        "task 1 priority 3
         task 2 priority 4 from 30000
         plan 59000 limit 1
         plan 60000 limit 1",
        "59000: 2 on node 1, cold
         59000: wake at 59000
         60000: 1 on node 1, cold
         60000: wake at 60000",
    );
}

#[test]
fn an_order_key_goes_one_at_a_time() {
    one(
        "task 1 order 7
         task 2 order 7
         task 3 order 8
         act 0
         plan 1
         end 1 at 10
         plan 10",
        "0: 1 on node 1, cold
         0: 3 on node 1, cold
         1: nothing
         10: 2 on node 1, cold",
    );
}

#[test]
fn a_retry_blocks_its_order_key() {
    one(
        "task 1 order 7
         task 2 order 7
         act 0
         end 1 at 10
         task 1 order 7 from 100
         plan 10
         why 2 at 10
         plan 100",
        "0: 1 on node 1, cold
         10: wake at 100
         2: OrderKeyBusy { by: Work(1) }, position 0, start unknown
         100: 1 on node 1, cold",
    );
}

#[test]
fn held_work_waits_and_blocks_its_key_only() {
    one(
        "task 1 order 7
         task 2 order 7
         task 3
         hold 1
         why 1 at 0
         why 2 at 0
         act 0
         backlog 1
         release 1
         plan 1",
        "1: HeldByDependency, position 0, start unknown
         2: OrderKeyBusy { by: Work(1) }, position 0, start unknown
         0: 3 on node 1, cold
         waiting 2 online 0 batch 0 held 1 delayed 0 ordered 1 running 1
         1: 1 on node 1, cold",
    );
}

#[test]
fn accounts_take_turns_whatever_they_queue() {
    check(
        "function 1 of 1
         pool 1 of 1
         lane 1 of 1 pool 1
         function 2 of 2
         pool 2 of 2
         lane 2 of 2 pool 2
         node 1
         task 10 lane 1
         task 11 lane 1
         task 12 lane 1
         task 13 lane 1
         task 20 lane 2
         task 21 lane 2
         plan 0",
        "0: 10 on node 1, cold
         0: 20 on node 1, cold
         0: 11 on node 1, cold
         0: 21 on node 1, cold
         0: 12 on node 1, cold
         0: 13 on node 1, cold",
    );
}

#[test]
fn weight_two_gets_two_turns() {
    check(
        "account 2 weight 2
         function 1 of 1
         pool 1 of 1
         lane 1 of 1 pool 1
         function 2 of 2
         pool 2 of 2
         lane 2 of 2 pool 2
         node 1
         task 10 lane 1
         task 11 lane 1
         task 20 lane 2
         task 21 lane 2
         task 22 lane 2
         task 23 lane 2
         plan 0",
        "0: 10 on node 1, cold
         0: 20 on node 1, cold
         0: 21 on node 1, cold
         0: 11 on node 1, cold
         0: 22 on node 1, cold
         0: 23 on node 1, cold",
    );
}

#[test]
fn shares_are_of_time_used_not_of_counts() {
    check(
        "function 1 of 1 concurrency 1
         pool 1 of 1
         lane 1 of 1 pool 1
         function 2 of 2
         pool 2 of 2
         lane 2 of 2 pool 2
         node 1 with 1000/1024
         task 10 lane 1
         task 11 lane 1
         task 20 lane 2
         task 21 lane 2
         task 22 lane 2
         act 0
         report 1 pool 1 live 1
         end 10 at 1000 cpu 1000
         act 1000
         report 1 pool 2 live 1
         end 20 at 1100 cpu 100
         act 1100
         end 21 at 1200 cpu 100
         plan 1200",
        "0: 10 on node 1, cold
         0: 3 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         0: 1 of 1 wait: FunctionConcurrency { limit: 1 }
         1000: evict 1 of pool 1 on node 1
         1000: 20 on node 1, cold
         1000: 2 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         1000: 1 of 1 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         1100: 21 on node 1
         1100: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         1100: 1 of 1 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         1200: 22 on node 1
         1200: 1 of 1 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }",
    );
}

// Who may start.

#[test]
fn limits_hold_and_are_named() {
    one(
        "function 1 concurrency 1
         task 1
         task 2
         act 0
         plan 1
         why 2 at 1
         end 1 at 5
         plan 5",
        "0: 1 on node 1, cold
         0: 1 of 1 wait: FunctionConcurrency { limit: 1 }
         1: nothing
         2: FunctionConcurrency { limit: 1 }, position 1, start unknown
         5: 2 on node 1, cold",
    );
}

#[test]
fn an_account_limit_spans_its_functions() {
    check(
        "account 1 concurrency 1
         function 1
         pool 1
         lane 1
         function 2
         pool 2 of 2
         lane 2 of 2 pool 2
         node 1
         task 1
         task 2 lane 2
         act 0
         why 2 at 0",
        "0: 1 on node 1, cold
         2: AccountConcurrency { limit: 1 }, position 1, start unknown",
    );
}

#[test]
fn a_rate_says_when() {
    one(
        "function 1 rate 10/2
         task 1
         task 2
         task 3
         act 0
         why 3 at 1
         plan 99
         plan 100",
        "0: 1 on node 1, cold
         0: 2 on node 1, cold
         0: 1 of 1 wait: FunctionRate { next_at: @100000us }
         0: wake at 100
         3: FunctionRate { next_at: @100000us }, position 1, start 100
         99: wake at 100
         100: 3 on node 1, cold",
    );
}

#[test]
fn limits_of_keys_change_for_what_waits_and_runs() {
    one(
        "key 5 of 1 concurrency 1
         task 1 key 5
         task 2 key 5
         act 0
         plan 1
         keys 1
         act 2
         keys 1 concurrency 2
         task 3 key 5
         why 3 at 3",
        "0: 1 on node 1, cold
         0: 1 of 1 wait: KeyConcurrency { limit: 1 }
         1: nothing
         2: 2 on node 1, cold
         3: KeyConcurrency { limit: 2 }, position 1, start 5",
    );
}

#[test]
fn a_key_at_its_limit_hides_nobody() {
    one(
        "key 7 concurrency 1
         task 1 key 7
         task 2 key 7
         task 3 key 8
         task 4
         act 0
         why 2 at 0
         end 1 at 5
         plan 5",
        "0: 1 on node 1, cold
         0: 3 on node 1, cold
         0: 4 on node 1, cold
         0: 1 of 1 wait: KeyConcurrency { limit: 1 }
         2: KeyConcurrency { limit: 1 }, position 1, start 0
         5: 2 on node 1, cold",
    );
}

#[test]
fn a_paused_backlog_stands_still() {
    one(
        "function 1 paused
         task 1
         plan 0
         why 1 at 0
         function 1
         plan 0",
        "0: nothing
         1: Paused, position 1, start unknown
         0: 1 on node 1, cold",
    );
}

// Where.

#[test]
fn warm_before_cold_and_the_fullest_first() {
    check(
        "function 1
         pool 1 slots 4
         lane 1
         node 1
         node 2
         report 2 pool 1 live 1
         task 1
         task 2
         act 0
         report 1 pool 1 live 1
         task 3
         plan 1",
        "0: 1 on node 2
         0: 2 on node 2
         1: 3 on node 2",
    );
}

#[test]
fn the_tightest_node_is_taken() {
    one(
        "node 1 with 8000/8192
         node 2 with 2000/2048
         task 1
         plan 0",
        "0: 1 on node 2, cold",
    );
}

#[test]
fn a_starting_instance_is_not_started_twice() {
    one(
        "pool 1 slots 2
         task 1
         task 2
         task 3
         plan 0
         lease 1 on 1
         report 1 pool 1 starting 1
         plan 0",
        "0: 1 on node 1, cold
         0: 2 on node 1
         0: 3 on node 1, cold
         0: 2 on node 1
         0: 3 on node 1, cold",
    );
}

#[test]
fn what_does_not_fit_says_why() {
    one(
        "pool 1 size 4000/500
         away 1
         task 1
         why 1 at 0
         node 1 with 2000/2048
         why 1 at 0
         node 1 with 4000/4096
         function 2 of 2
         pool 2 of 2 size 1000/1024
         lane 2 of 2 pool 2
         task 2 lane 2
         lease 2 on 1
         why 1 at 0",
        "1: NoNode, position 1, start unknown
1: TooBigForAnyNode { size: Resources { cpu_milli: 4000, memory_mb: 500 } }, position 1, start unknown
1: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 0 } }, position 1, start unknown",
    );
}

#[test]
fn a_used_up_budget_shuts_an_account_until_it_begins_anew() {
    one(
        "function 2 of 2
         pool 2 of 2
         lane 2 of 2 pool 2
         budget 1 until 500
         task 1
         task 2 lane 2
         plan 0
         why 1 at 0
         plan 500
         budget 1 until 900
         why 1 at 500
         budget 1
         plan 600",
        "0: 2 on node 1, cold
         0: wake at 500
1: AccountBudget { until: @500000us }, position 1, start 500
         500: 1 on node 1, cold
         500: 2 on node 1, cold
1: AccountBudget { until: @900000us }, position 1, start 900
         600: 1 on node 1, cold
         600: 2 on node 1, cold",
    );
}

// How many instances.

#[test]
fn a_function_has_its_most_instances() {
    one(
        "function 1 instances 2
         pool 1 slots 2
         task 1
         task 2
         task 3
         task 4
         task 5
         act 0
         why 5 at 0",
        "0: 1 on node 1, cold
         0: 2 on node 1
         0: 3 on node 1, cold
         0: 4 on node 1
         0: 1 of 1 wait: InstancesMax { limit: 2 }
         5: InstancesMax { limit: 2 }, position 1, start 0",
    );
}

#[test]
fn a_new_revision_takes_the_place_of_an_idle_old_one() {
    one(
        "function 1 instances 1
         report 1 pool 1 live 1
         pool 2
         lane 1 pool 2
         task 1
         plan 0",
        "0: evict 1 of pool 1 on node 1
         0: 1 on node 1, cold",
    );
}

#[test]
fn online_evicts_the_idle_then_takes_back() {
    check(
        "function 1
         pool 1 size 1000/1024
         lane 1
         function 2
         pool 2 of 2 size 2000/2048
         lane 2 of 2 pool 2
         node 1 with 3000/3072
         task 1
         task 2
         act 0
         report 1 pool 1 live 3
         call 9 lane 2
         plan 1
         end 2 at 5
         plan 5",
        "0: 1 on node 1, cold
         0: 2 on node 1, cold
         1: take back 2
         1: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         5: evict 2 of pool 1 on node 1
         5: 9 on node 1, cold",
    );
}

#[test]
fn a_functions_own_limit_ends_nothing_that_runs() {
    one(
        "function 1 instances 1
         task 1
         act 0
         report 1 pool 1 live 1
         call 9
         plan 1
         end 1 at 2
         task 1
         plan 2",
        "0: 1 on node 1, cold
         1: 1 of 1 wait: InstancesMax { limit: 1 }
         2: 9 on node 1
         2: 1 of 1 wait: InstancesMax { limit: 1 }",
    );
}

#[test]
fn who_waited_long_gets_a_node_kept_clear() {
    check(
        "function 1 of 1
         pool 1 of 1 size 2000/2048
         lane 1 of 1 pool 1
         function 2 of 2
         pool 2 of 2 size 1000/1024
         lane 2 of 2 pool 2
         node 1 with 2000/2048
         task 20 lane 2
         lease 20 on 1
         report 1 pool 2 live 1
         task 10 lane 1
         task 21 lane 2
         plan 1
         plan 10000",
        "1: 21 on node 1, cold
         1: 1 of 1 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         10000: 1 of 1 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }
         10000: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 1024 } }",
    );
}

#[test]
fn a_pool_that_is_never_idle_makes_way_for_its_sibling() {
    one(
        "function 1 instances 1
         pool 1 slots 2
         pool 2 slots 2
         lane 2 pool 2
         report 1 pool 1 live 1
         task 1
         lease 1 on 1
         task 2 lane 2
         task 8
         plan 9999
         plan 10000
         lease 8 on 1 at 10000
         end 1 at 10001
         task 9
         plan 10001
         end 8 at 10002
         plan 10002",
        "9999: 8 on node 1
         9999: 1 of 1 wait: InstancesMax { limit: 1 }
         10000: 2 of 1 wait: InstancesMax { limit: 1 }
         10000: 2 of 1 wait: InstancesMax { limit: 1 }
         10001: 2 of 1 wait: InstancesMax { limit: 1 }
         10001: 2 of 1 wait: InstancesMax { limit: 1 }
         10002: evict 1 of pool 1 on node 1
         10002: 2 on node 1, cold
         10002: 1 of 1 wait: InstancesMax { limit: 1 }",
    );
}

// Totality.

#[test]
fn unknown_things_are_ignored() {
    check(
        "task 1 lane 9
         lease 1 on 3
         end 1
         hold 1
         release 1
         drop 1
         away 3
         report 3 pool 4 live 1
         pool 1
         lane 1
         gone function 5
         plan 0
         why 1 at 0",
        "0: nothing
         1 does not wait",
    );
}

#[test]
fn a_deleted_function_is_forgotten_when_nothing_of_it_is_left() {
    one(
        "task 1
         task 2
         act 0 limit 1
         gone function 1
         plan 1
         why 2 at 1
         drop 2
         end 1 at 2
         task 3
         why 3 at 2",
        "0: 1 on node 1, cold
         0: wake at 0
         1: nothing
         2: FunctionGone, position 1, start unknown
         3 does not wait",
    );
}

// What is kept.

#[test]
fn a_pool_has_what_it_keeps_before_work_that_can_wait() {
    one(
        "node 1 with 3000/4096
         keep 1 count 2
         function 2
         pool 2 of 2
         lane 2 of 2 pool 2
         task 1 lane 2
         task 2 lane 2
         plan 0
         kept 1 count 2
         plan 0
         report 1 pool 1 live 2
         call 9
         plan 0",
        "0: keep 2 of pool 1 on node 1
         0: 1 on node 1, cold
         0: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 0 } }
         0: 1 on node 1, cold
         0: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 0 } }
         0: 9 on node 1
         0: 1 on node 1, cold
         0: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 0 } }",
    );
}

#[test]
fn kept_instances_do_not_make_way_and_those_above_do() {
    one(
        "node 1 with 3000/4096
         report 1 pool 1 live 3
         keep 1 count 2
         function 2
         pool 2 of 2
         lane 2 of 2 pool 2
         call 1 lane 2
         call 2 lane 2
         plan 0",
        "0: evict 1 of pool 1 on node 1
         0: 1 on node 1, cold
         0: 1 of 2 wait: NodeFull { missing: Resources { cpu_milli: 1000, memory_mb: 0 } }",
    );
}

#[test]
fn what_was_asked_for_is_asked_for_again_later() {
    one(
        "keep 1 count 1
         hold_keep 1 until 500
         plan 0
         plan 500",
        "0: wake at 500
         500: keep 1 of pool 1 on node 1",
    );
}

#[test]
fn only_kept_instances_serve_where_there_are_no_others() {
    one(
        "pool 1 kept-only
         keep 1 count 1
         report 1 pool 1 live 1
         task 1
         task 2
         act 0
         why 2 at 0",
        "0: 1 on node 1
         0: 1 of 1 wait: OnlyKept { kept: 1 }
         2: OnlyKept { kept: 1 }, position 1, start unknown",
    );
}

// An account's instances.

#[test]
fn an_account_has_its_most_instances_and_idle_ones_make_way() {
    one(
        "account 1 instances 2
         function 2
         pool 2 of 2
         lane 2 of 2 pool 2
         report 1 pool 2 live 1
         task 1
         task 2
         task 3
         act 0
         why 3 at 0",
        "0: evict 1 of pool 2 on node 1
         0: 1 on node 1, cold
         0: 2 on node 1, cold
         0: 1 of 1 wait: AccountInstances { limit: 2 }
         3: AccountInstances { limit: 2 }, position 1, start 0",
    );
}

#[test]
fn instances_elsewhere_count_too() {
    one(
        "account 1 instances 3
         elsewhere 1 instances 2
         task 1
         task 2
         act 0
         elsewhere 1
         plan 0",
        "0: 1 on node 1, cold
         0: 1 of 1 wait: AccountInstances { limit: 3 }
         0: 2 on node 1, cold",
    );
}
