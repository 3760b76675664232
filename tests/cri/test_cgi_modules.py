"""A pod that answers HTTP by the modules of a wagi table, beside a Linux container."""

import re
from collections.abc import Mapping

import pytest

from tests.support import cgi_guest, guests, images
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import Container, ContainerSpec, Volume

pytestmark = [pytest.mark.root, pytest.mark.containerd]

TABLE = """
[[module]]
route = "/..."
module = "first.wasm"

[[module]]
route = "/second/..."
module = "file:///bin/second.wasm"
environment = { MODE = "two", OWN = "module's" }

[[module]]
route = "/second/greet"
module = "/bin/second.wasm"
entrypoint = "greet"
"""
# Sends the body when the beginning of the answer is there: who buffers waits for ever.
STREAM = r"""
mkfifo /tmp/to-server
nc 127.0.0.1 8080 </tmp/to-server | (
  exec 3>/tmp/to-server
  printf 'POST /stream HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 1\r\n\r\n' >&3
  while read -r line; do
    case "$line" in
      first*) echo first; printf x >&3;;
      last*) echo last;;
    esac
  done
)
"""
CONFIG = images.ImageConfig(entrypoint=["/modules.toml"])


def add(containerd: Containerd, name: str, files: Mapping[str, images.Content]) -> str:
    image = f"localhost/{name}:1"
    archive = images.build_image(containerd.folder / f"{name}.tar", image, files, CONFIG)
    return containerd.import_image(archive)


@pytest.fixture(name="image", scope="module")
def _image(containerd: Containerd) -> str:
    files: dict[str, images.Content] = {
        "/modules.toml": TABLE.encode(),
        "/first.wasm": cgi_guest.program().read_bytes(),
        "/bin/second.wasm": cgi_guest.second().read_bytes(),
    }
    return add(containerd, "cgi-modules", files)


def ask(client: Container, path: str, *options: str) -> str:
    found = client.exec("wget", "-qO-", *options, f"http://localhost:8080{path}")
    assert found.exit_code == 0, found
    return found.stdout.strip()


def test_one_container_serves_several_modules(containerd: Containerd, image: str) -> None:
    with containerd.pod("cgi-modules", "tandem") as pod:
        client = pod.start(ContainerSpec("client", images.BUSYBOX, ["sleep", "1000"]))
        server = pod.start(
            ContainerSpec(
                "server",
                image,
                user=1000,
                readonly_rootfs=True,
                default_seccomp=True,
                env={"OWN": "pod's"},
            )
        )
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        assert ask(client, "/there") == "path /there"
        assert ask(client, "/echo", "--post-data=a body") == "a body"
        assert [ask(client, "/count") for _ in range(3)] == ["10"] * 3
        assert ask(client, "/second/greet") == "greetings from the second"
        page = containerd.http_get(f"http://{pod.ip}:8080/second/a/b?x=1")
        assert page.status == 200
        assert page.body.decode().splitlines() == [
            "argument /second",
            "argument x=1",
            "MODE=two",
            "OWN=pod's",
            "SCRIPT_NAME=/second",
            "PATH_INFO=/a/b",
            "X_MATCHED_ROUTE=/second/...",
        ]
        found = client.exec("wget", "-qSO-", "http://localhost:8080/second")
        assert re.findall("set-cookie: (.*)", found.stderr, re.IGNORECASE) == ["a=1", "b=2"]
        streamed = client.exec("sh", "-c", STREAM)
        assert streamed.stdout.split() == ["first", "last"]
        assert server.stop().exit_code == 0


def test_a_table_in_a_volume(containerd: Containerd, image: str) -> None:
    """As a configMap would bring it, and the container's command names it."""
    with containerd.pod("cgi-volume", "tandem") as pod:
        table = '[[module]]\nroute = "/only"\nmodule = "/bin/second.wasm"\nargv = "just ${ARGS}"\n'
        volume = pod.volume("routes")
        (volume / "routes.toml").write_text(table)
        volumes = [Volume(volume, "/etc/routes", readonly=True)]
        spec = ContainerSpec("server", image, ["/etc/routes/routes.toml"], volumes=volumes)
        server = pod.start(spec)
        server.wait_for_log("serving HTTP on 0.0.0.0:8080")
        page = containerd.http_get(f"http://{pod.ip}:8080/only?a=1")
        assert page.body.decode().splitlines()[:2] == ["argument just", "argument a=1"]
        assert containerd.http_get(f"http://{pod.ip}:8080/other").status == 404
        assert server.stop().exit_code == 0


# name: (the table, what CRI says)
REFUSED = {
    "none": ("", r"/modules\.toml has no \[\[module\]\]; write one for each route"),
    "toml": ("[[module]", r"/modules\.toml is not valid TOML"),
    "volumes": (
        TABLE + 'volumes = { "/" = "/srv" }',
        r"/modules\.toml: module 3 \(route /second/greet\): key 'volumes' is not honoured: mount a",
    ),
    "oci": (
        '[[module]]\nroute = "/"\nmodule = "oci:foo/bar:1"',
        r"module is 'oci:foo/bar:1', which is fetched from nowhere: put the module into the image",
    ),
    "missing": (
        TABLE + '[[module]]\nroute = "/x"\nmodule = "/none.wasm"',
        r"/modules\.toml: route /x: module /none\.wasm is not in the image or a volume",
    ),
    "upwards": ('[[module]]\nroute = "/"\nmodule = "/../a.wasm"', r"'/\.\./a\.wasm' leads upwards"),
    "twice": (TABLE + TABLE, r"modules 1 and 4 have the same route '/\.\.\.'"),
    "no-wasm": (
        '[[module]]\nroute = "/"\nmodule = "/modules.toml"',
        r"route /: module /modules\.toml is not a Wasm file",
    ),
    "broken": (
        '[[module]]\nroute = "/"\nmodule = "/broken.wasm"',
        r"/modules\.toml: route /: module /broken\.wasm: ",
    ),
    "service": (
        '[[module]]\nroute = "/"\nmodule = "/service.wat"',
        r"route /: module /service\.wat exports wasi:http/incoming-handler, so it is no CGI",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_table_is_refused_with_its_reason(containerd: Containerd, name: str) -> None:
    table, reason = REFUSED[name]
    files: dict[str, images.Content] = {
        "/modules.toml": table.encode(),
        "/first.wasm": b"(module)",
        "/bin/second.wasm": b"(module)",
        "/broken.wasm": b"\0asm\1\0\0\0\1\x7f\x60",
        "/service.wat": guests.COMPONENT_HTTP.encode(),
    }
    image = add(containerd, f"bad-modules-{name}", files)
    with containerd.pod(f"bad-modules-{name}", "tandem") as pod:
        with pytest.raises(CriError, match=reason) as refused:
            pod.start(ContainerSpec("bad", image))
        assert "Traceback" not in refused.value.text


def test_table_that_is_not_there(containerd: Containerd, image: str) -> None:
    with containerd.pod("no-modules", "tandem") as pod:
        spec = ContainerSpec("bad", image, ["/etc/modules.toml"])
        with pytest.raises(CriError, match=r"entry point /etc/modules\.toml is not in the image"):
            pod.start(spec)
