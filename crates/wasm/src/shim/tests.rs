//! What guests try, and what comes of it: the wasm group of the escape suite. Every attempt has a
//! control that succeeds with the same program, or it would prove nothing.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::call::Class;
use super::setting::Preopen;
use super::*;
use crate::compile::translate;
use crate::package;

const PRINT: &str = include_str!("tests/print.wat");
const OPEN: &str = include_str!("tests/open.wat");
const SLEEP: &str = include_str!("tests/sleep.wat");
const HANDLER: &str = include_str!("tests/handler.wat");
const GREETER: &str = include_str!("../../../stint/src/project/template/main.wat");

/// A function of 128 MB with directories of its own.
struct Stage {
    engine: Engine,
    ready: Ready,
    channel: Arc<Channel>,
    node: Channel,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
}

impl Stage {
    fn of(wasm: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tmp", "code"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let form = package::judge("main.wasm", wasm).unwrap();
        let compiler = engine::compiler(None).unwrap();
        let artefact = dir.path().join("code.cwasm");
        fs::write(&artefact, translate(&compiler, form, wasm).unwrap()).unwrap();
        let engine = engine::shim().unwrap();
        let head = b"memory\x00128\0function_name\0f\0handler\0main.wasm\0result_bytes_max\x00100";
        let mut ready = configure(&engine, &artefact, head, b"COLOUR\0blue").unwrap();
        ready.setting.preopens = [("tmp", true), ("code", false)]
            .map(|(name, writable)| Preopen {
                host: dir.path().join(name),
                guest: format!("/{name}"),
                writable,
            })
            .into();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (channel, node) = (Arc::new(Channel::new(ours)), Channel::new(theirs));
        Self { engine, ready, channel, node, runtime, dir }
    }

    fn of_text(text: &str) -> Self {
        Self::of(&wat::parse_str(text).unwrap())
    }

    fn call(&self, event: &str) -> Answer {
        self.call_within(event, "20000")
    }

