"""Which file gets the handler on each kind of node."""

import tomllib
from pathlib import Path

import pytest

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.host import Host
from runtimeclass.installer.layouts import find_place
from runtimeclass.installer.options import Options
from runtimeclass.installer.target import Target, choose_target, cut_handler, has_handler
from runtimeclass.installer.toml_edit import PLUGINS, Handler
from tests.node.roots import BASE, ROOTS, RUNC_2, Root

SYSTEMD = Handler(options={"SystemdCgroup": True})


def choose(root: Root, folder: Path, handler: Handler = SYSTEMD) -> Target:
    host = Host(root.make(folder))
    return choose_target(host, find_place(host, Options("install")), root.containerd, handler)


def of_default(config: str, containerd: tuple[int, ...] = (1, 7, 0)) -> Root:
    path = "/etc/containerd/config.toml"
    socket = "/run/containerd/containerd.sock"
    return Root("default", containerd, path, {path: config}, socket, path, 2)


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_handler_goes_where_it_counts(root: Root, tmp_path: Path) -> None:
    target = choose(root, tmp_path)
    assert target.path == root.target
    assert target.text.startswith(root.begins)
    toml = "\n".join(line for line in target.text.splitlines() if not line.startswith("{{"))
    document = tomllib.loads(toml)
    runtimes = document["plugins"][PLUGINS[root.schema]]["containerd"]["runtimes"]
    assert runtimes["tandem"] == SYSTEMD.table
    if not root.begins:
        assert document["version"] == root.schema
    before = root.files.get(root.target, "")
    assert all(line in target.text for line in before.splitlines())


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_second_choice_is_the_same(root: Root, tmp_path: Path) -> None:
    target = choose(root, tmp_path)
    path = tmp_path / target.path.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(target.text)
    host = Host(tmp_path)
    place = find_place(host, Options("install"))
    again = choose_target(host, place, root.containerd, SYSTEMD)
    assert (again.path, again.text) == (target.path, target.text)
    other = choose_target(host, place, root.containerd, Handler("/opt/x"))
    assert "SystemdCgroup" not in other.text.replace(RUNC_2, "").replace(
        root.files.get(root.target, ""), ""
    )
    assert other.text.count(".runtimes.tandem]") == 1


@pytest.mark.parametrize("root", ROOTS.values(), ids=ROOTS)
def test_part_is_cut_out_of_what_somebody_else_changed(root: Root, tmp_path: Path) -> None:
    target = choose(root, tmp_path)
    assert has_handler(target.path, target.text.encode())
    changed = target.text + "\n[metrics]\n  address = '127.0.0.1:1338'\n"
    rest = cut_handler(target.path, changed.encode())
    assert rest is not None
    assert b"tandem" not in rest.replace(b"tandem-", b"")
    assert b"metrics" in rest
    assert not has_handler(target.path, rest)
    assert cut_handler(target.path, rest) is None
    before = root.files.get(root.target, "")
    assert all(line in rest.decode() for line in before.splitlines())


def test_template_of_an_old_k3s_is_refused_with_the_way_out(tmp_path: Path) -> None:
    k3s = ROOTS["k3s"]
    host = Host(k3s.make(tmp_path))
    place = find_place(host, Options("install"))
    with pytest.raises(NodeError, match=r"older than September 2023.*copy .*config\.toml\.tmpl"):
        choose_target(host, place, (1, 7, 1), SYSTEMD)
    (tmp_path / k3s.target.lstrip("/")).write_text("version = 2\n")
    assert choose_target(host, place, (1, 7, 1), SYSTEMD).text.startswith("version = 2\n")


def test_template_with_a_runtime_of_our_name_is_refused(tmp_path: Path) -> None:
    k3s = ROOTS["k3s"]
    host = Host(k3s.make(tmp_path))
    theirs = BASE + f'[plugins."{PLUGINS[2]}".containerd.runtimes.tandem]\nruntime_type = "x"\n'
    (tmp_path / k3s.target.lstrip("/")).write_text(theirs)
    with pytest.raises(NodeError, match="not ours"):
        choose_target(host, find_place(host, Options("install")), k3s.containerd, SYSTEMD)


@pytest.mark.parametrize("name", ["cri", "io.containerd.grpc.v1.cri"])
def test_disabled_cri_is_refused(tmp_path: Path, name: str) -> None:
    root = of_default(f'version = 2\ndisabled_plugins = ["{name}"]\n')
    with pytest.raises(NodeError, match=f"disables the plugin {name}"):
        choose(root, tmp_path)


def test_unparsable_configuration_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"^/etc/containerd/config\.toml is not valid TOML"):
        choose(of_default("version = \n"), tmp_path)


def test_unparsable_import_is_refused_by_name(tmp_path: Path) -> None:
    root = of_default('version = 2\nimports = ["/etc/containerd/conf.d/*.toml"]\n')
    (tmp_path / "etc/containerd/conf.d").mkdir(parents=True)
    (tmp_path / "etc/containerd/conf.d/x.toml").write_text("[")
    with pytest.raises(NodeError, match=r"^/etc/containerd/conf\.d/x\.toml"):
        choose(root, tmp_path)


def test_imports_in_a_circle_end(tmp_path: Path) -> None:
    root = of_default('version = 2\nimports = ["/etc/containerd/*.toml"]\n')
    assert choose(root, tmp_path).path == root.target


def test_text_that_is_none_is_not_cut() -> None:
    with pytest.raises(NodeError, match="by hand"):
        cut_handler("/c", b"\xff")
