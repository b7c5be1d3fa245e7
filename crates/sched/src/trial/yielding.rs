//! Transcripts of who yields: for a GPU, and for online work that lacks processor.

use super::script::check;
use super::transcripts::one;

// GPUs.

#[test]
fn a_gpu_is_waited_for_and_idle_ones_make_way() {
    one(
        "gpus 1 with 16384
         function 2
         pool 2 of 2
         lane 2 of 2 pool 2
         needs 1 gpu 8192
         needs 2 gpu 16384
         task 1
         task 2
         task 3
         act 0
         why 3 at 0
         report 1 pool 1 live 2
         end 1 at 5
         end 2 at 5
         lease 3 at 5
         end 3 at 6
         task 9 lane 2
         act 7",
        "0: 1 on node 1, cold
         0: 2 on node 1, cold
         0: 1 of 1 wait: GpuFull { need: GpuNeed { kind: Tesla1, memory_mb: 8192 } }
         3: GpuFull { need: GpuNeed { kind: Tesla1, memory_mb: 8192 } }, position 1, start 0
         7: evict 2 of pool 1 on node 1
         7: 9 on node 1, cold",
    );
}

#[test]
fn a_gpu_that_no_node_has_is_said() {
    one(
        "gpus 1 with 16384
         needs 1 gpu 8192 ada
         task 1
         why 1 at 0",
        "1: NoGpu { kind: Ada1 }, position 1, start unknown",
    );
}

// Who stands still.

#[test]
fn online_work_takes_the_processor_and_batch_goes_on_when_there_is_room() {
    check(
        "account 1
         function 1
         pool 1 size 1000/1024
         lane 1
         function 2
         pool 2 of 2 size 1000/1024
         lane 2 of 2 pool 2
         node 1 with 2000/8192
         task 1
         task 2
         act 0
         report 1 pool 1 live 2
         call 9 lane 2
         act 100
         report 1 pool 2 live 1
         end 9 at 200
         plan 200
         act 10100
         report 1 pool 2 live 0
         plan 10100",
        "0: 1 on node 1, cold
         0: 2 on node 1, cold
         100: 9 on node 1, cold
         100: suspend 2
         100: wake at 1100
         200: wake at 1100
         10100: evict 1 of pool 2 on node 1
         10100: 2 goes on
         10100: nothing",
    );
}

#[test]
fn who_stood_still_for_too_long_runs_again_elsewhere() {
    check(
        "account 1
         function 1
         pool 1 size 1000/1024
         lane 1
         function 2
         pool 2 of 2 size 1000/1024
         lane 2 of 2 pool 2
         node 1 with 1000/8192
         task 1
         act 0
         report 1 pool 1 live 1
         call 9 lane 2
         act 100
         report 1 pool 2 live 1
         plan 60099
         plan 60100",
        "0: 1 on node 1, cold
         100: 9 on node 1, cold
         100: suspend 1
         100: wake at 1100
         60099: wake at 60100
         60100: take back 1",
    );
}