    fn call_within(&self, event: &str, milliseconds: &str) -> Answer {
        let head = format!("request-7\0task-3\x002\0key\0prod\0{milliseconds}");
        let event = bytes::Bytes::copy_from_slice(event.as_bytes());
        let invocation = Invocation::parse(head.as_bytes(), event);
        self.runtime.block_on(call(&self.engine, self.ready.parts(), &invocation, &self.channel))
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

fn text(answer: &Answer) -> String {
    match answer {
        Answer::Result(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Answer::Error { class, body } => panic!("{class:?}: {}", String::from_utf8_lossy(body)),
    }
}

fn failed(answer: &Answer) -> (Class, Value) {
    match answer {
        Answer::Error { class, body } => (*class, serde_json::from_slice(body).unwrap()),
        Answer::Result(bytes) => panic!("it worked: {bytes:?}"),
    }
}

/// The program of `print.wat` with this in its middle; `$out` prints `yes`, `$err` complains.
fn program(body: &str) -> Stage {
    Stage::of_text(&PRINT.replace(";; HERE", body))
}

#[test]
fn the_event_goes_in_and_what_is_printed_comes_out() {
    let stage = Stage::of_text(GREETER);
    assert_eq!(text(&stage.call("moon")), "hello, moon");
    assert_eq!(text(&stage.call("")), "hello, ");
    let long = "x".repeat(200);
    let (class, body) = failed(&stage.call(&long));
    assert_eq!(class, Class::Unhandled);
    assert!(body.to_string().contains("100 bytes") || body["errorType"] == "ResponseTooLarge");
}

#[test]
fn nothing_is_left_of_the_invocation_before() {
    let stage = program(
        "(global.set $n (i32.add (global.get $n) (i32.const 1)))
         (if (i32.eq (global.get $n) (i32.const 1)) (then (call $out)))",
    );
    for _ in 0..3 {
        assert_eq!(text(&stage.call("")), "yes");
    }
}

#[test]
fn an_exit_status_is_an_error_with_what_was_complained() {
    let (class, body) = failed(&program("(call $err) (call $exit (i32.const 3))").call(""));
    assert_eq!((class, &body["errorType"]), (Class::Unhandled, &"ProgramExitError".into()));
    assert_eq!(body["errorMessage"], "no luck");
    let (_, body) = failed(&program("(call $exit (i32.const 4))").call(""));
    assert_eq!(body["errorMessage"], "the program exited with status 4");
    assert_eq!(text(&program("(call $out) (call $exit (i32.const 0))").call("")), "yes");
}

#[test]
fn traps_have_names_and_a_trace() {
    let (class, body) = failed(&program("(unreachable)").call(""));
    assert_eq!((class, &body["errorType"]), (Class::Unhandled, &"UnreachableCodeReached".into()));
    assert!(body["stackTrace"][0].as_str().unwrap().contains("at 0x"), "{body}");
    let (_, body) = failed(&program("(drop (i32.div_u (i32.const 1) (global.get $n)))").call(""));
    assert_eq!(body["errorType"], "IntegerDivisionByZero");
}

#[test]
fn memory_grows_to_the_limit_and_no_further() {
    let grow = |pages: u32, otherwise: &str| {
        program(&format!(
            "(if (i32.eq (memory.grow (i32.const {pages})) (i32.const -1)) (then {otherwise}))
             (call $out)"
        ))
    };
    // 96 MiB belong to the guest, in pages of 64 KiB.
    assert_eq!(text(&grow(1_500, "unreachable").call("")), "yes", "the control");
    let (class, _) = failed(&grow(1_600, "unreachable").call(""));
    assert_eq!(class, Class::Memory);
    let (class, _) = failed(&grow(1_600, "(call $exit (i32.const 1))").call(""));
    assert_eq!(class, Class::Memory);
    assert_eq!(text(&grow(1_600, "").call("")), "yes", "a program may take no for an answer");
    let (class, _) = failed(
        &Stage::of_text(
            &PRINT.replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 2000)"),
        )
        .call(""),
    );
    assert_eq!(class, Class::Memory, "from the beginning");
}

#[test]
fn many_memories_share_the_limit() {
    let text_of = |pages: u32| {
        let more: String = (0..8).map(|_| format!("(memory {pages})")).collect();
        PRINT.replacen("(data", &format!("{more} (data"), 1).replace(";; HERE", "(call $out)")
    };
    assert_eq!(text(&Stage::of_text(&text_of(100)).call("")), "yes", "the control");
    assert_eq!(failed(&Stage::of_text(&text_of(400)).call("")).0, Class::Memory);
}

#[test]
fn a_table_grows_to_its_limit_and_no_further() {
    let grow = |elements: u32| {
        let body = format!(
            "(if (i32.ne (table.grow $t (ref.null func) (i32.const {elements})) (i32.const -1))
               (then (call $out)))"
        );
        program(&body)
    };
    assert_eq!(text(&grow(1_000).call("")), "yes", "the control");
    assert_eq!(text(&grow(1_000_000).call("")), "");
    assert_eq!(text(&grow(u32::MAX - 2).call("")), "");
}

#[test]
fn an_endless_loop_ends_at_its_time_and_the_next_call_is_served() {
    let stage = program("(if (call $asked) (then (loop $l (br $l)))) (call $out)");
    assert_eq!(text(&stage.call("")), "yes", "the control");
    for _ in 0..2 {
        assert_eq!(failed(&stage.call_within("loop", "30")).0, Class::Time);
        assert_eq!(text(&stage.call("")), "yes");
    }
}

#[test]
fn a_wait_in_the_host_ends_at_its_time() {
    let stage = Stage::of_text(SLEEP);
    assert_eq!(text(&stage.call("0")), "woke up", "the control");
    assert_eq!(failed(&stage.call_within("9", "30")).0, Class::Time);
    assert_eq!(text(&stage.call("0")), "woke up");
}

#[test]
fn endless_recursion_ends_with_the_stack() {
    let deep = |levels: &str| {
        let call = format!("(call $deep (i32.const {levels})) (call $out)");
        program(&call).call("")
    };
    assert_eq!(text(&deep("1000")), "yes", "the control");
    assert_eq!(failed(&deep("-1")).1["errorType"], "StackOverflow");
}

#[test]
fn files_outside_the_two_directories_are_out_of_reach() {
    let stage = Stage::of_text(OPEN);
    let canary = stage.path("canary");
    fs::write(&canary, "secret").unwrap();
    fs::write(stage.path("tmp/own"), "mine").unwrap();
    fs::write(stage.path("code/data"), "ours").unwrap();
    fs::create_dir(stage.path("tmp/dir")).unwrap();
    for (name, to) in
        [("out", canary.as_path()), ("up", Path::new("../canary")), ("in", Path::new("own"))]
    {
        std::os::unix::fs::symlink(to, stage.path("tmp").join(name)).unwrap();
    }
    // The first letter says the directory, the second what for.
    for good in ["3rown", "4rdata", "3rin", "3rdir/../own", "3wnew"] {
        assert_eq!(text(&stage.call(good)), "opened", "the control {good}");
    }
    assert!(stage.path("tmp/new").exists());
    for bad in [
        "3rout",
        "3rup",
        "3r../canary",
        "3rdir/../../canary",
        "3r/etc/passwd",
        "4r../canary",
        "3w../made",
        "4wmade",
        "4wdata",
        "5r.",
        "0r.",
    ] {
        let (_, body) = failed(&stage.call(bad));
        let message = body["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("the program exited with status"), "{bad}: {body}");
    }
    assert!(!stage.path("made").exists() && !stage.path("code/made").exists());
    assert_eq!(fs::read(stage.path("code/data")).unwrap(), b"ours");
}

#[test]
fn a_handler_gets_event_and_context_and_says_how_far_it_is() {
    let stage = Stage::of(&component(HANDLER, "stint:function/function"));
    assert_eq!(text(&stage.call("event")), "event");
    let frame = stage.node.read();
    assert!(frame.is_err(), "a progress frame is none that a shim reads: {frame:?}");
    let (class, body) = failed(&stage.call("!"));
    assert_eq!(class, Class::Handled);
    // It fails with its request's id as kind.
    assert_eq!(body["errorType"], "request-7");
    assert_eq!(body["errorMessage"], "!");
}

/// A component of one of our worlds, from the text of its core module.
fn component(core: &str, world: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtimes/wasm/wit");
    let (package, _) = resolve.push_path(wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut core = wat::parse_str(core).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut core, &resolve, world, encoding).unwrap();
    let encoder = wit_component::ComponentEncoder::default().validate(true);
    encoder.module(&core).unwrap().encode().unwrap()
}

#[test]
fn requests_leave_only_where_the_function_may_use_the_internet() {
    use http_body_util::{BodyExt as _, Empty};
    use std::io::{Read as _, Write as _};
    use wasmtime_wasi_http::{Error, WasiHttpHooks as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::scope(|scope| {
        let server = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 1024];
            let n = stream.read(&mut seen).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").unwrap();
            String::from_utf8_lossy(&seen[..n]).into_owned()
        });
        let send = |allowed: bool| {
            let mut outgoing = http::Outgoing::new(allowed, None);
            let body = Empty::<bytes::Bytes>::new().map_err(Error::from).boxed_unsync();
            let request = ::http::Request::get(format!("http://{address}/x")).body(body).unwrap();
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let processed = Box::new(async { Ok(()) });
            runtime.block_on(async {
                let sent = Box::into_pin(outgoing.send_request(request, None, processed)).await;
                let (response, _) = sent?;
                response.into_body().collect().await.map(|whole| whole.to_bytes())
            })
        };
        assert!(matches!(send(false), Err(Error::HttpRequestDenied)));
        assert_eq!(send(true).unwrap(), "hi", "the control");
        server.join().unwrap()
    });
    assert!(server.starts_with("GET /x HTTP/1.1"), "{server}");
}

