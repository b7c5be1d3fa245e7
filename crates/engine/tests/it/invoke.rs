//! Sync calls: the short path.

use std::sync::Arc;

use bytes::Bytes;
use stint_engine::{AnswerBody, FunctionRef, Invoke};
use stint_model::code::Code;
use stint_model::function::FunctionLimits;
use stint_model::limit::Resources;
use stint_model::link::Outcome;

use crate::house::{Answer, House, Plan, a_function, caller};

fn invoke() -> Invoke {
    Invoke { payload: Bytes::from_static(b"x"), ..Invoke::default() }
}

#[tokio::test]
async fn a_call_gets_its_answer_and_leaves_no_task() {
    let house = House::build(Plan::new(|_| Answer::Ok(b"pong"))).await;
    let answer = house.engine.invoke(&caller(), &FunctionRef::latest("f"), invoke()).await;
    let AnswerBody::Whole(ended) = answer.expect("answered").body else { panic!("whole") };
    assert_eq!((ended.outcome, &ended.body[..]), (Outcome::Ok, &b"pong"[..]));
    assert!(house.store.tasks().is_empty());
}

#[tokio::test]
async fn an_error_of_the_user_is_an_answer() {
    let house = House::build(Plan::new(|_| Answer::Fail("ValueError"))).await;
    let answer = house.engine.invoke(&caller(), &FunctionRef::latest("f"), invoke()).await;
    let AnswerBody::Whole(ended) = answer.expect("answered").body else { panic!("whole") };
    assert!(matches!(ended.outcome, Outcome::UserError { .. }));
}

#[tokio::test]
async fn a_call_over_the_limit_is_refused_at_once() {
    let mut plan = Plan::new(|_| Answer::Hang);
    let limits = FunctionLimits { concurrency_max: Some(1), ..FunctionLimits::default() };
    plan.functions[0].0 = a_function("f", 1, limits);
    let house = Arc::new(House::build(plan).await);
    let (engine, function) = (house.engine.clone(), FunctionRef::latest("f"));
    let caller = caller();
    let hanging = engine.invoke(&caller, &function, invoke());
    tokio::pin!(hanging);
    let blocked = async {
        house.until("the first runs", async |house| !house.started().is_empty()).await;
        house.engine.invoke(&caller, &function, invoke()).await
    };
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        second = blocked => {
            assert_eq!(second.expect_err("refused").code(), Code::ResourceExhausted);
        }
    }
}

#[tokio::test]
async fn a_caller_that_goes_away_frees_the_slot() {
    let mut plan = Plan::new(|start| match start.task_id {
        None => Answer::Hang,
        Some(_) => Answer::Ok(b""),
    });
    let limits = FunctionLimits { concurrency_max: Some(1), ..FunctionLimits::default() };
    plan.functions[0].0 = a_function("f", 1, limits);
    let house = House::build(plan).await;
    {
        let (caller, function) = (caller(), FunctionRef::latest("f"));
        let hanging = house.engine.invoke(&caller, &function, invoke());
        tokio::select! {
            _ = hanging => panic!("it hangs"),
            () = house.until("it runs", async |house| !house.started().is_empty()) => {}
        }
    }
    let task = house.submit("f", stint_engine::TaskOptions::default()).await;
    house.ended(&task).await;
}

#[tokio::test]
async fn an_instance_that_fits_nowhere_is_said_so() {
    let mut plan = Plan::new(|_| Answer::Ok(b""));
    plan.capacity = Resources { cpu_milli: 50, memory_mb: 64 };
    let house = House::build(plan).await;
    let refused = house.engine.invoke(&caller(), &FunctionRef::latest("f"), invoke()).await;
    assert_eq!(refused.expect_err("refused").code(), Code::ResourceThrottled);
}

#[tokio::test]
async fn a_paused_backlog_holds_tasks_and_lets_calls_through() {
    let mut plan = Plan::new(|_| Answer::Ok(b"pong"));
    plan.functions[0].0.paused = true;
    let house = House::build(plan).await;
    let task = house.submit("f", stint_engine::TaskOptions::default()).await;
    let answer = house.engine.invoke(&caller(), &FunctionRef::latest("f"), invoke()).await;
    assert!(matches!(answer.expect("answered").body, AnswerBody::Whole(_)));
    let why = house.engine.task_why(&caller(), &task).await.expect("known");
    assert_eq!(why.cause, Some(stint_sched::Cause::Paused));
}
