//! Serving through one of our shims: one invocation at a time over the framed channel.

use std::collections::VecDeque;

use stint_model::time::Span;
use stint_sandbox::{Family, Signal};
use stint_wire::node::Event;

use super::desk::{Desk, Limit, PRE_STOP_MAX};
use super::meter::Claim;
use super::orders::Told;
use super::process::attend;
use super::start::mark;
use super::{Invocation, Order};
use crate::failure::{self, HANDLED, UNHANDLED};
use crate::frame::{Channel, Frame, FrameError, Heard, Said};
use crate::output::Rest;

/// The channel and what to know about the other end.
#[derive(Debug)]
pub(super) struct Shim {
    pub(super) channel: Channel,
    pub(super) speaker: Speaker,
}

/// What speaks at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Speaker {
    /// A shim in this language.
    Language(Family),
    /// Our Wasm shim, which ends what takes too long or too much by itself and serves on.
    Wasm,
}

/// How much longer than an attempt may take a runtime gets that ends attempts by itself.
const OVERTIME: Span = Span::from_millis(250);

/// What one turn of the loop woke up for.
enum Wake {
    Exited,
    Heard(Result<Frame, FrameError>),
    Told(Option<Order>),
    Output,
    Due,
}

/// Serves until the instance is gone; says why it ended.
pub(super) async fn serve(
    mut desk: Desk,
    mut shim: Shim,
    mut waiting: VecDeque<Box<Invocation>>,
) -> (Desk, &'static str) {
    if shim.speaker == Speaker::Wasm {
        desk.allow_overtime(OVERTIME);
    }
    loop {
        if desk.running.is_empty()
            && let Some(invocation) = waiting.pop_front()
            && let Err(reason) = begin(&mut desk, &mut shim, invocation).await
        {
            return (desk, reason);
        }
        if desk.running.is_empty() && !desk.is_frozen() {
            desk.rest().await;
        }
        let wake = {
            let until = desk.next_wake();
            let Desk { shared, process, inbox, output, .. } = &mut desk;
            tokio::select! {
                biased;
                // A wait for something that stays.
                _ = process.ended() => Wake::Exited,
                // What was read of a frame stays in the channel.
                frame = shim.channel.read() => Wake::Heard(frame),
                // An order is taken whole or not at all.
                order = inbox.recv() => Wake::Told(order),
                // What was read stays in the output.
                () = output.wait() => Wake::Output,
                // A wait.
                () = Desk::sleep(shared, until) => Wake::Due,
            }
        };
        let ended = match wake {
            Wake::Exited => Some(desk.exited().await),
            Wake::Heard(Ok(frame)) => heard(&mut desk, frame).await,
            Wake::Heard(Err(FrameError::Closed)) => {
                // It closes its channel when it ends: the end itself tells more.
                let Desk { shared, process, output, .. } = &mut desk;
                let waited = attend(process, output, shared.clock.sleep(EXIT_AFTER_CLOSE)).await;
                match waited {
                    None => Some(desk.exited().await),
                    Some(()) => Some(desk.broken(failure::broken_answer("channel closed")).await),
                }
            }
            Wake::Heard(Err(FrameError::TooLarge(bytes, max))) => {
                Some(desk.broken(failure::too_large(bytes, max)).await)
            }
            Wake::Heard(Err(error)) => {
                Some(desk.broken(failure::broken_answer(&error.to_string())).await)
            }
            Wake::Told(order) => told(&mut desk, &mut shim, &mut waiting, order).await,
            Wake::Output => {
                desk.sort_output(Rest::Keep).await;
                None
            }
            Wake::Due => match desk.tick().await {
                Some(lease) => Some(desk.timed_out(lease).await),
                None => None,
            },
        };
        if let Some(reason) = ended {
            return (desk, reason);
        }
    }
}

/// How long the end of a process may lag behind the end of its channel.
const EXIT_AFTER_CLOSE: Span = Span::from_secs(2);

