;; Opens the path the event names: first letter the number of the directory, second `r` or `w` (which
;; creates). Prints `opened`, or exits with the error's number.
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "opened")

  (func (export "_start") (local $error i32) (local $write i32)
    (i32.store (i32.const 0) (i32.const 1024))
    (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $write (i32.eq (i32.load8_u (i32.const 1025)) (i32.const 119)))
    (local.set $error
      (call $open
        (i32.sub (i32.load8_u (i32.const 1024)) (i32.const 48))
        (i32.const 1)                                     ;; follow links
        (i32.const 1026) (i32.sub (i32.load (i32.const 8)) (i32.const 2))
        (local.get $write)                                ;; O_CREAT
        (select (i64.const 66) (i64.const 2) (local.get $write)) ;; fd_write, fd_read
        (i64.const 0)
        (i32.const 0)
        (i32.const 16)))
    (if (local.get $error) (then (call $exit (local.get $error))))
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
