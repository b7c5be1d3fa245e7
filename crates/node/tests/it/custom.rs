//! Custom runtimes: the user's own HTTP server (here Python's) in the sandbox.

use std::sync::Arc;

use stint_model::function::{FunctionConfig, HealthCheck};
use stint_model::limit::Class;
use stint_model::time::Span;
use stint_wire::node::{Outcome, PoolSpec, StopReason, ToNode};

use crate::rig::{Rig, custom, hook};

const SERVER: &str = r#"#!/usr/bin/python3
import os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
gate = threading.Barrier(2, timeout=20)
healthy = True
class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args):
        pass
    def reply(self, body, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace('_', '-'), value)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        print('GET', self.path, self.headers.get('x-fc-control-path'), flush=True)
        self.reply(b'', 200 if healthy else 500)
    def do_POST(self):
        global healthy
        event = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        request = self.headers['x-fc-request-id']
        if self.path == '/initialize':
            print('initialize', request, flush=True)
            return self.reply(b'')
        if event == b'gate':
            gate.wait()
        elif event == b'fail':
            return self.reply(b'{"errorMessage":"no luck","errorType":"Unlucky"}', 200, x_fc_status='404')
        elif event == b'500':
            return self.reply(b'status alone is no error', 500)
        elif event == b'exit':
            os._exit(7)
        elif event == b'hang':
            time.sleep(60)
        elif event == b'break':
            return self.connection.shutdown(2)
        elif event == b'headers':
            return self.reply('\n'.join('%s: %s' % item for item in sorted(self.headers.items())).encode())
        elif event == b'ill':
            healthy = False
        print('serving', request, flush=True)
        self.reply(b'got ' + event, 201, x_mine='yes')
ThreadingHTTPServer(('0.0.0.0', int(os.environ['FC_CUSTOM_LISTEN_PORT'])), Handler).serve_forever()
"#;

