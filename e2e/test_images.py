"""Functions whose root is a container image: from registries, layouts and uploaded archives."""

import base64
import io
import json
import os
import shutil
import tarfile
import zipfile

import pytest

from cloud import Cloud, fc, refusal, unique
from images import APP, Image, Registry, digest, layer, python_layer, skopeo, write_layout
from server import Server, until

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:321:654:App:/srv/app:/bin/sh\n"


@pytest.fixture(scope="module")
def base():
    return python_layer()


@pytest.fixture(scope="module")
def app(base):
    """Makes an image that answers with its version."""
    def make(version: str, *more: bytes, **config) -> Image:
        top = layer({"srv/app/server.py": APP % version, "etc/passwd": PASSWD})
        given = {"Entrypoint": ["python3", "-S", "server.py"], "WorkingDir": "/srv/app",
                 "Env": ["PATH=/usr/bin", "FROM_IMAGE=yes", "BOTH=image"]}
        return Image([base, top, *more], given | config)
    return make


@pytest.fixture(scope="module")
def registry(place):
    registry = Registry(place / unique("registry"))
    yield registry.start()
    registry.end()


@pytest.fixture(scope="module")
def house(place):
    """A server that allows a directory of layouts and mounts a share."""
    home = place / unique("images")
    for name in ("layouts", "share"):
        (home / name).mkdir(parents=True)
    (home / "share").chmod(0o777)
    server = Server(home, node__oci_allow=str(home / "layouts"), node__nas_allow=str(home / "share"))
    yield server.start()
    server.end()


@pytest.fixture(scope="module")
def town(house):
    return Cloud(house)


def create(cloud: Cloud, name: str, image: str | None, *, wait=True, code=None, **more):
    container = more.pop("container", {})
    given = dict(function_name=name, runtime="custom-container", handler="unused", cpu=0.5, memory_size=512, timeout=30,
                 custom_container_config=fc.CustomContainerConfig(image=image, **container), code=code) | more
    made = cloud.sdk.create_function(fc.CreateFunctionRequest(body=fc.CreateFunctionInput(**given))).body
    return settled(cloud, name) if wait else made


def get(cloud: Cloud, name: str):
    return cloud.sdk.get_function(name, fc.GetFunctionRequest()).body


def settled(cloud: Cloud, name: str):
    """As the deployment tool waits."""
    def done():
        found = get(cloud, name)
        return found if found.state != "Pending" and found.last_update_status != "InProgress" else None
    return until(done, f"{name} is settled", limit=60)


def ask(cloud: Cloud, name: str, **asked):
    return cloud.invoke(name, asked)


def test_an_image_from_a_registry(town, registry, app):
    reference = registry.push(app("one"), "team/app:v1")
    name = unique("image")
    made = create(town, name, reference, wait=False, environment_variables={"BOTH": "function"})
    assert made.state in ("Pending", "Active")
    found = settled(town, name)
    assert (found.state, found.last_update_status) == ("Active", "Successful"), found.state_reason
    assert found.custom_container_config.resolved_image_uri.startswith(f"{registry.host}/team/app@sha256:")
    about = ask(town, name).json
    assert about["version"] == "one" and about["cwd"] == "/srv/app"
    assert (about["uid"], about["gid"]) == (0, 0)
    env = about["env"]
    assert (env["FROM_IMAGE"], env["BOTH"], env["PATH"], env["HOME"]) == ("yes", "function", "/usr/bin", "/root")
    assert env["FC_FUNCTION_NAME"] == name and env["FC_CUSTOM_LISTEN_PORT"] == "9000"
    assert "code" not in about["root"] and not os.path.exists("/srv/app/server.py"), "its root is the image"
    assert "LD_LIBRARY_PATH" not in env
    # As a task.
    town.configure(name, async_task=True)
    assert town.invoke(name, {}, kind="Async", task_id="t-1").status == 202
    assert town.ended(name, "t-1").status == "Succeeded"


