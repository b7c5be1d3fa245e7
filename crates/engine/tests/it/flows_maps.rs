//! Distributed maps that fail and go on, and those whose results and items lie in buckets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use stint_engine::control::code::{BucketError, CodeBuckets, ObjectInfo};
use stint_engine::flows::{ExecutionRef, MapStatus};
use stint_model::execution::{Execution, ExecutionStatus};
use stint_model::link::Event;
use stint_model::time::Timestamp;

use crate::flows::{ended, history, make, named, output, play, start};
use crate::house::{Answer, House, Plan, caller};

/// One bucket `b` in memory.
#[derive(Clone, Debug, Default)]
struct Bucket(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Bucket {
    fn get(&self, key: &str) -> Value {
        let objects = self.0.lock().expect("no panic");
        let found = objects.get(key).unwrap_or_else(|| panic!("{key} among {:?}", objects.keys()));
        serde_json::from_slice(found).expect("JSON")
    }
}

#[async_trait]
impl CodeBuckets for Bucket {
    async fn fetch(&self, _: &str, object: &str, _: u64) -> Result<Bytes, BucketError> {
        let found = self.0.lock().expect("no panic").get(object).cloned();
        found.ok_or_else(|| BucketError::NoObject(object.to_owned()))
    }

    async fn put(&self, bucket: &str, object: &str, bytes: Bytes) -> Result<(), BucketError> {
        if bucket != "b" {
            return Err(BucketError::NoBucket(bucket.to_owned()));
        }
        self.0.lock().expect("no panic").insert(object.to_owned(), bytes);
        Ok(())
    }

    async fn list(
        &self,
        _: &str,
        prefix: &str,
        most: usize,
    ) -> Result<Vec<ObjectInfo>, BucketError> {
        let objects = self.0.lock().expect("no panic");
        let found = objects.iter().filter(|(key, _)| key.starts_with(prefix)).take(most);
        let told = found.map(|(key, bytes)| ObjectInfo {
            key: key.clone(),
            size: bytes.len() as u64,
            modified_at: Timestamp::ZERO,
            tag: None,
        });
        Ok(told.collect())
    }
}

fn number_of(start: &stint_model::link::Start) -> u64 {
    let Event::Inline(bytes) = &start.event else { panic!("items are small") };
    serde_json::from_slice(bytes).expect("a number")
}

/// A map over `f`, with this beside it.
fn over(more: Value) -> Value {
    let inner = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": {"Type": "Task", "Resource": "f", "End": true}}});
    let mut map = json!({"Type": "Map", "ItemProcessor": inner, "MaxConcurrency": 4, "End": true});
    for (key, value) in more.as_object().expect("fields") {
        map[key] = value.clone();
    }
    json!({"StartAt": "M", "States": {"M": map}})
}

async fn redriven(house: &House, execution: &Execution) -> Execution {
    let uid = ExecutionRef::Uid(execution.uid);
    house.engine.execution_redrive(&caller(), &uid).await.expect("goes on");
    ended(house, execution).await
}

#[tokio::test]
async fn a_redrive_runs_only_the_items_that_failed_or_never_ran() {
    for shards in [1, 5] {
        let (heals, ran) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (is_healed, seen) = (Arc::clone(&heals), Arc::clone(&ran));
        let mut plan = Plan::new(move |start| {
            let number = number_of(start);
            seen.lock().expect("no panic").push(number);
            let is_bad = [3, 11].contains(&number) && !is_healed.load(Ordering::Relaxed);
            if is_bad { Answer::Fail("bad") } else { Answer::Ok(b"7") }
        });
        plan.shards = shards;
        let house = House::build(plan).await;
        make(&house, "many", over(json!({"ItemsPath": "$.items", "ToleratedFailureCount": 1})))
            .await;
        let items: Vec<u64> = (0..40).collect();
        let input = json!({"items": items}).to_string();
        let started = start(&house, "many", named("one", &input)).await.execution;
        let done = ended(&house, &started).await;
        assert_eq!(done.error.as_deref(), Some("States.ExceedToleratedFailureThreshold"));
        let before = std::mem::take(&mut *ran.lock().expect("no panic"));
        assert!(before.len() < 40, "it stops when too many have failed");
        heals.store(true, Ordering::Relaxed);
        let done = redriven(&house, &started).await;
        assert_eq!(output(&done), json!(vec![7; 40]), "what had ended well is there, in order");
        let again = ran.lock().expect("no panic").clone();
        let twice: Vec<_> = again.iter().filter(|number| before.contains(number)).collect();
        assert!(again.contains(&3) && again.contains(&11), "{again:?}");
        assert!(twice.len() <= 5, "only what failed, and what was stopped with it: {twice:?}");
        let uid = ExecutionRef::Uid(done.uid);
        let runs = house.engine.map_run_list(&caller(), &uid).await.expect("lists");
        assert_eq!(runs.len(), 1, "it is the same map run");
        let counts = runs[0].counts;
        assert_eq!((counts.succeeded, counts.total, counts.pending), (40, 40, 0));
        assert_eq!((runs[0].status, runs[0].redrives), (MapStatus::Succeeded, 1));
        let names: Vec<String> =
            history(&house, &done).await.into_iter().map(|row| row.1).collect();
        assert_eq!(names.iter().filter(|name| *name == "MapRunRedriven").count(), 1);
        assert_eq!(names.iter().filter(|name| *name == "MapStateEntered").count(), 1);
    }
}

#[tokio::test]
async fn a_redrive_survives_the_process() {
    let plan = |is_healed: bool| {
        Plan::new(move |start| match (is_healed, number_of(start) % 4) {
            (true, _) => Answer::Ok(b"1"),
            (false, 0) => Answer::Fail("bad"),
            (false, _) => Answer::Hang,
        })
    };
    let house = House::build(plan(false)).await;
    make(&house, "many", over(json!({"ItemsPath": "$.items"}))).await;
    let input = json!({"items": (0..30).collect::<Vec<u64>>()}).to_string();
    let started = start(&house, "many", named("one", &input)).await.execution;
    assert_eq!(ended(&house, &started).await.status, ExecutionStatus::Failed);
    let uid = ExecutionRef::Uid(started.uid);
    house.engine.execution_redrive(&caller(), &uid).await.expect("goes on");
    // Wherever the redrive is by now.
    let house = House::open(house.crash(), plan(true)).await;
    let mut done = ended(&house, &started).await;
    if done.status == ExecutionStatus::Failed {
        // It failed again before the process died.
        done = redriven(&house, &started).await;
    }
    assert_eq!(output(&done), json!(vec![1; 30]));
}

#[tokio::test]
async fn results_are_written_with_a_manifest() {
    let bucket = Bucket::default();
    let mut plan = Plan::new(|start| match number_of(start) {
        2 => Answer::Fail("bad"),
        _ => Answer::Ok(b"[1,2]"),
    });
    plan.buckets = Arc::new(bucket.clone());
    let house = House::build(plan).await;
    let writer = |more: Value| {
        let mut writer = json!({"Resource": "arn:aws:states:::s3:putObject",
            "Parameters": {"Bucket": "b", "Prefix": "out/"}});
        for (key, value) in more.as_object().expect("fields") {
            writer[key] = value.clone();
        }
        over(json!({"ToleratedFailureCount": 1, "ResultWriter": writer}))
    };
    make(&house, "whole", writer(json!({}))).await;
    let done = output(&play(&house, "whole", "[0,1,2,3]").await);
    let key = done["ResultWriterDetails"]["Key"].as_str().expect("a manifest").to_owned();
    assert!(key.starts_with("out/exe_") && key.ends_with("/manifest.json"), "{key}");
    assert_eq!(done["ResultWriterDetails"]["Bucket"], "b");
    let manifest = bucket.get(&key);
    assert_eq!(manifest["DestinationBucket"], "b");
    assert_eq!(manifest["MapRunArn"], done["MapRunArn"]);
    let file = |word: &str| {
        let files = manifest["ResultFiles"][word].as_array().expect("files");
        let key = files[0]["Key"].as_str().expect("a key");
        bucket.get(key).as_array().expect("an array").clone()
    };
    let (well, badly) = (file("SUCCEEDED"), file("FAILED"));
    assert_eq!((well.len(), badly.len()), (3, 1));
    assert_eq!(well[0]["Output"], "[1,2]");
    assert_eq!((&badly[0]["Input"], &badly[0]["Status"]), (&json!("2"), &json!("FAILED")));
    assert_eq!(manifest["ResultFiles"]["PENDING"], json!([]));

    make(&house, "flat", writer(json!({"WriterConfig": {"Transformation": "FLATTEN"}}))).await;
    let done = output(&play(&house, "flat", "[0,1]").await);
    let manifest = bucket.get(done["ResultWriterDetails"]["Key"].as_str().expect("a key"));
    let key = manifest["ResultFiles"]["SUCCEEDED"][0]["Key"].as_str().expect("a key");
    assert_eq!(bucket.get(key), json!([1, 2, 1, 2]));

    let own = json!({"WriterConfig": {"Transformation": "FLATTEN", "OutputType": "JSON"}});
    make(&house, "own", over(json!({"ResultWriter": own}))).await;
    assert_eq!(output(&play(&house, "own", "[0,1]").await), json!([1, 2, 1, 2]));
}

#[tokio::test]
async fn a_writer_that_cannot_write_fails_the_map_and_a_redrive_only_writes() {
    let bucket = Bucket::default();
    let mut plan = Plan::new(|_| Answer::Ok(b"1"));
    plan.buckets = Arc::new(bucket);
    let house = House::build(plan).await;
    let writer =
        json!({"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "none"}});
    make(&house, "lost", over(json!({"ResultWriter": writer}))).await;
    let done = play(&house, "lost", "[1,2,3]").await;
    assert_eq!(done.error.as_deref(), Some("States.ResultWriterFailed"));
    let done = redriven(&house, &done).await;
    assert_eq!(done.error.as_deref(), Some("States.ResultWriterFailed"));
    assert_eq!(house.started().len(), 3, "no child runs again");
}

#[tokio::test]
async fn items_are_the_objects_of_a_bucket_or_of_an_inventory() {
    let bucket = Bucket::default();
    let manifest = json!({"destinationBucket": "arn:aws:s3:::b", "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size", "files": [{"key": "inv/1.csv"}, {"key": "inv/2.csv"}]});
    for (key, text) in [
        ("in/a", "1"),
        ("in/b", "22"),
        ("other", ""),
        ("inv/manifest.json", &manifest.to_string()),
        ("inv/1.csv", "\"b\",\"k1\",\"1\"\n\"b\",\"k2\",\"2\"\n"),
        ("inv/2.csv", "\"b\",\"k3\",\"3\""),
    ] {
        let text = Bytes::from(text.to_owned());
        bucket.put("b", key, text).await.expect("is written");
    }
    let mut plan = Plan::new(|_| Answer::Ok(b"1"));
    plan.buckets = Arc::new(bucket);
    let house = House::build(plan).await;
    let pass = json!({"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
        "StartAt": "I", "States": {"I": {"Type": "Pass", "End": true}}});
    let reader = |reader: Value| over(json!({"ItemProcessor": pass, "ItemReader": reader}));
    make(
        &house,
        "listed",
        reader(json!({"Resource": "arn:aws:states:::s3:listObjectsV2",
            "Parameters": {"Bucket": "b", "Prefix": "in/"}})),
    )
    .await;
    let items = output(&play(&house, "listed", "{}").await);
    assert_eq!((&items[0]["Key"], &items[1]["Size"]), (&json!("in/a"), &json!(2)));
    assert_eq!(items.as_array().map(Vec::len), Some(2));
    make(
        &house,
        "told",
        reader(json!({"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "MANIFEST"},
            "Parameters": {"Bucket": "b", "Key": "inv/manifest.json"}})),
    )
    .await;
    let items = output(&play(&house, "told", "{}").await);
    assert_eq!(items[2], json!({"Bucket": "b", "Key": "k3", "Size": "3"}));
}
