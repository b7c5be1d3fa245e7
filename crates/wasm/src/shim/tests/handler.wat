;; A handler by hand: gives the event back and reports progress; fails for an event that is `!`, with
;; its request's id as kind.
(module
  (import "stint:function/platform@0.1.0" "progress"
    (func $progress (param i32 i32 i32 i32)))
  (import "stint:function/platform@0.1.0" "log" (func $log (param i32 i32)))
  (memory (export "memory") 2)
  (global $next (mut i32) (i32.const 4096))
  (data (i32.const 64) "half")

  ;; Strings and lists come in here.
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
    (global.set $next (i32.add (local.get $at) (local.get 3)))
    (local.get $at))

  ;; One pointer to all parameters: the event at 0, the context's request id at 8.
  (func (export "stint:function/handler@0.1.0#handle") (param $in i32) (result i32)
    (local $event i32) (local $bytes i32)
    (local.set $event (i32.load (local.get $in)))
    (local.set $bytes (i32.load (i32.add (local.get $in) (i32.const 4))))
    (call $log (i32.const 64) (i32.const 4))
    (call $progress (i32.const 1) (i32.const 500) (i32.const 64) (i32.const 4))
    (if (i32.and (i32.eq (local.get $bytes) (i32.const 1))
                 (i32.eq (i32.load8_u (local.get $event)) (i32.const 33)))
      (then
        (i32.store8 (i32.const 128) (i32.const 1))
        (i32.store (i32.const 132) (i32.load (i32.add (local.get $in) (i32.const 8))))
        (i32.store (i32.const 136) (i32.load (i32.add (local.get $in) (i32.const 12))))
        (i32.store (i32.const 140) (local.get $event))
        (i32.store (i32.const 144) (local.get $bytes))
        (i32.store (i32.const 148) (i32.const 0))
        (i32.store (i32.const 152) (i32.const 0))
        (i32.store8 (i32.const 156) (i32.const 1))
        (return (i32.const 128))))
    (i32.store8 (i32.const 128) (i32.const 0))
    (i32.store (i32.const 132) (local.get $event))
    (i32.store (i32.const 136) (local.get $bytes))
    (i32.const 128)))