def test_user_entrypoint_command_port_and_health(town, registry, app):
    reference = registry.push(app("settings", User="app"), "team/settings:v1")
    name = unique("image")
    create(town, name, reference, container=dict(
        port=8123, entrypoint=["/usr/bin/python3", "-S", "server.py"], command=["--fast", "now"],
        health_check_config=fc.CustomHealthCheckConfig(http_get_url="/health", period_seconds=1)),
        instance_lifecycle_config=fc.InstanceLifecycleConfig(
            initializer=fc.LifecycleHook(handler="yes", timeout=10)))
    about = ask(town, name).json
    assert (about["uid"], about["gid"], about["env"]["HOME"]) == (321, 654, "/srv/app")
    assert about["argv"] == ["--fast", "now"] and about["env"]["FC_CUSTOM_LISTEN_PORT"] == "8123"
    assert about["seen"][0] == "/initialize"


def test_pre_stop_runs_in_the_image(town, house, registry, app):
    reference = registry.push(app("hooks"), "team/hooks:v1")
    name = unique("image")
    share = house.home / "share"
    create(town, name, reference, instance_lifecycle_config=fc.InstanceLifecycleConfig(
        pre_stop=fc.LifecycleHook(handler="yes", timeout=10)),
        nas_config=fc.NASConfig(user_id=0, group_id=0, mount_points=[
            fc.NASMountConfig(server_addr=f"host:{share}", mount_dir="/mnt/share")]))
    assert ask(town, name).json["version"] == "hooks"
    town.update(name, environment_variables={"NEW": "1"})
    settled(town, name)
    until((share / "stopped").exists, "the hook has run")


def test_what_is_written_stays_in_the_instance(town, registry, app):
    more = layer({"srv/app/data": "from above"}, deleted=["usr/bin/gone", "etc/group"])
    below = layer({"usr/bin/gone": "x", "etc/group": "root:x:0:\n"})
    image = app("writes")
    image.layers[1:1] = [below]
    image.layers.append(more)
    name = unique("image")
    create(town, name, registry.push(image, "team/writes:v1"), memory_size=256, cpu=0.25)
    assert ask(town, name, read="/srv/app/data").text == "from above"
    assert ask(town, name, read="/usr/bin/gone").text == "FileNotFoundError", "deleted by a layer above"
    assert ask(town, name, write="/srv/app/data").text == "written"
    assert ask(town, name, read="/srv/app/data").body == bytes(1 << 20)
    assert ask(town, name, write="/big", megabytes=4096).text == "No space left on device"
    assert ask(town, name, read="/etc/shadow").text == "FileNotFoundError"
    assert ask(town, name, read="/proc/sys/kernel/hostname").text.strip() == "stint"
    assert ask(town, name, write="/proc/sys/kernel/hostname").text in ("Read-only file system", "Permission denied")
    # Another instance starts from the image again.
    ask(town, name, exit=3)
    assert ask(town, name, read="/srv/app/data").text == "from above"


def test_an_update_serves_the_old_image_until_the_new_one_is_there(town, registry, app):
    name = unique("image")
    create(town, name, registry.push(app("old"), f"team/{name}:v1"))
    assert ask(town, name).json["version"] == "old"
    config = fc.CustomContainerConfig(image=f"{registry.host}/team/{name}:absent")
    changed = town.update(name, custom_container_config=config)
    assert changed.last_update_status in ("InProgress", "Failed") and changed.state == "Active"
    found = settled(town, name)
    assert (found.state, found.last_update_status) == ("Active", "Failed")
    assert found.last_update_status_reason_code == "ImageNotFound"
    assert ask(town, name).json["version"] == "old", "what was there stays in force"
    assert found.custom_container_config.image.endswith(":v1")
    config.image = registry.push(app("new"), f"team/{name}:v2")
    town.update(name, custom_container_config=config)
    assert settled(town, name).last_update_status == "Successful"
    assert ask(town, name).json["version"] == "new"


