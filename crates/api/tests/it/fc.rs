//! Function Compute's control operations, end to end over the typed client.

use std::collections::BTreeMap;

use stint_model::code::Code;
use stint_wire::client::InvokeOptions;
use stint_wire::fc::{
    AliasInput, AsyncConfigInput, CodeLocation, Destination, DestinationConfig,
    DisableInvocationInput, FunctionInput, LayerInput,
};

use crate::house::{House, ZIP_BASE64, ZIP_BYTES, function_input, raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_is_made_read_changed_listed_and_deleted() {
    let house = House::build().await;
    let client = &house.admin;
    let input = FunctionInput {
        environment_variables: Some(BTreeMap::from([("A".into(), "1".into())])),
        rest: BTreeMap::from([(
            "vpcConfig".into(),
            serde_json::json!({"vpcId":"v","vSwitchIds":["s"],"securityGroupId":"g"}),
        )]),
        ..function_input("f")
    };
    let made = client.function_create(&input).await.unwrap();
    assert_eq!(made.function_arn, "acs:fc:local:1000000000000001:functions/f");
    assert_eq!((made.state.as_str(), made.last_update_status.as_str()), ("Active", "Successful"));
    assert_eq!(
        (made.cpu, made.memory_size, made.timeout, made.code_size),
        (0.1, 128, 60, ZIP_BYTES)
    );
    assert_eq!(made.kept["vpcConfig"]["vpcId"], "v");
    assert_eq!(made.kept["sessionAffinity"], "NONE");
    assert_eq!(made.runtime_behind.as_deref(), Some("/usr/bin/python3.11"));
    let twice = client.function_create(&input).await.unwrap_err();
    assert_eq!((twice.code(), twice.status()), (Some(Code::FunctionAlreadyExists), Some(409)));
    let change = FunctionInput { timeout: Some(5), ..FunctionInput::default() };
    let changed = client.function_update("f", &change).await.unwrap();
    assert_eq!((changed.timeout, changed.environment_variables["A"].as_str()), (5, "1"));
    let bad = FunctionInput { timeout: Some(0), ..FunctionInput::default() };
    assert_eq!(
        client.function_update("f", &bad).await.unwrap_err().code(),
        Some(Code::InvalidArgument)
    );
    client.function_create(&function_input("g")).await.unwrap();
    let first = client.function_list(None, Some(1), None).await.unwrap();
    assert_eq!(first.functions[0].function_name, "f");
    let next = client.function_list(None, Some(1), first.next_token.as_deref()).await.unwrap();
    assert_eq!((next.functions[0].function_name.as_str(), next.next_token), ("g", None));
    client.function_delete("f").await.unwrap();
    let gone = client.function_get("f", None).await.unwrap_err();
    assert_eq!((gone.code(), gone.status()), (Some(Code::FunctionNotFound), Some(404)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_is_fetched_through_a_link_that_opens_nothing_else() {
    let house = House::build().await;
    house.function("f").await;
    let code = house.admin.function_code("f", None).await.unwrap();
    let (_, path) = code.url.split_once(&house.address.to_string()).unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
    let answer = raw(house.address, &get(path)).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("PK"), "{answer}");
    let forged = path.replace("/links/code/", "/links/code/A");
    let answer = raw(house.address, &get(&forged)).await;
    assert!(answer.contains("SignatureNotMatch"), "{answer}");
    let nothing = FunctionInput { code: Some(CodeLocation::default()), ..function_input("g") };
    let refused = house.admin.function_create(&nothing).await.unwrap_err();
    assert!(
        refused.to_string().contains("Either ossBucketName/ossObjectName or zipFile must be set")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_aliases_and_canaries() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    assert_eq!(client.version_publish("f", Some("first")).await.unwrap().version_id, "1");
    let change = FunctionInput { timeout: Some(7), ..FunctionInput::default() };
    client.function_update("f", &change).await.unwrap();
    assert_eq!(client.version_publish("f", None).await.unwrap().version_id, "2");
    let listed = client.version_list("f", None).await.unwrap();
    assert_eq!(listed.direction, "BACKWARD");
    assert_eq!(listed.versions[0].version_id, "2");
    let alias = AliasInput {
        alias_name: Some("prod".into()),
        version_id: Some("1".into()),
        additional_version_weight: Some(BTreeMap::from([("2".into(), 0.25)])),
        description: None,
    };
    let made = client.alias_create("f", &alias).await.unwrap();
    assert_eq!(made.additional_version_weight["2"], 0.25);
    let one_version =
        AliasInput { additional_version_weight: Some(BTreeMap::new()), ..AliasInput::default() };
    let changed = client.alias_update("f", "prod", &one_version).await.unwrap();
    assert!(changed.additional_version_weight.is_empty());
    assert_eq!(client.alias_list("f", None).await.unwrap().aliases.len(), 1);
    assert_eq!(client.function_get("f", Some("prod")).await.unwrap().timeout, 60);
    let options = InvokeOptions { qualifier: Some("prod".into()), ..InvokeOptions::default() };
    assert_eq!(client.invoke("f", "x", options).await.unwrap().status, 200);
    let absent = client.function_get("f", Some("9")).await.unwrap_err();
    assert_eq!(absent.code(), Some(Code::VersionNotFound));
    client.alias_delete("f", "prod").await.unwrap();
    client.version_delete("f", "1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_configurations_are_merged() {
    let house = House::build().await;
    house.admin.function_create(&function_input("f")).await.unwrap();
    let client = &house.admin;
    let none = client.async_config_get("f", None).await.unwrap_err();
    assert_eq!((none.code(), none.status()), (Some(Code::AsyncConfigNotExists), Some(404)));
    let to = "acs:fc:local:1000000000000001:functions/g".to_owned();
    let first = AsyncConfigInput {
        async_task: Some(true),
        destination_config: Some(DestinationConfig {
            on_failure: Some(Destination { destination: to.clone() }),
            on_success: None,
        }),
        ..AsyncConfigInput::default()
    };
    let put = client.async_config_put("f", None, &first).await.unwrap();
    assert_eq!((put.max_async_retry_attempts, put.max_async_event_age_in_seconds), (3, 86_400));
    let second =
        AsyncConfigInput { max_async_retry_attempts: Some(1), ..AsyncConfigInput::default() };
    let put = client.async_config_put("f", None, &second).await.unwrap();
    assert!(put.async_task, "what is not said stays");
    assert_eq!(put.destination_config.on_failure.unwrap().destination, to);
    client.async_config_delete("f", None).await.unwrap();
    assert!(client.async_config_get("f", None).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrency_and_the_invocation_switch() {
    let house = House::build().await;
    house.function("f").await;
    let client = &house.admin;
    assert_eq!(client.concurrency_put("f", 5).await.unwrap().reserved_concurrency, 5);
    assert_eq!(client.concurrency_get("f").await.unwrap().reserved_concurrency, 5);
    client.concurrency_delete("f").await.unwrap();
    assert_eq!(client.concurrency_get("f").await.unwrap_err().status(), Some(404));
    let off = DisableInvocationInput { reason: Some("broken".into()), abort_ongoing_request: None };
    assert!(client.function_disable("f", &off).await.unwrap().success);
    let refused = client.invoke("f", "x", InvokeOptions::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.status()), (Some(Code::InvocationDisabled), Some(403)));
    let seen = client.function_get("f", None).await.unwrap().invocation_restriction.unwrap();
    assert_eq!((seen.disable, seen.reason.as_str()), (true, "broken"));
    client.function_enable("f").await.unwrap();
    assert_eq!(client.invoke("f", "x", InvokeOptions::default()).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn layers_have_versions_and_a_place_in_functions() {
    let house = House::build().await;
    let client = &house.admin;
    let input = LayerInput {
        code: Some(CodeLocation { zip_file: Some(ZIP_BASE64.into()), ..CodeLocation::default() }),
        compatible_runtime: Some(vec!["python3.10".into()]),
        ..LayerInput::default()
    };
    let made = client.layer_create("l", &input).await.unwrap();
    assert_eq!((made.version, made.acl.as_str()), (1, "0"));
    assert!(made.code.location.contains("/links/code/"));
    assert_eq!(client.layer_list(None).await.unwrap().layers.len(), 1);
    let with =
        FunctionInput { layers: Some(vec![made.layer_version_arn.clone()]), ..function_input("f") };
    let function = client.function_create(&with).await.unwrap();
    assert_eq!(function.layers[0].arn, made.layer_version_arn);
    assert_eq!(function.layers[0].size, ZIP_BYTES);
}
