"""The handler's table: put in, taken out, and nothing else touched."""

import contextlib
import tomllib
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from runtimeclass.installer.errors import NodeError
from runtimeclass.installer.toml_edit import (
    PLUGINS,
    RUNTIME_TYPE,
    Handler,
    drop_in,
    schema_of,
    with_handler,
    without_handler,
)

# Lines of containerd: what the new one leaves out, the old one forgets.
NEW, OLD = (2, 1), (1, 7)
PLAIN = Handler()
SYSTEMD = Handler(options={"SystemdCgroup": True})
COMMENTED = """\
# written by a person
version = 2   # two

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = 'registry.k8s.io/pause:3.9'  # pinned
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
"""
INLINE = """\
version = 2
plugins."io.containerd.grpc.v1.cri".containerd.runtimes = {runc = {runtime_type = "x"}}
"""
OUT_OF_ORDER = """\
version = 3
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
[debug]
  level = 'info'
[plugins.'io.containerd.cri.v1.runtime'.cni]
  conf_dir = '/etc/cni/net.d'
"""


def runtimes(text: str, schema: int) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(text)["plugins"][PLUGINS[schema]]["containerd"][
        "runtimes"
    ]
    return found


@pytest.mark.parametrize("handler", [PLAIN, SYSTEMD, Handler("/opt/x")])
@pytest.mark.parametrize(
    ("text", "schema"),
    [("", 2), ("", 3), ("version = 4\n", 4), (COMMENTED, 2), (INLINE, 2), (OUT_OF_ORDER, 3),
     (COMMENTED.rstrip(), 2)],
)  # fmt: skip
def test_table_goes_in_and_out_again(text: str, schema: int, handler: Handler) -> None:
    put = with_handler(text, "c", schema, handler, NEW)
    assert runtimes(put, schema)["tandem"] == handler.table
    rest = without_handler(put, "c")
    assert rest is not None
    if text:
        assert rest.rstrip() == text.rstrip()


def test_text_of_others_stays_to_the_letter() -> None:
    assert with_handler(COMMENTED, "c", 2, PLAIN, NEW).startswith(COMMENTED)


def test_second_time_changes_nothing() -> None:
    put = with_handler(COMMENTED, "c", 2, SYSTEMD, NEW)
    assert with_handler(put, "c", 2, SYSTEMD, NEW) == put


def test_changed_handler_replaces_the_table() -> None:
    put = with_handler(
        with_handler(COMMENTED, "c", 2, SYSTEMD, NEW), "c", 2, Handler("/opt/x"), NEW
    )
    assert runtimes(put, 2)["tandem"] == Handler("/opt/x").table
    assert runtimes(put, 2)["runc"]["options"] == {"SystemdCgroup": True}


def test_table_of_a_person_with_our_name_is_replaced_and_cut() -> None:
    text = COMMENTED + f"[plugins.'{PLUGINS[2]}'.containerd.runtimes.tandem]\nruntime_type='x'\n"
    put = with_handler(text, "c", 2, PLAIN, NEW)
    assert runtimes(put, 2)["tandem"] == PLAIN.table
    assert "tandem" not in runtimes(without_handler(text, "c") or "", 2)


def test_what_others_wrote_behind_our_table_survives_the_cut() -> None:
    put = with_handler(COMMENTED, "c", 2, SYSTEMD, NEW) + "[metrics]\n  address = '127.0.0.1:1'\n"
    rest = without_handler(put, "c") or ""
    assert tomllib.loads(rest) == {
        **tomllib.loads(COMMENTED),
        "metrics": {"address": "127.0.0.1:1"},
    }


def test_text_without_the_table_has_nothing_to_cut() -> None:
    assert without_handler(COMMENTED, "c") is None


def test_drop_in_says_its_version() -> None:
    text = drop_in(3, SYSTEMD)
    assert tomllib.loads(text)["version"] == 3
    assert runtimes(text, 3) == {"tandem": SYSTEMD.table}


@pytest.mark.parametrize(
    ("text", "containerd", "reason"),
    [
        ("version = 1\n", (1, 6, 20), "version 1"),
        ("[plugins]\n", (1, 7, 0), "version 1"),
        ("version = 3\n", (1, 7, 0), "reads 2 at most"),
        ("version = 4\n", (1, 6, 0), "reads 2 at most"),
        ("version = 5\n", (2, 3, 0), "does not know"),
        ("version = 'x'\n", (2, 3, 0), "does not know"),
    ],
)
def test_schema_that_containerd_would_not_read_is_refused(
    text: str, containerd: tuple[int, ...], reason: str
) -> None:
    with pytest.raises(NodeError, match=reason):
        schema_of(tomllib.loads(text), "c", containerd)