def test_a_function_whose_image_is_absent_fails_and_recovers(town, registry, app):
    name = unique("image")
    found = create(town, name, f"{registry.host}/team/{name}:v1")
    assert (found.state, found.state_reason_code) == ("Failed", "ImageNotFound")
    refused = refusal(lambda: ask(town, name))
    assert refused.status_code == 412 and refused.code == "FunctionNotReady", refused
    registry.push(app("late"), f"team/{name}:v1")
    town.update(name, description="try again")
    assert settled(town, name).state == "Active"
    assert ask(town, name).json["version"] == "late"


def test_the_digest_is_pinned(own, place, registry, app):
    repository = f"team/{unique('pinned')}"
    reference = registry.push(app("first"), f"{repository}:v1")
    server = own().start()
    cloud = Cloud(server)
    name = unique("image")
    pinned = create(cloud, name, reference).custom_container_config.resolved_image_uri
    registry.push(app("second"), f"{repository}:v1")
    assert ask(cloud, name).json["version"] == "first", "the node has what was pinned"
    # A restart changes nothing: neither the pin nor the layers are forgotten.
    server.kill()
    registry_port = registry.port
    registry.end()
    server.start()
    cloud = Cloud(server)
    assert ask(cloud, name).json["version"] == "first", "the registry is not asked"
    registry.port = registry_port
    registry.start()
    server.stop()
    shutil.rmtree(server.dir / "node" / "images")
    server.start()
    cloud = Cloud(server)
    refused = refusal(lambda: ask(cloud, name))
    assert refused.code == "FunctionNotStarted" and "update the function" in refused.message
    found = until(lambda: (f := get(cloud, name)).state == "Failed" and f, "its state says so")
    assert found.state_reason_code == "ImageChanged"
    assert refusal(lambda: ask(cloud, name)).code == "FunctionNotReady"
    cloud.update(name, custom_container_config=fc.CustomContainerConfig(image=reference))
    found = settled(cloud, name)
    assert found.state == "Active" and found.custom_container_config.resolved_image_uri != pinned
    assert ask(cloud, name).json["version"] == "second"
    # Deleted at the registry: as long as the node has it, it runs; then it is gone.
    registry.delete(f"{repository}:v1")
    assert ask(cloud, name).json["version"] == "second"
    server.stop()
    shutil.rmtree(server.dir / "node" / "images")
    server.start()
    cloud = Cloud(server)
    assert refusal(lambda: ask(cloud, name)).code == "FunctionNotStarted"
    found = until(lambda: (f := get(cloud, name)).state == "Failed" and f, "its state says so")
    assert found.state_reason_code == "ImageNotFound"


def test_a_fetch_survives_a_restart(own, registry, app):
    """Asked while nobody answers, killed, and answered afterwards."""
    reference = registry.push(app("patient"), f"team/{unique('patient')}:v1")
    server = own().start()
    registry.end()
    name = unique("image")
    create(Cloud(server), name, reference, wait=False)
    assert get(Cloud(server), name).state == "Pending"
    assert refusal(lambda: ask(Cloud(server), name)).code == "FunctionNotReady"
    server.kill()
    registry.start()
    server.start()
    cloud = Cloud(server)
    assert settled(cloud, name).state == "Active"
    assert ask(cloud, name).json["version"] == "patient"


