"""wagi's modules.toml: what is read of it, and that every mistake is named."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shim.errdefs import InvalidArgumentError
from shim.oci.modules import (
    MAX_BYTES,
    MAX_MODULES,
    CgiModule,
    is_modules_file,
    is_route,
    parse_modules,
)

GOOD = '[[module]]\nroute = "/a"\nmodule = "/a.wasm"\n'


def read(text: str) -> tuple[CgiModule, ...]:
    return parse_modules(text.encode(), "/modules.toml")


def problem(text: str) -> str:
    with pytest.raises(InvalidArgumentError) as raised:
        read(text)
    assert str(raised.value).startswith("/modules.toml")
    return str(raised.value)


def test_everything() -> None:
    found = read(
        """
        [[module]]
        route = "/"
        module = "/srv//./hello.wasm"

        [[module]]
        route = "/app/..."
        module = "file:///app.wasm"
        entrypoint = "handle"
        argv = "ruby  index.rb ${SCRIPT_NAME} --at=${SCRIPT_NAME}! ${ARGS}"
        environment = { MODE = "a=b", EMPTY = "" }

        [[module]]
        route = "/start"
        module = "bin/app.wasm"
        entrypoint = "_start"
        """
    )
    argv = ("ruby", "index.rb", "${SCRIPT_NAME}", "--at=${SCRIPT_NAME}!", "${ARGS}")
    assert found == (
        CgiModule("/", "/srv/hello.wasm"),
        CgiModule("/app/...", "/app.wasm", "handle", argv, ("MODE=a=b", "EMPTY=")),
        CgiModule("/start", "bin/app.wasm"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no [[module]]; write one for each route"),
        ("module = 3", "has no [[module]]"),
        ("module = [3]", "module 1 is no table; begin each one with [[module]]"),
        ("[module]\nroute = '/a'", "has no [[module]]"),
        (GOOD + "[server]\n", "unknown key 'server'; it has one [[module]] for each route"),
        ("[[module]]", "module 1: route is missing; it is a path, such as /path, or /path/..."),
        ("[[module]]\nroute = 'a'", "module 1: route is 'a'; it is a path"),
        ("[[module]]\nroute = '/a b'", "route is '/a b'"),
        ("[[module]]\nroute = '/a...'", "route is '/a...'"),
        ("[[module]]\nroute = 3", "module 1: route must be a string"),
        ("[[module]]\nroute = '/a'", "module 1 (route /a): module is missing"),
        ("[[module]]\nroute = '/a'\nmodule = ''", "module 1 (route /a): module is missing"),
        (GOOD + "entrypoint = ''", "(route /a): entrypoint names no function; leave it out"),
        (GOOD + "argv = ' '", "(route /a): argv is empty"),
        (GOOD + "argv = '--${ARGS}'", "argv has the word '--${ARGS}'"),
        (GOOD + "argv = 'a ${HOME}'", "argv has the word '${HOME}'; it may have ${SCRIPT_NAME}"),
        (GOOD + "argv = ['a']", "argv must be a string"),
        (GOOD + "argv = 'a\0b'", "is not valid TOML"),
        (GOOD + 'argv = "a\\u0000b"', "argv holds a NUL"),
        (GOOD + "environment = 3", "environment must be a table of strings"),
        (GOOD + "environment = { A = 3 }", "environment must be a table of strings"),
        (GOOD + "environment = { 'A=B' = '' }", "environment has 'A=B', which is no variable"),
        (GOOD + "environment = { '' = '' }", "environment has ''"),
        (GOOD + 'environment = { A = "\\u0000" }', "environment has 'A'"),
        (GOOD + "volumes = {}", "(route /a): key 'volumes' is not honoured: mount a volume in"),
        (GOOD + "allowed_hosts = []", "annotation io.containerd.tandem.v1/allowed-outbound-hosts"),
        (GOOD + "http_max_concurrency = 3", "key 'http_max_concurrency' is not honoured"),
        (GOOD + "repository = ''", "key 'repository' is not honoured: put the module into"),
        (GOOD + "other = 1", "'other' is not honoured: a module has route, module, entrypoint"),
        (GOOD + GOOD, "modules 1 and 2 have the same route '/a'; give one of them another"),
        ("[[module]", "is not valid TOML: "),
        ("a = " + "[" * 5000, "is not valid TOML: "),
        ("a = " + "9" * 5000, "is not valid TOML: "),
        ("#" * (MAX_BYTES + 1), f"has more than {MAX_BYTES} bytes"),
        ("\na" + ".a" * 32000 + " = 1", "line 2 has more than 128 dots"),
    ],
)
def test_mistakes(text: str, words: str) -> None:
    assert words in problem(text)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("oci:foo/bar:1.2.3", "is fetched from nowhere: put the module into the image"),
        ("bindle:example.com/foo/1.0.0", "is fetched from nowhere"),
        ("https://example.com/a.wasm", "is fetched from nowhere"),
        ("file://a.wasm", "is fetched from nowhere"),
        ("/../a.wasm", "module: path '/../a.wasm' leads upwards"),
        ("a/../../b.wasm", "leads upwards"),
        ("/", "names no file"),
        ("/" + "a" * 300, "is too long"),
    ],
)
def test_modules_that_are_not_there(module: str, words: str) -> None:
    text = problem(f"[[module]]\nroute = '/a'\nmodule = '{module}'")
    assert text.startswith("/modules.toml: module 1 (route /a): module")
    assert words in text


def test_too_many() -> None:
    tables = [f"[[module]]\nroute = '/{n}'\nmodule = 'a'\n" for n in range(MAX_MODULES + 1)]
    assert len(read("".join(tables[1:]))) == MAX_MODULES
    assert f"has {MAX_MODULES + 1} modules, and {MAX_MODULES} are the most" in problem(
        "".join(tables)
    )


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^f is not valid TOML"):
        parse_modules(b"a = '\xff'", "f")


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/modules.toml", True), ("routes.toml", True), ("/app.wasm", False), ("", False)],
)
def test_entry_points_that_are_tables(path: str, expected: bool) -> None:
    assert is_modules_file(path) is expected


@pytest.mark.parametrize("text", ["", "a", "/.../a", "/a...", "/a?b", "/a#b", "/ä", "/a\n"])
def test_texts_that_are_no_routes(text: str) -> None:
    assert not is_route(text)


TEXTS = st.text("a/.:$ #=?{}", max_size=12).map(lambda text: f"'{text}'")
KNOWN = ["'/a'", "'/a/...'", "'a.wasm'", "'file:///a'", "'${ARGS}'", "'\\u0000'", '"\\u0000"']
OTHERS = [
    "1",
    "-0.5",
    "nan",
    "true",
    "1979-05-27",
    "[]",
    "['a', [1]]",
    "{}",
    "{ A = 'b' }",
    "{ '=' = 1 }",
]
VALUES = st.one_of(TEXTS, st.sampled_from(KNOWN + OTHERS))
KEYS = st.sampled_from(
    ["route", "module", "entrypoint", "argv", "environment", "environment.A", "volumes", "x"]
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=5).map(
    lambda table: "[[module]]\n" + "".join(f"{key} = {value}\n" for key, value in table.items())
)


@given(
    st.one_of(st.binary(max_size=200), st.lists(TABLES, max_size=4).map("".join).map(str.encode))
)
def test_nothing_else_leaves_the_reader(data: bytes) -> None:
    with contextlib.suppress(InvalidArgumentError):
        modules = parse_modules(data, "file")
        assert 1 <= len(modules) <= MAX_MODULES
        assert len({module.route for module in modules}) == len(modules)
        for module in modules:
            assert is_route(module.route)
            assert module.module.strip("/")
            assert ".." not in module.module.split("/")
            assert module.argv is None or module.argv
            assert all("=" in entry and "\0" not in entry for entry in module.env)


@given(st.lists(st.sampled_from(["/", "/a", "/a/b", "/...", "/a/...", "/%20"]), unique=True))
def test_tables_that_are_good_are_read_in_order(routes: list[str]) -> None:
    text = "".join(f'[[module]]\nroute = "{route}"\nmodule = "m"\n' for route in routes)
    if routes:
        assert [module.route for module in read(text)] == routes
