;; Sleeps as many hours as the event's digit says, in the host.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "woke up")

  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    ;; A subscription: kind 0 (clock) at 8, clock 1 (monotonic) at 16, time-out at 24.
    (i32.store (i32.const 2064) (i32.const 1))
    (i64.store (i32.const 2072)
      (i64.mul
        (i64.extend_i32_u (i32.sub (i32.load8_u (i32.const 1024)) (i32.const 48)))
        (i64.const 3600000000000)))
    (drop (call $poll (i32.const 2048) (i32.const 3072) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 7))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