async fn begin(
    desk: &mut Desk,
    shim: &mut Shim,
    invocation: Box<Invocation>,
) -> Result<(), &'static str> {
    let start = &invocation.start;
    let fetched;
    let event = match &start.event {
        Event::Inline(bytes) => bytes,
        Event::Blob(name) => match desk.shared.source.get(name).await {
            Ok(bytes) => {
                fetched = bytes;
                &fetched
            }
            Err(error) => {
                desk.begin(invocation).await;
                desk.fail(0, failure::system(error.to_string()), Claim::default()).await;
                return Ok(());
            }
        },
    };
    let mut head = Vec::with_capacity(192);
    let retries = start.retries.to_string();
    let timeout = start.timeout.millis().to_string();
    let fields: [&str; 6] = [
        &start.request_id,
        start.task_id.as_deref().unwrap_or_default(),
        &retries,
        &start.idempotency_key,
        &start.qualifier,
        &timeout,
    ];
    for (n, field) in fields.iter().enumerate() {
        if n > 0 {
            head.push(0);
        }
        head.extend(field.bytes().filter(|b| *b != 0));
    }
    let event = event.clone();
    desk.begin(invocation).await;
    // A large event may not fit the socket while the program writes to a full pipe.
    let Desk { process, output, .. } = desk;
    match attend(process, output, shim.channel.write(Said::Invoke, &head, &event)).await {
        Some(Ok(())) => Ok(()),
        None => Err(desk.exited().await),
        Some(Err(error)) => {
            let Desk { shared, process, output, .. } = &mut *desk;
            match attend(process, output, shared.clock.sleep(EXIT_AFTER_CLOSE)).await {
                None => Err(desk.exited().await),
                Some(()) => Err(desk.broken(failure::broken_answer(&error.to_string())).await),
            }
        }
    }
}

async fn heard(desk: &mut Desk, frame: Frame) -> Option<&'static str> {
    if frame.kind == Heard::Progress {
        let permille = frame.field(0).parse().ok();
        desk.progress(0, permille, frame.field(1)).await;
        return None;
    }
    let is_answer = matches!(frame.kind, Heard::Result | Heard::Error);
    if !is_answer || desk.running.is_empty() {
        return Some(desk.broken(failure::broken_answer("an answer nobody asked for")).await);
    }
    let claim = Claim {
        cpu_micros: frame.field(0).parse().unwrap_or(0),
        peak_kb: frame.field(1).parse().unwrap_or(0),
    };
    if frame.kind == Heard::Result {
        desk.succeed(0, frame.body, claim).await;
    } else {
        match frame.field(2) {
            "T" => desk.limited(0, Limit::Time, claim).await,
            "M" => desk.limited(0, Limit::Memory, claim).await,
            "H" => desk.fail(0, failure::said(HANDLED, frame.body), claim).await,
            _ => desk.fail(0, failure::said(UNHANDLED, frame.body), claim).await,
        }
    }
    None
}

async fn told(
    desk: &mut Desk,
    shim: &mut Shim,
    waiting: &mut VecDeque<Box<Invocation>>,
    order: Option<Order>,
) -> Option<&'static str> {
    match desk.told(order).await {
        Told::Nothing => None,
        Told::Run(invocation) => {
            waiting.push_back(invocation);
            None
        }
        Told::Leave { grace, last } => {
            pre_stop(desk, shim, grace).await;
            Some(desk.leave(last).await)
        }
        Told::Gone(reason) => Some(reason),
    }
}

/// Runs the hook, if there is one, within its own bound, upstream's and the caller's. Its result is
/// ignored (§4.4).
async fn pre_stop(desk: &mut Desk, shim: &mut Shim, grace: Span) {
    let Some(hook) = desk.who.spec.config.pre_stop.clone() else { return };
    if hook.handler.is_empty() {
        return;
    }
    let bound = hook.timeout.min(PRE_STOP_MAX).min(grace);
    let busy = desk.running.first();
    let request_id = match busy {
        Some(running) => running.invocation.start.request_id.to_string(),
        None => crate::agent::fresh_request_id(desk.now()),
    };
    let begun = desk.now();
    let by_signal = busy.is_some() && shim.speaker == Speaker::Language(Family::Python);
    desk.output.mark(&mark("PreStop Start", &request_id));
    let Desk { shared, process, output, .. } = desk;
    let instance = process.instance.clone();
    let hook = async {
        if by_signal {
            // Its main thread is in the handler and cannot read the channel.
            instance.signal(Signal::User2);
        } else if shim.channel.write(Said::PreStop, request_id.as_bytes(), b"").await.is_err() {
            return;
        }
        loop {
            match shim.channel.read().await {
                Ok(frame) if matches!(frame.kind, Heard::HookDone | Heard::HookFailed) => return,
                // The handler may answer meanwhile; it is being stopped and comes too late.
                Ok(_) => {}
                Err(_) => return,
            }
        }
    };
    attend(process, output, shared.clock.within(bound, hook)).await;
    desk.hook_ran(begun, &request_id);
}
