"""containerd's command line, and what is no command line of containerd's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.daemon.params import Action, Params, parse_params
from shim.errdefs import InvalidArgumentError

SHIM = "/usr/bin/containerd-shim-tandem-v1"
identifiers = st.from_regex(r"[A-Za-z0-9]+([._-][A-Za-z0-9]+)*", fullmatch=True)


@given(identifiers, identifiers, st.booleans())
def test_params_read_containerds_start(namespace: str, container_id: str, debug: bool) -> None:
    argv = [SHIM, "-namespace", namespace, "-address", "/c.sock", "-publish-binary", "/bin/c"]
    argv += ["-id", container_id, *(["-debug"] if debug else []), "start"]
    assert parse_params(argv) == Params(
        action=Action.START,
        namespace=namespace,
        id=container_id,
        address="/c.sock",
        publish_binary="/bin/c",
        debug=debug,
    )


def test_params_read_containerds_delete() -> None:
    argv = [SHIM, "-namespace", "n", "-address", "a", "-publish-binary", "p", "-id", "c"]
    params = parse_params([*argv, "-bundle", "/b", "delete"])
    assert (params.action, params.bundle) == (Action.DELETE, "/b")


def test_params_read_go_forms() -> None:
    params = parse_params([SHIM, "--namespace=n", "-id=c", "-debug=false", "-address=", "start"])
    assert (params.namespace, params.id, params.debug, params.address) == ("n", "c", False, "")


@pytest.mark.parametrize("flag", ["-v", "--v", "-version", "--version"])
def test_params_version_needs_nothing_else(flag: str) -> None:
    assert parse_params([SHIM, flag]).action is Action.VERSION


@pytest.mark.parametrize("flag", ["-info", "--info"])
def test_params_info_needs_nothing_else(flag: str) -> None:
    assert parse_params([SHIM, flag]).action is Action.INFO


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "nothing to do"),
        (["-namespace", "n", "-id", "c"], "nothing to do"),
        (["-namespace", "n", "-id", "c", "stop"], "unknown action 'stop'"),
        (["-namespace", "n", "-id", "c", "-socket", "/s", "start"], "unknown flag -socket"),
        (["-", "start"], "unknown flag -"),
        (["-namespace", "n", "start", "-id"], "flag -id needs a value"),
        (["-namespace", "n", "start"], "-id is missing"),
        (["-id", "c", "start"], "-namespace is missing"),
        (["-namespace", "n", "-id", "", "start"], "-id is missing"),
        (["-namespace", "..", "-id", "c", "start"], "-namespace is missing or malformed: '..'"),
        (["-namespace", "n", "-id", ".", "start"], "-id is missing or malformed: '.'"),
        (["-namespace", "n", "-id", "a/b", "start"], "-id is missing or malformed: 'a/b'"),
    ],
)
def test_params_refuse_by_name(words: list[str], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text.replace("'.'", r"'\.'")):
        parse_params([SHIM, *words])


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["-id", "-namespace", "start", "delete", "-debug", "--", "-id=", "/"]),
            st.text(max_size=8),
        ),
        max_size=8,
    )
)
def test_params_hostile_words_never_become_paths(words: list[str]) -> None:
    try:
        params = parse_params([SHIM, *words])
    except InvalidArgumentError:
        return
    if params.action in {Action.START, Action.DELETE}:
        for value in (params.id, params.namespace):
            assert value not in {"", ".", ".."}
            assert "/" not in value
