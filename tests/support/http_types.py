"""The types of wasi:http 0.2 that are no resources, in the text format: what its WIT says."""

_CODES = """DNS-timeout
DNS-error $dns
destination-not-found
destination-unavailable
destination-IP-prohibited
destination-IP-unroutable
connection-refused
connection-terminated
connection-timeout
connection-read-timeout
connection-write-timeout
connection-limit-reached
TLS-protocol-error
TLS-certificate-error
TLS-alert-received $tls
HTTP-request-denied
HTTP-request-length-required
HTTP-request-body-size (option u64)
HTTP-request-method-invalid
HTTP-request-URI-invalid
HTTP-request-URI-too-long
HTTP-request-header-section-size (option u32)
HTTP-request-header-size (option $size)
HTTP-request-trailer-section-size (option u32)
HTTP-request-trailer-size $size
HTTP-response-incomplete
HTTP-response-header-section-size (option u32)
HTTP-response-header-size $size
HTTP-response-body-size (option u64)
HTTP-response-trailer-section-size (option u32)
HTTP-response-trailer-size $size
HTTP-response-transfer-coding (option string)
HTTP-response-content-coding (option string)
HTTP-response-timeout
HTTP-upgrade-failed
HTTP-protocol-error
loop-detected
configuration-error
internal-error (option string)"""
_METHODS = "get head post put delete connect options trace patch"


def _variant(lines: list[str]) -> str:
    parts = (line.partition(" ") for line in lines)
    cases = (f'(case "{name}" {kind})' for name, _, kind in parts)
    return f"(variant {' '.join(cases)})"


def _record(**fields: str) -> str:
    named = ((name.replace("_", "-"), kind) for name, kind in fields.items())
    members = (f'(field "{name}" {kind})' for name, kind in named)
    return f"(record {' '.join(members)})"


_KINDS = {
    "dns": ("DNS-error-payload", _record(rcode="(option string)", info_code="(option u16)")),
    "tls": (
        "TLS-alert-received-payload",
        _record(alert_id="(option u8)", alert_message="(option string)"),
    ),
    "size": (
        "field-size-payload",
        _record(field_name="(option string)", field_size="(option u32)"),
    ),
    "error-code": ("error-code", _variant(_CODES.splitlines())),
    "header-error": ("header-error", _variant(["invalid-syntax", "forbidden", "immutable"])),
    "method": ("method", _variant([*_METHODS.split(), "other string"])),
    "scheme": ("scheme", _variant(["HTTP", "HTTPS", "other string"])),
}
# Exported from an instance type, as $dns, $tls, $size, $error-code and so on.
VARIANTS = "\n".join(
    f'(type ${word}-0 {text}) (export "{name}" (type ${word} (eq ${word}-0)))'
    for word, (name, text) in _KINDS.items()
)
