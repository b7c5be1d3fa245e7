//! When the server stops, what is in flight is finished and who waits is answered.

use std::time::Duration;

use stint_wire::client::{Invocation, InvokeOptions};

use crate::house::House;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_answered_and_nothing_new_is_taken() {
    let house = House::build().await;
    house.function("f").await;
    let options = InvokeOptions {
        invocation: Invocation::Async,
        task_id: Some("long".into()),
        ..InvokeOptions::default()
    };
    house.admin.invoke("f", "hang", options).await.unwrap();
    house
        .until("it runs", async || house.admin.task_get("f/long").await.unwrap().state == "Running")
        .await;
    let waiter = house.admin.clone();
    let stop = house.supervisor.stop().clone();
    let (waited, ()) = tokio::join!(
        // Held for a minute unless the server says otherwise.
        waiter.task_wait("f/long", Duration::from_secs(60)),
        async {
            house.clock.sleep(stint_model::time::Span::from_millis(200)).await;
            stop.request();
        }
    );
    // The engine may have stopped first; either way the answer came at once and was no lie.
    if let Ok(task) = waited {
        assert!(!task.ended);
    }
    house.supervisor.ended().await;
    assert!(tokio::net::TcpStream::connect(house.address).await.is_err());
}
