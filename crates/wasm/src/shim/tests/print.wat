;; The frame of most tests: what stands in the middle of `_start` is put in by the test.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (table $t 1 funcref)
  (global $n (mut i32) (i32.const 0))
  (data (i32.const 64) "yes")
  (data (i32.const 80) "no luck\n")

  (func $say (param $fd i32) (param $from i32) (param $bytes i32)
    (i32.store (i32.const 0) (local.get $from))
    (i32.store (i32.const 4) (local.get $bytes))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $out (call $say (i32.const 1) (i32.const 64) (i32.const 3)))
  (func $err (call $say (i32.const 2) (i32.const 80) (i32.const 8)))

  ;; Whether there is an event.
  (func $asked (result i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.load (i32.const 8)))

  ;; As deep as it is told; for ever when told a negative number.
  (func $deep (param $levels i32)
    (if (local.get $levels)
      (then (call $deep (i32.sub (local.get $levels) (i32.const 1))))))

  (func (export "_start")
    ;; HERE
  ))
