"""Functions, versions, aliases, layers, tags and the configurations beside them, with the SDK."""

import hashlib
import urllib.request

import pytest

from cloud import fc, pack, refusal, unique

HELLO = "def handler(event, context):\n    return 'hello'\n"
SAYS = "def handler(event, context):\n    return {!r}\n"


def functions(cloud, **query):
    return cloud.sdk.list_functions(fc.ListFunctionsRequest(**query)).body


def test_a_function_lives_and_is_gone(cloud):
    name = unique("life")
    made = cloud.create(name, HELLO, description="first", environment_variables={"A": "1"},
                        tags=[fc.Tag(key="team", value="video")])
    assert made.function_name == name and made.function_arn.endswith(f"functions/{name}")
    assert (made.state, made.last_update_status) == ("Active", "Successful")
    assert made.code_size > 0 and made.code_checksum.isdigit() and made.created_time.endswith("Z")
    got = cloud.sdk.get_function(name, fc.GetFunctionRequest()).body
    assert got.to_map() == made.to_map()
    assert got.environment_variables == {"A": "1"} and got.memory_size == 256 and got.cpu == 0.25
    changed = cloud.update(name, description="second", memory_size=512)
    assert (changed.description, changed.memory_size, changed.timeout) == ("second", 512, 30)
    assert changed.environment_variables == {"A": "1"}, "what an update leaves out stays"
    assert cloud.invoke(name).body == b"hello"
    cloud.delete(name)
    error = refusal(lambda: cloud.sdk.get_function(name, fc.GetFunctionRequest()))
    assert (error.status_code, error.code) == (404, "FunctionNotFound") and error.request_id


def test_an_existing_name_is_a_conflict(cloud):
    name = unique("twice")
    cloud.create(name, HELLO)
    error = refusal(lambda: cloud.create(name, HELLO))
    assert (error.status_code, error.code) == (409, "FunctionAlreadyExists")


@pytest.mark.parametrize("wrong", [
    {"function_name": "1-starts-with-a-digit"},
    {"function_name": "a" * 129},
    {"runtime": "cobol85"},
    {"memory_size": 100},
    {"memory_size": 32832},
    {"cpu": 0.33},
    {"cpu": 4, "memory_size": 512},
    {"timeout": 0},
    {"instance_concurrency": 10},
    {"environment_variables": {"FC_ACCOUNT_ID": "1"}},
    {"environment_variables": {"A": "x" * 5000}},
    {"code": fc.InputCodeLocation(zip_file="not base64!")},
    {"code": fc.InputCodeLocation(zip_file="AAAA")},
    {"code": fc.InputCodeLocation(zip_file=pack({"index.py": HELLO}), checksum="1")},
    {"code": fc.InputCodeLocation()},
    {"handler": ""},
], ids=lambda wrong: ",".join(wrong))
def test_what_is_not_valid_is_refused(cloud, wrong):
    error = refusal(lambda: cloud.create(wrong.get("function_name", unique("wrong")), HELLO, **{
        k: v for k, v in wrong.items() if k != "function_name"}))
    assert (error.status_code, error.code) == (400, "InvalidArgument")
    assert error.message


def test_functions_are_listed_in_pages(cloud):
    prefix = unique("page")
    names = [f"{prefix}-{n}" for n in range(5)]
    for name in names:
        cloud.create(name, HELLO)
    seen, token = [], None
    for _ in range(5):
        page = functions(cloud, prefix=prefix, limit=2, next_token=token)
        assert len(page.functions) <= 2
        seen += [function.function_name for function in page.functions]
        token = page.next_token
        if not token:
            break
    assert sorted(seen) == names and not token


def test_the_code_comes_back_by_a_signed_link(cloud):
    name = unique("code")
    made = cloud.create(name, HELLO)
    got = cloud.sdk.get_function_code(name, fc.GetFunctionCodeRequest()).body
    assert got.checksum == made.code_checksum
    with urllib.request.urlopen(got.url) as answer:
        found = answer.read()
    assert len(found) == made.code_size and hashlib.sha256(found).digest()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(got.url[:-4] + "beef")
    assert caught.value.code == 403 and b'"Code"' in caught.value.read()