fn server(rig: &Rig, adjust: impl FnOnce(&mut FunctionConfig)) -> Arc<PoolSpec> {
    Arc::new(rig.function_with("custom.debian12", &[("bootstrap", SERVER)], adjust))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_serves_with_the_context_in_headers() {
    let rig = Rig::open().await;
    let spec = server(&rig, |config| {
        config.initializer = hook("x");
        config.pre_stop = hook("x");
    });
    let first = rig.invoke(&spec, b"hello").await;
    assert_eq!(
        (first.outcome.clone(), first.text()),
        (Outcome::Ok, "got hello".into()),
        "{first:?}"
    );
    assert!(first.measured.cold);
    assert!(first.log.contains("initialize r-"), "{}", first.log);
    assert!(first.log.contains("serving r-"), "{}", first.log);
    let second = rig.invoke(&spec, b"headers").await;
    assert_eq!(second.measured.instance, first.measured.instance);
    let headers = second.text().to_lowercase();
    for line in [
        "x-fc-control-path: /invoke",
        "x-fc-function-memory: 256",
        "x-fc-account-id: 1000000000000001",
        "content-type: application/octet-stream",
        "x-fc-async-task-id: task-",
        "x-fc-retry-count: 0",
        "x-fc-region: local",
        "x-stint-idempotency-key: key-",
    ] {
        assert!(headers.contains(line), "{line} in {headers}");
    }
    assert_eq!(rig.invoke(&spec, b"500").await.outcome, Outcome::Ok);
    let failed = rig.invoke(&spec, b"fail").await;
    assert_eq!(failed.user_error(), ("InvocationError", "Unlucky", "no luck"));
    assert_eq!(failed.text(), r#"{"errorMessage":"no luck","errorType":"Unlucky"}"#);
    rig.send(ToNode::Evict { pool: spec.pool, count: 1 }).await;
    rig.pool_is(&spec, 0).await;
    rig.log_has("", "GET /pre-stop /pre-stop").await;
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_share_an_instance_up_to_its_concurrency() {
    let rig = Rig::open().await;
    let spec = server(&rig, |config| config.instance_concurrency = 2);
    // Both must be inside at once, or the gate does not open.
    let (a, b) = tokio::join!(rig.invoke(&spec, b"gate"), rig.invoke(&spec, b"gate"));
    assert_eq!((a.outcome.clone(), b.outcome.clone()), (Outcome::Ok, Outcome::Ok), "{a:?} {b:?}");
    assert_eq!(a.measured.instance, b.measured.instance);
    // A line with a request's id belongs to that request, even when two run.
    for done in [&a, &b] {
        assert_eq!(done.log.matches("serving").count(), 1, "{}", done.log);
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_or_a_crash_takes_the_neighbours_along_uncharged() {
    let rig = Rig::open().await;
    let spec = server(&rig, |config| config.instance_concurrency = 2);
    let (one, two) = (rig.start(&spec, b"hang"), rig.start(&spec, b"hang"));
    let (one, two) = (rig.run(one).await, rig.run(two).await);
    rig.started(one).await;
    rig.started(two).await;
    rig.send(ToNode::Stop { lease: one, reason: StopReason::Stopped, grace: Span::ZERO }).await;
    assert_eq!(rig.finished(one).await.outcome, Outcome::Stopped(StopReason::Stopped));
    assert!(matches!(rig.finished(two).await.outcome, Outcome::SystemError { .. }));
    let done = rig.invoke(&spec, b"exit").await;
    assert_eq!(done.user_error().0, "UnhandledInvocationError");
    assert!(done.user_error().2.starts_with("Process exited unexpectedly"), "{done:?}");
    let done = rig.invoke(&spec, b"break").await;
    assert_eq!(done.user_error().0, "UnhandledInvocationError");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_online_answer_streams_status_and_headers() {
    let rig = Rig::open().await;
    let spec = server(&rig, |_| {});
    let mut start = rig.start(&spec, b"hello");
    start.class = Class::Online;
    let lease = rig.run(start).await;
    assert_eq!(rig.finished(lease).await.outcome, Outcome::Ok);
    let attempt = rig.attempt(lease);
    let head = attempt.head.unwrap();
    assert_eq!(head.status, 201);
    assert!(head.headers.contains(&("x-mine".to_owned(), "yes".to_owned())), "{head:?}");
    assert_eq!(attempt.chunks, b"got hello");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_failures_have_upstreams_texts() {
    let rig = Rig::with(crate::rig::As::Me, |config| {
        config.bounds.start_timeout = Span::from_secs(2);
    })
    .await;
    let nothing = rig.function("custom", &[("readme", "nothing to start")]);
    let deaf = rig.function("custom", &[("bootstrap", "#!/bin/sh\necho deaf\nexec sleep 60")]);
    let short = rig.function("custom", &[("bootstrap", "#!/bin/sh\necho oops\nexit 1")]);
    let closed = rig.function("custom", &[("bootstrap", "not executable")]);
    let absent = rig.function_with("custom", &[("x", "")], |config| {
        config.custom_runtime = custom(&["/code/absent"], 0);
    });
    let ill = rig.function_with(
        "custom",
        &[("bootstrap", SERVER.replace("healthy = True", "healthy = False").as_str())],
        |config| {
            let mut runtime = custom(&[], 8123).unwrap();
            runtime.health_check = Some(HealthCheck {
                path: "/health".into(),
                initial_delay: Span::ZERO,
                period: Span::from_millis(20),
                timeout: Span::from_secs(1),
                failure_threshold: 2,
                success_threshold: 1,
            });
            config.custom_runtime = Some(runtime);
        },
    );
    for (spec, expected) in [
        (
            nothing,
            "The function cannot be started. Failed to start function instance. Error: the file /code/bootstrap is not exist",
        ),
        (deaf, "Function instance health check failed on port 9000 in 2 seconds. Logs: deaf"),
        (
            short,
            "Function instance exited unexpectedly(code 1, message:exit status) with start command '/code/bootstrap'. Logs: oops",
        ),
        (
            closed,
            "Function instance exited unexpectedly(code 13, message:permission denied) with start command '/code/bootstrap'. Logs: ",
        ),
        (
            absent,
            "Function instance exited unexpectedly(code 2, message:no such file or directory) with start command '/code/absent'. Logs: ",
        ),
        (
            ill,
            "The function http server cannot be started. check function health failed with status code: 500",
        ),
    ] {
        let done = rig.invoke(&Arc::new(spec), b"").await;
        assert_eq!(done.outcome, Outcome::NotStarted { message: expected.to_owned() });
    }
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_instance_gets_nothing_new() {
    let rig = Rig::open().await;
    let spec = server(&rig, |config| {
        let mut runtime = custom(&[], 0).unwrap();
        runtime.health_check = Some(HealthCheck {
            path: "/health".into(),
            initial_delay: Span::ZERO,
            period: Span::from_millis(20),
            timeout: Span::from_secs(1),
            failure_threshold: 2,
            success_threshold: 1,
        });
        config.custom_runtime = Some(runtime);
    });
    let ill = rig.invoke(&spec, b"ill").await.measured.instance;
    for _ in 0..200 {
        let done = rig.invoke(&spec, b"x").await;
        if done.measured.instance != ill {
            return rig.close().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the ill instance went on serving");
}