@pytest.mark.parametrize(
    ("text", "containerd", "schema"),
    [("", (1, 6), 2), ("", (2, 1), 3), ("version = 2\n", (2, 1), 2), ("version = 4\n", (2, 3), 4)],
)
def test_schema_of_a_file(text: str, containerd: tuple[int, ...], schema: int) -> None:
    assert schema_of(tomllib.loads(text), "c", containerd) == schema


@pytest.mark.parametrize("text", ["a = ", "version = 2\nplugins = 1\n"])
def test_unusable_text_is_refused_by_name(text: str) -> None:
    with pytest.raises(NodeError, match=r"^/etc/c"):
        with_handler(text, "/etc/c", 2, PLAIN, NEW)


keys = st.text("abcz", min_size=1, max_size=3)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), st.text("aé\"\\'\n#[", max_size=5)),
    lambda inner: st.one_of(
        st.lists(st.integers(), max_size=3), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    other=st.dictionaries(keys, values, max_size=4),
    entries=st.dictionaries(st.sampled_from(["runc", "kata", "x.y"]), values, max_size=2),
    schema=st.sampled_from([2, 3, 4]),
    inline=st.booleans(),
)
def test_any_document_keeps_what_it_held(
    other: dict[str, Any], entries: dict[str, Any], schema: int, *, inline: bool
) -> None:
    table: Any = {PLUGINS[schema]: {"containerd": {"runtimes": entries}}}
    if inline:
        item = tomlkit.inline_table()
        item.update(table)
        table = item
    text = tomlkit.dumps({"version": schema, **other, "plugins": table})
    old = tomllib.loads(text)
    put = with_handler(text, "c", schema, SYSTEMD, NEW)
    new = tomllib.loads(put)
    assert new["plugins"][PLUGINS[schema]]["containerd"]["runtimes"].pop("tandem") == SYSTEMD.table
    assert new == old
    assert tomllib.loads(without_handler(put, "c") or "")["version"] == schema


@given(st.text(max_size=80))
def test_no_text_crashes(text: str) -> None:
    with contextlib.suppress(NodeError):
        with_handler(text, "c", 2, PLAIN, NEW)
    with contextlib.suppress(NodeError):
        without_handler(text, "c")


def test_type_is_the_one_that_the_shim_is_found_by() -> None:
    assert RUNTIME_TYPE == "io.containerd.tandem.v1"


NO_RUNTIMES = {
    "none": "",
    "only a version": "version = 2\n",
    "CRI without runtimes": f"version = 2\n[plugins.'{PLUGINS[2]}'.cni]\n  bin_dir = '/x'\n",
}


@pytest.mark.parametrize("text", NO_RUNTIMES.values(), ids=NO_RUNTIMES)
def test_old_containerd_is_told_its_own_default_too(text: str) -> None:
    put = with_handler(text, "c", 2, SYSTEMD, OLD)
    assert runtimes(put, 2) == {
        "runc": {"runtime_type": "io.containerd.runc.v2"},
        "tandem": SYSTEMD.table,
    }
    assert with_handler(put, "c", 2, SYSTEMD, OLD) == put
    other = with_handler(put, "c", 2, PLAIN, OLD)
    assert runtimes(other, 2)["tandem"] == PLAIN.table
    rest = without_handler(put, "c")
    assert rest is not None
    assert "runc" not in rest
    assert rest.removeprefix("version = 2").strip() == text.removeprefix("version = 2").strip()
    assert set(runtimes(with_handler(text, "c", 2, PLAIN, NEW), 2)) == {"tandem"}


def test_default_that_was_told_stays_where_another_runtime_has_come_since() -> None:
    put = with_handler("version = 2\n", "c", 2, PLAIN, OLD)
    put += f"[plugins.'{PLUGINS[2]}'.containerd.runtimes.other]\n  runtime_type = 'x'\n"
    rest = without_handler(put, "c")
    assert rest is not None
    assert set(runtimes(rest, 2)) == {"runc", "other"}


def test_default_that_a_person_has_is_left_alone() -> None:
    put = with_handler(COMMENTED, "c", 2, PLAIN, OLD)
    assert put.startswith(COMMENTED)
    assert put.count("runtimes.runc") == COMMENTED.count("runtimes.runc")