def test_versions_are_frozen(cloud):
    name = unique("versions")
    cloud.create(name, SAYS.format("one"))
    first = cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest(
        body=fc.PublishVersionInput(description="d"))).body
    assert (first.version_id, first.description) == ("1", "d")
    cloud.update(name, files={"index.py": SAYS.format("two")})
    second = cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest()).body
    assert second.version_id == "2"
    cloud.update(name, files={"index.py": SAYS.format("latest")})
    assert [cloud.invoke(name, qualifier=q).body for q in ("1", "2", "LATEST", None)] == [
        b"one", b"two", b"latest", b"latest"]
    listed = cloud.sdk.list_function_versions(name, fc.ListFunctionVersionsRequest()).body.versions
    assert [version.version_id for version in listed] == ["2", "1"]
    forward = cloud.sdk.list_function_versions(name, fc.ListFunctionVersionsRequest(direction="FORWARD")).body
    assert [version.version_id for version in forward.versions] == ["1", "2"]
    cloud.sdk.delete_function_version(name, "1")
    assert refusal(lambda: cloud.invoke(name, qualifier="1")).code == "VersionNotFound"
    cloud.update(name, files={"index.py": SAYS.format("three")})
    third = cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest()).body
    assert third.version_id == "3", "numbers are not used again"


def test_aliases_and_canaries(cloud):
    name = unique("alias")
    cloud.create(name, SAYS.format("one"))
    cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest())
    cloud.update(name, files={"index.py": SAYS.format("two")})
    cloud.sdk.publish_function_version(name, fc.PublishFunctionVersionRequest())
    made = cloud.sdk.create_alias(name, fc.CreateAliasRequest(body=fc.CreateAliasInput(
        alias_name="prod", version_id="1", additional_version_weight={"2": 0.5}))).body
    assert (made.alias_name, made.version_id, made.additional_version_weight) == ("prod", "1", {"2": 0.5})
    seen = {cloud.invoke(name, qualifier="prod").body for _ in range(40)}
    assert seen == {b"one", b"two"}
    cloud.sdk.update_alias(name, "prod", fc.UpdateAliasRequest(body=fc.UpdateAliasInput(
        version_id="2", additional_version_weight={})))
    assert {cloud.invoke(name, qualifier="prod").body for _ in range(5)} == {b"two"}
    assert cloud.sdk.get_alias(name, "prod").body.version_id == "2"
    listed = cloud.sdk.list_aliases(name, fc.ListAliasesRequest()).body.aliases
    assert [alias.alias_name for alias in listed] == ["prod"]
    error = refusal(lambda: cloud.sdk.create_alias(name, fc.CreateAliasRequest(
        body=fc.CreateAliasInput(alias_name="prod", version_id="1"))))
    assert error.code == "AliasAlreadyExists"
    cloud.sdk.delete_alias(name, "prod")
    assert refusal(lambda: cloud.sdk.get_alias(name, "prod")).code == "AliasNotFound"
    assert refusal(lambda: cloud.invoke(name, qualifier="prod")).code == "AliasNotFound"


def layer(cloud, name, files, **more):
    return cloud.sdk.create_layer_version(name, fc.CreateLayerVersionRequest(
        body=fc.CreateLayerVersionInput(code=fc.InputCodeLocation(zip_file=pack(files)), **more))).body


def test_layers_are_seen_under_opt(cloud):
    name = unique("layer")
    one = layer(cloud, name, {"python/greeting.py": "WORD = 'hi'\n"}, compatible_runtime=["python3.10"],
                description="d", license="MIT")
    assert one.version == 1 and one.layer_version_arn.endswith(f"layers/{name}/versions/1")
    other = layer(cloud, unique("layer"), {"python/greeting.py": "WORD = 'later'\n", "data/x": "x"})
    function = unique("layered")
    cloud.create(function, """
        import greeting
        def handler(event, context):
            return greeting.WORD + open("/opt/data/x").read()
        """, layers=[one.layer_version_arn, other.layer_version_arn])
    assert cloud.invoke(function).body == b"hix", "of two layers with one file the first wins"
    two = layer(cloud, name, {"python/greeting.py": "WORD = 'ho'\n"})
    assert two.version == 2
    got = cloud.sdk.get_layer_version(name, "1").body
    assert (got.description, got.license, got.compatible_runtime) == ("d", "MIT", ["python3.10"])
    assert cloud.sdk.get_layer_version_by_arn(two.layer_version_arn).body.version == 2
    versions = cloud.sdk.list_layer_versions(name, fc.ListLayerVersionsRequest()).body.layers
    assert sorted(version.version for version in versions) == [1, 2]
    assert name in [l.layer_name for l in cloud.sdk.list_layers(fc.ListLayersRequest(prefix=name)).body.layers]
    cloud.sdk.put_layer_acl(name, fc.PutLayerACLRequest(public="true"))
    assert cloud.sdk.get_layer_version(name, "2").body.acl == "1"
    cloud.sdk.delete_layer_version(name, "2")
    assert refusal(lambda: cloud.sdk.get_layer_version(name, "2")).status_code == 404
    error = refusal(lambda: cloud.create(unique("no"), HELLO, runtime="nodejs20",
                                         layers=[one.layer_version_arn]))
    assert "not supported by layer" in error.message


