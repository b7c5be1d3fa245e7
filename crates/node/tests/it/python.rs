//! Python functions, from the zip to the report.

use std::sync::Arc;

use stint_model::function::FunctionConfig;
use stint_model::limit::{Class, Resources};
use stint_model::time::{Span, Timestamp};
use stint_wire::node::{Outcome, PoolSpec, StopReason, ToNode};

use crate::rig::{As, Finished, Rig, hook, is_root};

fn python(rig: &Rig, code: &str) -> Arc<PoolSpec> {
    Arc::new(rig.function("python3.10", &[("index.py", code)]))
}

fn python_with(rig: &Rig, code: &str, adjust: impl FnOnce(&mut FunctionConfig)) -> Arc<PoolSpec> {
    Arc::new(rig.function_with("python3.10", &[("index.py", code)], adjust))
}

async fn once(code: &str) -> Finished {
    let rig = Rig::open().await;
    let done = rig.invoke(&python(&rig, code), b"{}").await;
    rig.close().await;
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_runs_and_its_instance_is_used_again() {
    let rig = Rig::open().await;
    let spec = python(&rig, "def handler(event, context):\n    return event + b'!'");
    let first = rig.invoke(&spec, b"one").await;
    assert_eq!((first.outcome.clone(), first.text()), (Outcome::Ok, "one!".into()), "{first:?}");
    let second = rig.invoke(&spec, b"two").await;
    assert_eq!(second.text(), "two!");
    let (cold, warm) = (&first.measured, &second.measured);
    assert!(cold.cold && !warm.cold);
    assert_eq!(cold.instance, warm.instance);
    for measured in [cold, warm] {
        assert!(measured.placed_at > Timestamp::ZERO);
        assert!(measured.started_at >= measured.placed_at);
        assert!(measured.ended_at >= measured.started_at);
        assert!(measured.memory_milli_mb > 1_000, "{measured:?}");
    }
    assert!(second.log.is_empty(), "a quiet task leaves no log");
    assert!(second.tail.starts_with("FC Invoke Start RequestId: r-"));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unprivileged_node_runs_it_too() {
    if !is_root() {
        // Then every other test is this one.
        return;
    }
    let rig = Rig::with(As::Nobody, |_| {}).await;
    let spec = python(&rig, "def handler(event, context):\n    return 'fine'");
    assert_eq!(rig.invoke(&spec, b"").await.text(), "fine");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_upstreams() {
    let rig = Rig::open().await;
    let code = r"
import os, sys, json
def handler(event, context):
    e = os.environ
    return [e['FC_FUNCTION_NAME'], e['FC_REGION'], e['FC_FUNC_CODE_PATH'], e['TZ'], e['MINE'], os.getcwd(),
            sys.path[0], context.function.memory, context.service.qualifier, context.stint.task_id[:5],
            open('/tmp/x', 'w').write('y'), os.path.exists('/root'), os.access('/code/index.py', os.W_OK)]
";
    let spec = python_with(&rig, code, |config| {
        config.environment.insert("MINE".into(), "yes".into());
    });
    let done = rig.invoke(&spec, b"").await;
    let expected = serde_json::json!([
        &*spec.function_name,
        "local",
        "/code",
        "UTC",
        "yes",
        "/code",
        "/code",
        256,
        "LATEST",
        "task-",
        1,
        false,
        false
    ]);
    assert_eq!(done.json(), expected);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_look_as_upstream_says() {
    let rig = Rig::open().await;
    let raise = python(
        &rig,
        "def my_handler(event, context):\n    raise Exception('something is wrong')\nhandler = my_handler\n",
    );
    let done = rig.invoke(&raise, b"").await;
    assert_eq!(done.user_error(), ("UnhandledInvocationError", "Exception", "something is wrong"));
    assert_eq!(
        done.json(),
        serde_json::json!({
            "errorMessage": "something is wrong", "errorType": "Exception",
            "stackTrace": [["File \"/code/index.py\"", "line 2", "in my_handler",
                            "raise Exception('something is wrong')"]]
        })
    );
    assert!(done.log.contains("Traceback (most recent call last)"), "{}", done.log);
    assert!(done.tail.ends_with("Error: Unhandled function error\n"), "{}", done.tail);
    for (code, kind, message) in [
        ("import nothing_like_this", "ImportModuleError", "Unable to import module 'index'"),
        ("def handler(:", "UserCodeSyntaxError", "Syntax error in module 'index'"),
        ("x = 1", "HandlerNotFound", "Handler 'handler' is missing on module 'index'"),
    ] {
        let done = rig.invoke(&python(&rig, code), b"").await;
        let (class, got_kind, got) = done.user_error();
        assert_eq!((class, got_kind), ("UnhandledInvocationError", kind));
        assert!(got.starts_with(message), "{got}");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_kills_and_the_next_request_is_served_anew() {
    let rig = Rig::open().await;
    let code = r"
import time
def handler(event, context):
    print('before')
    if event == b'slow':
        time.sleep(60)
    return 'ok'
";
    let spec = python(&rig, code);
    let mut start = rig.start(&spec, b"slow");
    start.timeout = Span::from_secs(1);
    let lease = rig.run(start).await;
    let done = rig.finished(lease).await;
    let (class, kind, message) = done.user_error();
    assert_eq!((class, kind), ("UnhandledInvocationError", "FunctionTimeoutError"));
    assert!(
        message.starts_with("Function timed out after 1 seconds (maxMemoryUsage: "),
        "{message}"
    );
    assert!(message.ends_with("MB)"));
    assert!(done.log.contains("before\n"), "{}", done.log);
    assert!(done.log.contains("index.py\", line 6 in handler"), "the stacks: {}", done.log);
    let next = rig.invoke(&spec, b"").await;
    assert_eq!(next.text(), "ok");
    assert_ne!(next.measured.instance, done.measured.instance);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_told_from_a_lack_of_memory() {
    let done =
        once("import os\ndef handler(event, context):\n    print('bye')\n    os._exit(3)").await;
    let (class, kind, message) = done.user_error();
    assert_eq!((class, kind), ("UnhandledInvocationError", "FunctionUnhandledError"));
    assert!(
        message.starts_with("Process exited unexpectedly before completing request (duration: "),
        "{message}"
    );
    assert!(done.log.contains("bye"));
    let rig = Rig::open().await;
    let code = "def handler(event, context):\n    kept = []\n    while True:\n        kept.append(bytearray(b'x' * (8 << 20)))";
    let spec = python_with(&rig, code, |config| {
        config.size = Resources { cpu_milli: 500, memory_mb: 128 };
    });
    let done = rig.invoke(&spec, b"").await;
    let (class, kind, message) = done.user_error();
    assert_eq!(class, "UnhandledInvocationError");
    // Without control groups a limit per process may hit first, as an exception.
    assert!(["FunctionOOMError", "MemoryError"].contains(&kind), "{kind}: {message}");
    if is_root() {
        assert!(message.contains("memory limit exceeded (128MB)"), "{message}");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_initializer_runs_once_and_its_failure_is_its_own() {
    let rig = Rig::open().await;
    let code = r"
import time
seen = []
def init(context):
    print('initialising')
    seen.append(context.request_id)
def bad(context):
    raise ValueError('not today')
def slow(context):
    time.sleep(60)
def handler(event, context):
    return len(seen)
";
    let spec = python_with(&rig, code, |config| config.initializer = hook("index.init"));
    let done = rig.invoke(&spec, b"").await;
    assert_eq!(done.text(), "1");
    assert!(done.log.contains("initialising"), "{}", done.log);
    assert_eq!(rig.invoke(&spec, b"").await.text(), "1");
    let spec = python_with(&rig, code, |config| config.initializer = hook("index.bad"));
    let done = rig.invoke(&spec, b"").await;
    assert_eq!(done.user_error(), ("InitializationError", "ValueError", "not today"));
    let spec = python_with(&rig, code, |config| {
        config.initializer = hook("index.slow");
        config.initializer.as_mut().unwrap().timeout = Span::from_secs(1);
    });
    let done = rig.invoke(&spec, b"").await;
    let (class, kind, message) = done.user_error();
    assert_eq!((class, kind), ("InitializationError", "FunctionTimeoutError"));
    assert!(message.contains("timed out after 1 seconds"), "{message}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_runs_pre_stop_and_then_kills() {
    let rig = Rig::open().await;
    let code = r"
import time
def stop(context):
    print('cleaning up', context.request_id)
def handler(event, context):
    time.sleep(60)
";
    let spec = python_with(&rig, code, |config| config.pre_stop = hook("index.stop"));
    let lease = rig.run(rig.start(&spec, b"")).await;
    rig.started(lease).await;
    let stop = ToNode::Stop { lease, reason: StopReason::Stopped, grace: Span::from_secs(20) };
    rig.send(stop).await;
    let done = rig.finished(lease).await;
    assert_eq!(done.outcome, Outcome::Stopped(StopReason::Stopped));
    let request_id = format!("r-{}", lease.work);
    assert!(done.log.contains(&format!("cleaning up {request_id}")), "{:?}", done.log);
    rig.pool_is(&spec, 0).await;
    let unknown = stint_wire::node::Lease { work: 999_999, ..lease };
    rig.send(ToNode::Stop { lease: unknown, reason: StopReason::Stopped, grace: Span::ZERO }).await;
    assert_eq!(rig.finished(unknown).await.outcome, Outcome::Stopped(StopReason::Stopped));
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn output_belongs_to_its_request_and_comes_before_its_end() {
    let rig = Rig::open().await;
    let code = r"
import subprocess, sys, logging
def handler(event, context):
    text = event.decode()
    print('out', text)
    print('err', text, file=sys.stderr)
    logging.getLogger().info('told %s', text)
    subprocess.call(['/bin/echo', 'child', text])
    sys.stdout.write('no newline ' + text)
";
    let spec = python(&rig, code);
    for n in 0..5 {
        let text = format!("n{n}");
        let done = rig.invoke(&spec, text.as_bytes()).await;
        for line in ["out", "err", "told", "child", "no newline"] {
            assert!(done.log.contains(&format!("{line} {text}")), "{line}: {}", done.log);
        }
        assert_eq!(done.log.matches("FC Invoke Start").count(), 1, "{}", done.log);
        assert!(done.log.ends_with(&format!("FC Invoke End RequestId: {}\n", done_id(&done))));
        assert!(done.tail.contains(&format!("child {text}")), "{}", done.tail);
        let other = format!("n{}", n + 1);
        assert!(!done.log.contains(&other));
    }
    rig.close().await;
}

fn done_id(done: &Finished) -> &str {
    let start = done.log.lines().next().unwrap();
    start.rsplit(' ').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_output_is_cut_and_the_line_is_live_before_the_end() {
    let rig = Rig::open().await;
    let code = r"
import time
def handler(event, context):
    if event == b'flood':
        for n in range(60000):
            print('x' * 99)
        return 'done'
    print('early')
    time.sleep(60)
";
    let spec = python(&rig, code);
    let done = rig.invoke(&spec, b"flood").await;
    assert_eq!(done.text(), "done");
    assert!(done.log.len() < (1 << 20) + 500, "{}", done.log.len());
    assert!(done.log.contains("[log truncated"));
    assert!(done.tail.len() <= 4096);
    let lease = rig.run(rig.start(&spec, b"wait")).await;
    rig.log_has(&format!("r-{}", lease.work), "early\n").await;
    assert!(rig.attempt(lease).finished.is_none());
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_and_large_events_pass() {
    let rig = Rig::open().await;
    let code = r"
def handler(event, context):
    context.stint.progress(0.25, 'a quarter')
    for n in range(1000):
        context.stint.progress(n)
    context.stint.progress(1.0, 'all')
    return event
";
    let spec = python(&rig, code);
    let mut start = rig.start(&spec, b"");
    start.event = rig.blob("events/large", vec![7; 3 << 20]);
    let lease = rig.run(start).await;
    let done = rig.finished(lease).await;
    assert_eq!(done.body.len(), 3 << 20);
    let progress = rig.attempt(lease).progress;
    assert_eq!(progress.first().unwrap().message, "a quarter");
    let last = progress.last().unwrap();
    assert_eq!((last.permille, last.message.as_str()), (1000, "all"));
    assert!(progress.len() < 50, "{} reports", progress.len());
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_online_answer_comes_whole_with_its_measures_and_log_tail() {
    let rig = Rig::open().await;
    let spec = python(&rig, "def handler(event, context):\n    print('seen')\n    return event");
    let mut start = rig.start(&spec, b"hello");
    start.class = Class::Online;
    start.log_tail = true;
    let lease = rig.run(start).await;
    let finished = rig.finished(lease).await;
    assert_eq!(finished.body, "hello");
    assert!(finished.measured.instance.is_some());
    assert!(finished.tail.contains("seen"), "{}", finished.tail);
    assert!(rig.attempt(lease).head.is_none());
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_to_the_channel_ends_only_the_culprit() {
    let rig = Rig::open().await;
    let code = r"
import os
def handler(event, context):
    for fd in range(3, 400):
        try:
            os.write(fd, b'\xff' * 64)
        except OSError:
            pass
    return 'never heard'
";
    let done = rig.invoke(&python(&rig, code), b"").await;
    let (class, _, message) = done.user_error();
    assert_eq!(class, "UnhandledInvocationError");
    assert!(message.contains("cannot be read") || message.contains("at most"), "{message}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_seen_and_bad_code_is_refused_with_its_reason() {
    let rig = Rig::open().await;
    let code = "import helper\ndef handler(event, context):\n    return helper.word + open('/opt/data').read()";
    let mut spec = rig.function("python3", &[("index.py", code)]);
    spec.layers = vec![
        rig.package(&[("python/helper.py", "word = 'first '"), ("data", "one")]),
        rig.package(&[("python/helper.py", "word = 'second '"), ("data", "two")]),
    ];
    assert_eq!(rig.invoke(&Arc::new(spec), b"").await.text(), "first one");
    let mut spec = rig.function("python3", &[("index.py", code)]);
    spec.code.as_mut().unwrap().sha256 = [9; 32];
    let done = rig.invoke(&Arc::new(spec), b"").await;
    let Outcome::NotStarted { message } = &done.outcome else { panic!("{done:?}") };
    assert!(message.contains("checksum"), "{message}");
    let spec = rig.function("php7.2", &[("x", "")]);
    let done = rig.invoke(&Arc::new(spec), b"").await;
    let Outcome::NotStarted { message } = &done.outcome else { panic!("{done:?}") };
    assert!(message.contains("php7.2"), "{message}");
    rig.close().await;
}
