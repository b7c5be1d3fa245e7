//! Functions of one account share files; what the operator did not allow is not mounted.

use std::sync::Arc;

use stint_model::function::{NasConfig, NasMount};
use stint_wire::node::Outcome;

use crate::rig::Rig;

fn nas(server_addr: &str) -> Option<NasConfig> {
    Some(NasConfig {
        user_id: 1_000,
        group_id: 1_000,
        mounts: vec![NasMount {
            server_addr: server_addr.into(),
            mount_dir: "/mnt/shared".into(),
            enable_tls: false,
        }],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_functions_share_a_volume() {
    let rig = Rig::open().await;
    let write = "def handler(event, context):\n    open('/mnt/shared/x', 'wb').write(event)";
    let read = "import os\ndef handler(event, context):\n    os.rename('/mnt/shared/x', '/mnt/shared/y')\n    return open('/mnt/shared/y', 'rb').read()";
    let writer = rig.function_with("python3", &[("index.py", write)], |config| {
        config.nas = nas("volume:movies");
    });
    let reader = rig.function_with("python3", &[("index.py", read)], |config| {
        config.nas = nas("volume:movies");
    });
    let done = rig.invoke(&Arc::new(writer), b"from one to the other").await;
    assert_eq!(done.outcome, Outcome::Ok, "{done:?}");
    assert_eq!(rig.invoke(&Arc::new(reader), b"").await.text(), "from one to the other");
    rig.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_allowed_is_refused() {
    let rig = Rig::open().await;
    let code = "def handler(event, context):\n    return 'inside'";
    let spec = rig.function_with("python3", &[("index.py", code)], |config| {
        config.nas = nas("host:/etc");
    });
    let done = rig.invoke(&Arc::new(spec), b"").await;
    let Outcome::NotStarted { message } = &done.outcome else { panic!("{done:?}") };
    assert!(message.contains("does not allow"), "{message}");
    rig.close().await;
}
