//! Programs that poll the local runtime API, from the zip to the report.

use std::sync::Arc;

use stint_model::function::FunctionConfig;
use stint_model::time::Span;
use stint_wire::node::{Outcome, PoolSpec, StopReason, ToNode};

use crate::rig::{As, Rig, hook, is_root};

/// Does what the event says. `threads` of them poll side by side.
const POLLER: &str = r#"#!/usr/bin/python3
import http.client, json, os, sys, threading, time
BASE = '/2020-11-11/runtime/'
threads = int(os.environ.get('THREADS', '1'))
gate = threading.Barrier(2, timeout=20)
def poll():
    link = http.client.HTTPConnection(os.environ['FC_RUNTIME_API'])
    def call(method, path, body=None):
        link.request(method, BASE + path, body)
        answer = link.getresponse()
        return answer, answer.read()
    if os.environ.get('BROKEN') == 'init':
        call('POST', 'init/error', b'{"errorMessage":"no way","errorType":"Unready"}')
    while True:
        head, event = call('GET', 'invocation/next')
        assert head.status == 200
        kind, request = head.headers['x-fc-function-type'], head.headers['x-fc-request-id']
        def respond(body=b'', what='response'):
            answer, said = call('POST', 'invocation/%s/%s' % (request, what), body)
            assert answer.status == 200, said
        if kind != '0':
            hook = head.headers['x-stint-hook-handler']
            print('hook', kind, hook, flush=True)
            if hook == 'fails':
                respond(b'{"errorMessage":"not ready","errorType":"Sad"}', 'error')
            elif hook == 'hangs':
                time.sleep(60)
            else:
                respond()
            continue
        print('serving', request, flush=True)
        if event == b'headers':
            respond('\n'.join('%s: %s' % item for item in sorted(head.headers.items())).encode())
        elif event == b'fail':
            respond(b'{"errorMessage":"no luck","errorType":"Unlucky","stackTrace":[{"path":"main.go","line":7,"label":"main"}]}', 'error')
        elif event == b'panic':
            respond(b'{"errorMessage":"oh","errorType":"panic","shouldExit":true}', 'error')
            os._exit(2)
        elif event == b'quiet panic':
            respond(b'{"errorMessage":"oh","errorType":"panic"}', 'error')
            os._exit(2)
        elif event == b'exit':
            os._exit(7)
        elif event == b'hang':
            time.sleep(60)
        elif event == b'deaf':
            respond()
            time.sleep(60)
        elif event == b'gate':
            gate.wait()
            respond(b'through')
        elif event == b'progress':
            respond(b'{"permille": 250, "message": "a quarter"}', 'progress')
            respond()
        elif event == b'odd':
            statuses = [call('POST', 'invocation/nobody/response', b'')[0].status,
                        call('GET', 'elsewhere')[0].status,
                        call('POST', 'invocation/%s/progress' % request, b'{')[0].status]
            respond(json.dumps(statuses).encode())
        elif event == b'large':
            link.request('POST', BASE + 'invocation/%s/response' % request, b'x' * 3000)
            link.getresponse().read()
        else:
            respond(b'got ' + event)
for _ in range(threads - 1):
    threading.Thread(target=poll, daemon=True).start()
poll()
"#;

fn poller(rig: &Rig, adjust: impl FnOnce(&mut FunctionConfig)) -> Arc<PoolSpec> {
    let spec = rig.function_with("go1", &[("main", POLLER)], |config| {
        config.handler = "main".into();
        adjust(config);
    });
    Arc::new(spec)
}

fn env(config: &mut FunctionConfig, name: &str, value: &str) {
    config.environment.insert(name.into(), value.into());
}

