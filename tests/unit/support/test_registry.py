"""The registry of the tests: it keeps what is pushed, asks for a password, speaks TLS."""

import json
import ssl
import urllib.error
import urllib.request

import pytest

from tests.support.images import MANIFEST_TYPE
from tests.support.registry import Blob, Registry, RegistryError

CONFIG = Blob("application/vnd.oci.image.config.v1+json", b"{}")
LAYER = Blob("application/wasm", b"\0asm\x01\0\0\0")


def manifest_of(config: Blob, *layers: Blob) -> Blob:
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    return Blob(MANIFEST_TYPE, json.dumps(document).encode())


def test_what_is_pushed_can_be_fetched() -> None:
    manifest = manifest_of(CONFIG, LAYER)
    with Registry() as registry:
        name = registry.push("pushed", manifest, CONFIG, LAYER)
        assert name == f"{registry.address}/pushed:1"
        fetched = registry.request("GET", f"/v2/pushed/blobs/{LAYER.digest}")
        assert fetched.body == LAYER.data
        accepted = {"Accept": MANIFEST_TYPE}
        found = registry.request("GET", "/v2/pushed/manifests/1", headers=accepted)
        assert (found.body, found.headers["content-type"]) == (manifest.data, MANIFEST_TYPE)


def test_manifest_without_its_blobs_is_refused() -> None:
    with Registry() as registry, pytest.raises(RegistryError, match="unknown"):
        registry.push("incomplete", manifest_of(CONFIG, LAYER), CONFIG)


def test_password_is_asked_for() -> None:
    with Registry(auth=True) as registry:
        registry.push("secret", manifest_of(CONFIG, LAYER), CONFIG, LAYER)
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{registry.url}/v2/secret/manifests/1", timeout=10)
        refused.value.close()
        assert refused.value.code == 401


def test_certificate_is_its_own() -> None:
    with Registry(tls=True) as registry:
        assert registry.url.startswith("https://127.0.0.1:")
        registry.push("sealed", manifest_of(CONFIG, LAYER), CONFIG, LAYER)
        with pytest.raises(urllib.error.URLError) as refused:
            urllib.request.urlopen(f"{registry.url}/v2/", timeout=10)
        assert isinstance(refused.value.reason, ssl.SSLCertVerificationError)