def test_async_configs_merge(cloud):
    name = unique("config")
    cloud.create(name, HELLO)
    error = refusal(lambda: cloud.sdk.get_async_invoke_config(name, fc.GetAsyncInvokeConfigRequest()))
    assert (error.status_code, error.code) == (404, "AsyncConfigNotExists")
    cloud.configure(name, async_task=True)
    merged = cloud.configure(name, max_async_retry_attempts=5)
    assert (merged.async_task, merged.max_async_retry_attempts) == (True, 5)
    assert merged.max_async_event_age_in_seconds == 86400
    listed = cloud.sdk.list_async_invoke_configs(fc.ListAsyncInvokeConfigsRequest(function_name=name)).body
    assert len(listed.configs) == 1
    assert refusal(lambda: cloud.configure(name, max_async_retry_attempts=9)).code == "InvalidArgument"
    cloud.sdk.delete_async_invoke_config(name, fc.DeleteAsyncInvokeConfigRequest())
    assert refusal(lambda: cloud.sdk.get_async_invoke_config(
        name, fc.GetAsyncInvokeConfigRequest())).status_code == 404


def test_concurrency_configs(cloud):
    name = unique("reserved")
    cloud.create(name, HELLO)
    put = lambda n: cloud.sdk.put_concurrency_config(name, fc.PutConcurrencyConfigRequest(  # noqa: E731
        body=fc.PutConcurrencyInput(reserved_concurrency=n))).body
    assert put(3).reserved_concurrency == 3
    assert cloud.sdk.get_concurrency_config(name).body.reserved_concurrency == 3
    listed = cloud.sdk.list_concurrency_configs(fc.ListConcurrencyConfigsRequest(function_name=name)).body
    assert [config.reserved_concurrency for config in listed.configs] == [3]
    assert refusal(lambda: put(100_000)).status_code == 400
    put(0)
    assert refusal(lambda: cloud.invoke(name)).status_code == 429
    cloud.sdk.delete_concurrency_config(name)
    assert cloud.invoke(name).body == b"hello"


def test_invocation_can_be_switched_off(cloud):
    name = unique("switch")
    cloud.create(name, HELLO)
    cloud.sdk.disable_function_invocation(name, fc.DisableFunctionInvocationRequest(reason="upkeep"))
    assert refusal(lambda: cloud.invoke(name)).code == "InvocationDisabled"
    shown = cloud.sdk.get_function(name, fc.GetFunctionRequest()).body.invocation_restriction
    assert (shown.disable, shown.reason) == (True, "upkeep")
    cloud.sdk.enable_function_invocation(name)
    assert cloud.invoke(name).body == b"hello"


def test_tags(cloud):
    name = unique("tags")
    arn = cloud.create(name, HELLO).function_arn
    cloud.sdk.tag_resources(fc.TagResourcesRequest(body=fc.TagResourcesInput(
        resource_type="function", resource_id=[arn],
        tag=[fc.Tag(key="team", value="a"), fc.Tag(key="cost", value="7")])))

    def tags():
        found = cloud.sdk.list_tag_resources(fc.ListTagResourcesRequest(
            resource_type="function", resource_id=[arn])).body.tag_resources or []
        return {tag.tag_key: tag.tag_value for tag in found}

    assert tags() == {"team": "a", "cost": "7"}
    found = functions(cloud, prefix=name, tags=[fc.Tag(key="team", value="a")]).functions
    assert [function.function_name for function in found] == [name]
    cloud.sdk.untag_resources(fc.UntagResourcesRequest(
        resource_type="function", resource_id=[arn], tag_key=["team"]))
    assert tags() == {"cost": "7"}
    cloud.sdk.untag_resources(fc.UntagResourcesRequest(resource_type="function", resource_id=[arn], all=True))
    assert tags() == {}


def test_regions_and_instances(cloud):
    regions = cloud.sdk.describe_regions(fc.DescribeRegionsRequest()).body.regions.region
    assert "local" in [region.region_id for region in regions]
    name = unique("instances")
    cloud.create(name, HELLO)
    reply = cloud.invoke(name)
    found = cloud.sdk.list_instances(name, fc.ListInstancesRequest()).body.instances
    assert reply.headers["x-fc-instance-id"] in [instance.instance_id for instance in found]


def test_an_update_reaches_the_next_call(cloud):
    name = unique("update")
    cloud.create(name, SAYS.format("old"))
    assert cloud.invoke(name).body == b"old"
    for n in range(5):
        cloud.update(name, files={"index.py": SAYS.format(f"new {n}")})
        assert cloud.invoke(name).body == f"new {n}".encode()


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py"])
def test_archives_that_climb_are_refused(cloud, name):
    error = refusal(lambda: cloud.create(unique("slip"), {"index.py": HELLO, name: "evil"}))
    assert (error.status_code, error.code) == (400, "InvalidArgument")