async fn a_program_polls_as(who: As) {
    let rig = Rig::with(who, |_| {}).await;
    let spec = poller(&rig, |config| {
        config.initializer = hook("get-ready");
        config.pre_stop = hook("tidy-up");
    });
    let first = rig.invoke(&spec, b"hello").await;
    assert_eq!(
        (first.outcome.clone(), first.text()),
        (Outcome::Ok, "got hello".into()),
        "{first:?}"
    );
    assert!(first.measured.cold);
    assert!(first.log.contains("hook 1 get-ready\n"), "{}", first.log);
    let start = rig.start(&spec, b"headers");
    let (request_id, key) = (start.request_id.clone(), start.idempotency_key.clone());
    let lease = rig.run(start).await;
    let second = rig.finished(lease).await;
    assert_eq!(second.measured.instance, first.measured.instance);
    assert!(second.log.contains(&format!("serving {request_id}\n")), "{}", second.log);
    let headers = second.text().to_lowercase();
    let has = |line: &str| assert!(headers.lines().any(|is| is == line), "{line} in {headers}");
    for line in [
        "x-fc-function-type: 0",
        "x-fc-function-timeout: 30",
        "x-fc-function-handler: main",
        "x-fc-function-memory: 256",
        "x-fc-account-id: 1000000000000001",
        "x-fc-region: local",
        "x-fc-qualifier: latest",
        "x-fc-version-id: latest",
        "x-fc-retry-count: 0",
        "x-fc-access-key-id: ",
        "x-fc-security-token: ",
        "x-fc-service-name: ",
        "x-fc-service-logproject: ",
        "x-fc-service-logstore: ",
        "x-fc-tracing-opentracing-span-context: ",
        "x-fc-tracing-opentracing-span-baggages: e30=",
        "x-fc-tracing-jaeger-endpoint: ",
    ] {
        has(line);
    }
    has(&format!("x-fc-request-id: {request_id}"));
    has(&format!("x-stint-idempotency-key: {key}"));
    has(&format!("x-fc-function-name: {}", spec.function_name));
    let number = |name: &str| {
        let line = headers.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap().parse::<i64>().unwrap()
    };
    let until = number("x-fc-function-deadline") - second.measured.started_at.millis();
    assert!((29_000..=30_000).contains(&until), "{until} ms are left");
    rig.send(ToNode::Evict { pool: spec.pool, count: 1 }).await;
    rig.pool_is(&spec, 0).await;
    rig.log_has("", "hook 2 tidy-up\n").await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_polls_and_gets_its_context_in_headers() {
    a_program_polls_as(As::Me).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_polls_on_a_machine_without_privilege() {
    if is_root() {
        a_program_polls_as(As::Nobody).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_pass_on_as_the_program_says_them() {
    let rig = Rig::open().await;
    let spec = poller(&rig, |_| {});
    let failed = rig.invoke(&spec, b"fail").await;
    assert_eq!(failed.user_error(), ("UnhandledInvocationError", "Unlucky", "no luck"));
    let frame = serde_json::json!({ "path": "main.go", "line": 7, "label": "main" });
    assert_eq!(failed.json()["stackTrace"], serde_json::json!([frame]));
    assert!(failed.tail.ends_with("Error: Unhandled function error\n"), "{}", failed.tail);
    let next = rig.invoke(&spec, b"x").await;
    assert_eq!(next.measured.instance, failed.measured.instance, "it serves on");
    let odd = rig.invoke(&spec, b"odd").await;
    assert_eq!(odd.json(), serde_json::json!([400, 404, 400]));
    let lease = rig.run(rig.start(&spec, b"progress")).await;
    assert_eq!(rig.finished(lease).await.outcome, Outcome::Ok);
    let progress = rig.attempt(lease).progress;
    assert_eq!((progress[0].permille, progress[0].message.as_str()), (250, "a quarter"));
    for (event, expected) in [(b"exit".as_slice(), "Process exited unexpectedly"), (b"panic", "oh")]
    {
        let done = rig.invoke(&spec, event).await;
        assert!(done.user_error().2.starts_with(expected), "{done:?}");
        let next = rig.invoke(&spec, b"x").await;
        assert_eq!(next.text(), "got x");
        assert!(next.measured.cold, "after {expected} on another instance");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_after_the_answer_costs_the_next_request_nothing() {
    let rig = Rig::open().await;
    let spec = poller(&rig, |_| {});
    for _ in 0..5 {
        // The second is bound to the instance before its end is seen, or after: no matter.
        let one = rig.run(rig.start(&spec, b"quiet panic")).await;
        assert_eq!(rig.finished(one).await.user_error().2, "oh");
        let next = rig.invoke(&spec, b"x").await;
        assert_eq!((next.outcome.clone(), next.text()), (Outcome::Ok, "got x".into()), "{next:?}");
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_runs_even_for_a_program_that_does_not_poll() {
    let rig = Rig::open().await;
    let spec = poller(&rig, |config| config.timeout = Span::from_secs(1));
    let hangs = rig.invoke(&spec, b"hang").await;
    assert!(hangs.user_error().2.starts_with("Function timed out after 1 seconds"), "{hangs:?}");
    assert_eq!(rig.invoke(&spec, b"deaf").await.outcome, Outcome::Ok);
    let deaf = rig.invoke(&spec, b"x").await;
    assert!(deaf.user_error().2.starts_with("Function timed out after 1 seconds"), "{deaf:?}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_start_says_why() {
    let rig = Rig::with(As::Me, |config| config.bounds.start_timeout = Span::from_secs(2)).await;
    let broken = poller(&rig, |config| env(config, "BROKEN", "init"));
    let done = rig.invoke(&broken, b"").await;
    assert_eq!(done.user_error(), ("UnhandledInvocationError", "Unready", "no way"));
    for (handler, limit, expected) in [
        ("fails", Span::from_secs(20), "not ready"),
        ("hangs", Span::from_secs(1), "Function initialization timed out after 1 seconds"),
    ] {
        let spec = poller(&rig, |config| {
            config.initializer = hook(handler);
            config.initializer.as_mut().unwrap().timeout = limit;
        });
        let done = rig.invoke(&spec, b"").await;
        let (class, _, message) = done.user_error();
        assert_eq!(class, "InitializationError");
        assert!(message.starts_with(expected), "{message}");
    }
    let named = |files: &[(&str, &str)], handler: &str| {
        Arc::new(rig.function_with("go1", files, |config| config.handler = handler.into()))
    };
    let absent = rig.invoke(&named(&[("main", POLLER)], "absent"), b"").await;
    let Outcome::NotStarted { message } = absent.outcome else { panic!("{absent:?}") };
    assert!(message.ends_with("Error: the file /code/absent is not exist"), "{message}");
    let deaf = named(&[("main", "#!/bin/sh\necho deaf\nsleep 60")], "main");
    let silent = rig.invoke(&deaf, b"").await;
    let Outcome::NotStarted { message } = silent.outcome else { panic!("{silent:?}") };
    assert!(message.contains("did not load the code in 2 seconds. Logs: deaf"), "{message}");
    let short = rig.invoke(&named(&[("main", "#!/bin/sh\necho oops\nexit 1")], "main"), b"").await;
    assert!(short.user_error().2.starts_with("Process exited unexpectedly"), "{short:?}");
    assert!(short.log.contains("oops\n"), "{}", short.log);
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_several_polls_serves_several_requests() {
    let rig = Rig::open().await;
    let spec = poller(&rig, |config| {
        config.instance_concurrency = 2;
        env(config, "THREADS", "2");
    });
    // Both must be inside at once, or the gate does not open.
    let (a, b) = tokio::join!(rig.invoke(&spec, b"gate"), rig.invoke(&spec, b"gate"));
    assert_eq!((a.text(), b.text()), ("through".into(), "through".into()), "{a:?} {b:?}");
    assert_eq!(a.measured.instance, b.measured.instance);
    for done in [&a, &b] {
        assert_eq!(done.log.matches("serving").count(), 1, "{}", done.log);
    }
    // One that polls once at a time gets one at a time, whatever the function allows.
    let spec = poller(&rig, |config| config.instance_concurrency = 3);
    let (a, b, c) =
        tokio::join!(rig.invoke(&spec, b"1"), rig.invoke(&spec, b"2"), rig.invoke(&spec, b"3"));
    for done in [&a, &b, &c] {
        assert_eq!(done.outcome, Outcome::Ok);
        assert_eq!(done.measured.instance, a.measured.instance);
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_instance_and_what_waits_is_placed_anew() {
    let rig = Rig::open().await;
    let spec = poller(&rig, |config| {
        config.pre_stop = hook("never-polled-for");
        config.instance_concurrency = 2;
    });
    let running = rig.run(rig.start(&spec, b"hang")).await;
    rig.started(running).await;
    let waits = rig.run(rig.start(&spec, b"x")).await;
    let grace = Span::from_millis(50);
    rig.send(ToNode::Stop { lease: running, reason: StopReason::Stopped, grace }).await;
    assert_eq!(rig.finished(running).await.outcome, Outcome::Stopped(StopReason::Stopped));
    let anew = rig.finished(waits).await;
    assert_eq!((anew.outcome.clone(), anew.text()), (Outcome::Ok, "got x".into()), "{anew:?}");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_fails_and_the_program_serves_on() {
    let rig = Rig::with(As::Me, |config| config.bounds.result_bytes_max = 1_000).await;
    let spec = poller(&rig, |_| {});
    let large = rig.invoke(&spec, b"large").await;
    assert_eq!(large.user_error().1, "ResponseTooLarge");
    let next = rig.invoke(&spec, b"x").await;
    assert_eq!(next.measured.instance, large.measured.instance);
    rig.close().await;
}
