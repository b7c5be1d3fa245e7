//! The ordered end of a server, from the door to the store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use stint_engine::Engine;
use stint_model::time::Span;
use stint_node::NodeHandle;
use stint_supervise::{Clock, Shutdown, Supervisor};
use stint_watch::Logs;
use stint_wire::node::ToNode;
use tokio::sync::mpsc;

/// Beyond the grace: to stop what is left, and for each further stage.
const MARGIN: Span = Span::from_secs(5);
/// Idle instances have this long for their PreStop.
const NODE_DRAIN: Span = Span::from_secs(5);
/// Between two looks at the node.
const LOOK: Span = Span::from_millis(20);

/// The parts of the house, each stopped and waited for by itself.
#[derive(Clone, Debug)]
pub(crate) struct Wings {
    /// Listeners and connections.
    pub(crate) doors: Supervisor,
    /// The embedded node and its instances.
    pub(crate) node: Supervisor,
    /// What the node starts and ends sandboxes with: it outlives the node.
    pub(crate) sandbox: Supervisor,
    /// Shards, letters, retention.
    pub(crate) engine: Supervisor,
    /// The log's writer, guards, upkeep.
    pub(crate) watch: Supervisor,
    /// Book and journal.
    pub(crate) store: Supervisor,
}

impl Wings {
    pub(crate) fn of(house: &Supervisor) -> Self {
        Self {
            doors: house.group(),
            node: house.group(),
            sandbox: house.group(),
            engine: house.group(),
            watch: house.group(),
            store: house.group(),
        }
    }
}

/// What the end works with.
pub(crate) struct Leaving {
    pub(crate) clock: Clock,
    pub(crate) grace: Span,
    pub(crate) wings: Wings,
    pub(crate) engine: Engine,
    pub(crate) logs: Logs,
    pub(crate) node: Arc<OnceLock<NodeHandle>>,
    pub(crate) orders: mpsc::Sender<ToNode>,
}

/// The list: stop admitting → let attempts finish → close the doors → end the instances → flush →
/// close the store. The doors stay open while attempts finish: their callers wait for answers.
pub(crate) fn list(leaving: Leaving) -> Shutdown {
    let Leaving { clock, grace, wings, engine, logs, node, orders } = leaving;
    let overtime = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&overtime);
    let finish = async move {
        let left = engine.drain(grace).await;
        if left > 0 {
            over.store(true, Ordering::Release);
            tracing::warn!(left, "attempts did not end within the grace; they start again later");
        }
    };
    let ending = clock.clone();
    let empty = async move {
        // Whatever runs now has had its grace.
        let grace = if overtime.load(Ordering::Acquire) { Span::ZERO } else { NODE_DRAIN };
        // A closed link means that the node is gone already.
        if orders.send(ToNode::Drain { grace }).await.is_err() {
            return;
        }
        while node.get().is_some_and(|node| node.status().live > 0) {
            ending.sleep(LOOK).await;
        }
    };
    Shutdown::new(clock)
        .step("let attempts finish", grace + MARGIN, finish)
        .group("close the doors", MARGIN, &wings.doors)
        .step("end idle instances", NODE_DRAIN + MARGIN, empty)
        .group("stop the node", MARGIN, &wings.node)
        .group("stop the sandboxes", MARGIN, &wings.sandbox)
        .group("stop the shards", MARGIN, &wings.engine)
        .step("flush the log", MARGIN, async move { logs.flush().await })
        .group("stop watching", MARGIN, &wings.watch)
        .group("close the store", MARGIN, &wings.store)
}