#[test]
fn frames_make_a_whole_life() {
    let stage = Stage::of_text(GREETER);
    let Stage { engine, channel, node, runtime, dir, .. } = stage;
    std::thread::scope(|scope| {
        let artefact = dir.path().join("code.cwasm");
        let shim = scope.spawn(move || {
            let served = serve(&channel, &engine, &artefact, &runtime);
            drop(channel);
            served
        });
        let mut stream = node.into_stream();
        use std::io::{Read as _, Write as _};
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut say = |kind: u8, head: &[u8], body: &[u8]| {
            let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
            frame.extend([kind, 0]);
            frame.extend(u16::try_from(head.len()).unwrap().to_le_bytes());
            frame.extend_from_slice(head);
            frame.extend_from_slice(body);
            stream.write_all(&frame).unwrap();
            let mut header = [0; 8];
            stream.read_exact(&mut header).unwrap();
            let body = u32::from_le_bytes(header[..4].try_into().unwrap());
            let head = u16::from_le_bytes(header[6..].try_into().unwrap());
            let mut rest = vec![0; usize::from(head) + usize::try_from(body).unwrap()];
            stream.read_exact(&mut rest).unwrap();
            (header[4], rest.split_off(usize::from(head)))
        };
        assert_eq!(say(3, b"r", b"early").0, 19, "nothing runs unconfigured");
        assert_eq!(say(1, b"nonsense", b"").0, 17);
        assert_eq!(say(1, b"memory\x00128", b"").0, 16);
        assert_eq!(say(3, b"r\0\x000\0\0\x001000", b"you"), (20, b"hello, you".to_vec()));
        drop(stream);
        shim.join().unwrap().unwrap();
    });
}