def test_a_registry_with_users_and_its_own_certificate(town, house, place, app):
    private = Registry(place / unique("private"), user=("me", "s3cret-word"), tls=True).start()
    try:
        reference = private.push(app("private"), "team/private:v1")

        def reach(auth=None, cert=None):
            name = unique("image")
            registry = fc.RegistryConfig(auth_config=auth, cert_config=cert)
            return name, create(town, name, reference, container=dict(registry_config=registry))

        auth = fc.RegistryAuthConfig(user_name="me", password="s3cret-word")
        trusted = fc.RegistryCertConfig(root_ca_cert_base_64=private.authority)
        name, found = reach(auth, trusted)
        assert found.state == "Active", found.state_reason
        assert ask(town, name).json["version"] == "private"
        shown = town.request("GET", f"/2023-03-30/functions/{name}").text
        assert "s3cret-word" not in shown and '"userName":"me"' in shown
        kept = b"".join(path.read_bytes() for path in house.dir.glob("book*"))
        assert b"s3cret-word" not in kept, "it is sealed in the book"
        # A client that reads, changes and writes back keeps the password.
        config = get(town, name).custom_container_config
        config.command = ["again"]
        town.update(name, custom_container_config=config)
        assert settled(town, name).last_update_status == "Successful"
        assert ask(town, name).json["argv"] == ["again"]
        assert reach(auth, fc.RegistryCertConfig(insecure=True))[1].state == "Active"
        wrong = fc.RegistryAuthConfig(user_name="me", password="wrong")
        for auth, cert, code in ((wrong, trusted, "ImageAccessDenied"), (None, trusted, "ImageAccessDenied"),
                                 (auth, None, "ImageUnreachable")):
            found = reach(auth, cert)[1]
            assert (found.state, found.state_reason_code) == ("Failed", code), found.state_reason
    finally:
        private.end()


def test_an_image_from_a_layout(town, house, app):
    layouts = house.home / "layouts"
    write_layout(layouts / "app", {"v1": app("layout one"), "v2": app("layout two")})
    name = unique("image")
    found = create(town, name, f"oci:{layouts}/app:v2")
    assert found.state == "Active", found.state_reason
    assert ask(town, name).json["version"] == "layout two"
    elsewhere = house.home / "elsewhere"
    write_layout(elsewhere, {"v1": app("closed")})
    found = create(town, unique("image"), f"oci:{elsewhere}:v1")
    assert (found.state, found.state_reason_code) == ("Failed", "ImageNotAllowed")


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_an_archive_uploaded_as_code(town, tmp_path, app, kind):
    write_layout(tmp_path / "layout", {"v1": app(kind)})
    archive = tmp_path / "image.tar"
    skopeo("copy", f"oci:{tmp_path}/layout:v1", f"{kind}:{archive}:app:v1")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.write(archive, "image.tar")
    code = fc.InputCodeLocation(zip_file=base64.b64encode(packed.getvalue()).decode())
    name = unique("image")
    found = create(town, name, "code", code=code)
    assert found.state == "Active", found.state_reason
    about = ask(town, name).json
    assert about["version"] == kind and "code" not in about["root"]


