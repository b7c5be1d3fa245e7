;; A WASI program: the event is on standard input, what it prints is the result. This one greets
;; and gives the event back.
;;
;; You will hardly write yours by hand. Any language that compiles to WASI does; put the result
;; into code/main.wasm:
;;   C     clang --target=wasm32-wasi -O2 -o code/main.wasm main.c
;;   Rust  cargo build --release --target wasm32-wasip1
;;   WAT   wasm-tools parse main.wat -o code/main.wasm
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; 0: an iovec. 8: how much was read or written. 16: greetings. 1024: the buffer.
  (data (i32.const 16) "hello, ")
  (data (i32.const 32) "working on an event\n")

  (func $say (param $fd i32) (param $from i32) (param $bytes i32)
    (i32.store (i32.const 0) (local.get $from))
    (i32.store (i32.const 4) (local.get $bytes))
    (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func (export "_start")
    (call $say (i32.const 2) (i32.const 32) (i32.const 20))
    (call $say (i32.const 1) (i32.const 16) (i32.const 7))
    (loop $more
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 65536))
      (br_if 1 (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br_if 1 (i32.eqz (i32.load (i32.const 8))))
      (call $say (i32.const 1) (i32.const 1024) (i32.load (i32.const 8)))
      (br $more))))
