//! Node.js functions, from the zip to the report.

use std::sync::Arc;

use stint_wire::node::{Outcome, PoolSpec};

use crate::rig::{Rig, hook};

fn nodejs(rig: &Rig, code: &str, handler: &str) -> Arc<PoolSpec> {
    let spec = rig.function_with("nodejs18", &[("index.js", code)], |config| {
        config.handler = handler.into();
    });
    Arc::new(spec)
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_of_both_styles_run() {
    let rig = Rig::open().await;
    let code = r"
exports.async = async (event, context) => ({ got: event.toString(), memory: context.function.memory });
exports.callback = (event, context, callback) => { console.log('called'); callback(null, 'back'); };
exports.handled = (event, context, callback) => callback(new Error('not so good'));
exports.thrown = async () => { throw new TypeError('bad'); };
exports.exit = async () => process.exit(5);
";
    let spec = nodejs(&rig, code, "index.async");
    let first = rig.invoke(&spec, b"e").await;
    assert_eq!(first.outcome, Outcome::Ok, "{first:?}");
    assert_eq!(first.json(), serde_json::json!({ "got": "e", "memory": 256 }));
    assert!(!rig.invoke(&spec, b"e").await.measured.cold);
    let done = rig.invoke(&nodejs(&rig, code, "index.callback"), b"").await;
    assert_eq!(done.text(), "back");
    assert!(done.log.contains("[verbose] called\n"), "{}", done.log);
    let done = rig.invoke(&nodejs(&rig, code, "index.handled"), b"").await;
    assert_eq!(
        done.user_error(),
        ("HandledInvocationError", "FunctionHandledError", "not so good")
    );
    assert!(done.tail.ends_with("Error: Handled function error\n"));
    let done = rig.invoke(&nodejs(&rig, code, "index.thrown"), b"").await;
    assert_eq!(done.user_error(), ("UnhandledInvocationError", "TypeError", "bad"));
    let done = rig.invoke(&nodejs(&rig, code, "index.exit"), b"").await;
    assert!(done.user_error().2.starts_with("Process exited unexpectedly"), "{done:?}");
    let done = rig.invoke(&nodejs(&rig, "require('nothing')", "index.x"), b"").await;
    assert_eq!(done.user_error().1, "ImportModuleError");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_run_around_it() {
    let rig = Rig::open().await;
    let code = r"
let ready = false;
exports.init = async () => { ready = true; };
exports.stop = async () => { console.log('stopping'); };
exports.handler = async () => String(ready);
";
    let spec = rig.function_with("nodejs20", &[("index.js", code)], |config| {
        config.initializer = hook("index.init");
        config.pre_stop = hook("index.stop");
    });
    let spec = Arc::new(spec);
    assert_eq!(rig.invoke(&spec, b"").await.text(), "true");
    rig.send(stint_wire::node::ToNode::Retire { pool: spec.pool }).await;
    rig.pool_is(&spec, 0).await;
    rig.log_has("", "stopping").await;
    rig.close().await;
}
