//! Stories of work that grows too old.

use super::script::check;
use super::transcripts::one;

#[test]
fn a_deadline_is_kept() {
    one(
        "task 1 until 10
         task 2
         plan 10
         why 1 at 10",
        "10: 2 on node 1, cold
         10: 1 expired
         1: Expired { at: @10000us }, position 0, start unknown",
    );
}

#[test]
fn what_is_released_has_the_deadline_it_got_then() {
    one(
        "function 1 paused
         task 1
         task 2 until 20
         hold 1
         hold 2
         plan 15
         until 1 at 40
         until 2
         release 1
         release 2
         plan 30
         plan 40",
        "15: wake at 20
         30: wake at 40
         40: 1 expired",
    );
}

#[test]
fn a_deadline_is_kept_wherever_the_work_waits() {
    check(
        "function 1 paused
         function 2 instances 0
         function 3
         pool 1
         pool 2 of 2
         pool 3 of 3
         lane 1
         lane 2 of 2 pool 2
         lane 3 of 3 pool 3
         node 1
         task 1 until 10
         task 2 lane 2 until 20
         task 3 lane 3 until 30
         hold 3
         task 4 lane 3 from 90 until 40
         task 5 lane 3 order 7
         task 6 lane 3 order 7 until 50
         act 0
         plan 10
         drop 1
         plan 45
         plan 45 limit 1
         plan 60",
        "0: 5 on node 1, cold
         0: wake at 10
         10: 1 expired
         10: wake at 20
         45: 2 expired
         45: 3 expired
         45: 4 expired
         45: wake at 50
         45: 2 expired
         45: wake at 45
         60: 2 expired
         60: 3 expired
         60: 4 expired
         60: 6 expired
         60: wake at 90",
    );
}