def hostile(kind: str) -> bytes:
    """A layer that means harm."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, type=tarfile.REGTYPE, link="", data=b""):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = type, link, len(data)
            tar.addfile(info, io.BytesIO(data))
        match kind:
            case "climbs":
                add("../../evil", data=b"x")
            case "through a link":
                add("out", tarfile.SYMTYPE, "/tmp")
                add("out/evil", data=b"x")
            case "hard link":
                add("shadow", tarfile.LNKTYPE, "/etc/shadow")
            case "whiteout outside":
                add(".wh...", data=b"")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["climbs", "through a link", "hard link", "whiteout outside"])
def test_a_hostile_image_is_refused(town, house, app, kind):
    where = house.home / "layouts" / unique("hostile")
    write_layout(where, {"v1": app("hostile", hostile(kind))})
    found = create(town, unique("image"), f"oci:{where}:v1")
    assert (found.state, found.state_reason_code) == ("Failed", "ImageInvalid"), found.state_reason
    assert not (house.dir / "node" / "evil").exists() and not os.path.exists("/tmp/evil")
    drafts = house.dir / "node" / "images" / "drafts"
    assert not list(drafts.iterdir()), "nothing is left behind"


def test_a_changed_layer_is_refused(town, house, app):
    where = house.home / "layouts" / unique("changed")
    image = app("changed", layer({"data": "honest"}))
    write_layout(where, {"v1": image})
    blob = image.blobs()[1][-1]
    (where / "blobs" / "sha256" / digest(blob).removeprefix("sha256:")).write_bytes(blob[:-9] + b"x" * 9)
    found = create(town, unique("image"), f"oci:{where}:v1")
    assert (found.state, found.state_reason_code) == ("Failed", "ImageInvalid"), found.state_reason


def test_the_operator_says_which_registries(own, registry, app):
    reference = registry.push(app("listed"), "team/listed:v1")
    for settings, state in (({}, "Failed"), ({"node__registries": registry.host}, "Active")):
        cloud = Cloud(own(node__isolation="strict", **settings).start())
        found = create(cloud, unique("image"), reference)
        assert found.state == state, found.state_reason
        if state == "Failed":
            assert found.state_reason_code == "ImageNotAllowed"


def test_accounts_share_no_layer(town, house, app):
    layouts = house.home / "layouts"
    where = layouts / unique("shared")
    write_layout(where, {"v1": app("shared")})
    other = town.as_role("admin", account=town.account(unique("tenant").replace("-", "_")))
    for cloud in (town, other):
        name = unique("image")
        assert create(cloud, name, f"oci:{where}:v1").state == "Active"
        assert ask(cloud, name).json["version"] == "shared"
    layers = [path for path in house.dir.glob("node/images/*/layers/*") if path.is_dir()]
    top = {path for path in layers if (path / "srv/app/server.py").exists()
           and '"shared"' in (path / "srv/app/server.py").read_text()}
    assert len(top) == 2, "each account has its own"
    if os.geteuid() == 0:
        assert len({path.stat().st_uid for path in top}) == 2, "of its own host user"


def test_room_is_made_for_other_images(own, app, place):
    """A store of 1 MiB keeps no image that nobody uses."""
    layouts = place / unique("layouts")
    write_layout(layouts / "app", {"v1": app("one"), "v2": app("two")})
    cloud = Cloud(own(node__oci_allow=str(layouts), node__image_cache="1MiB").start())
    store = cloud.server.dir / "node" / "images"
    one, two = unique("one"), unique("two")
    create(cloud, one, f"oci:{layouts}/app:v1")
    create(cloud, two, f"oci:{layouts}/app:v2")
    assert len(list(store.glob("*/images/*.json"))) == 1, "the one fetched last"
    assert ask(cloud, one).json["version"] == "one", "fetched again"
    assert ask(cloud, two).json["version"] == "two"
    assert len(list(store.glob("*/images/*.json"))) == 2, "both are in use"


def test_what_cannot_be_an_image_is_refused(town, registry):
    def attempt(image, **more):
        return refusal(lambda: create(town, unique("image"), image, wait=False, **more)).message
    assert "lower-case" in attempt("Not/An/Image")
    assert "layers cannot be used" in attempt("r.io/a", layers=["acs:fc:local:1:layers/l/versions/1"])
    assert "zipFile must be set" in attempt("code")
    assert "image is required" in attempt(None)


def test_the_command_line_deploys_an_image(town, house, registry, app, tmp_path):
    reference = registry.push(app("from the command line"), "team/cli:v1")
    house.cli("init", "custom-container", str(tmp_path / "project"))
    manifest = tmp_path / "project" / "stint.yaml"
    text = manifest.read_text()
    assert "image:" in text
    name = unique("cli")
    manifest.write_text(f"functions:\n  {name}:\n    runtime: custom-container\n    handler: main\n"
                        f"    image: {reference}\n    cpu: 0.5\n    memory: 512MiB\n")
    house.cli("deploy", cwd=tmp_path / "project")
    assert json.loads(house.cli("invoke", name, "{}").stdout)["version"] == "from the command line"
