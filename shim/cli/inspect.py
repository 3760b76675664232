"""`tandem inspect`: what something is, what it needs, and whether it will run here."""

from typing import Any

import click

from shim.cli.cached import cached_digests
from shim.cli.group import named
from shim.cli.node import node_store
from shim.cli.output import output_option, print_facts, print_json, size_text
from shim.cli.subject import Form, Found, Subject, load_subject
from shim.errdefs import InvalidArgumentError
from shim.wasm.needs import Outside, World, look_at

_MAX_NAMES = 8


@named("inspect")
@click.argument("subject")
@output_option
def command(subject: str, output: str) -> None:
    """Say what SUBJECT is, and whether it will run here.

    SUBJECT is a file, a directory, an OCI archive or layout, or the name of an image that was
    packed or pulled here. Nothing is compiled or run, and no registry is asked. Whether it runs is
    judged by names: what it imports, and what Tandem provides.

    JSON: subject, form (file, directory, artifact, image), packing, digest, size, platform,
    entrypoint, env, files (how many tars and files lie beside the modules), runs, reason, and
    modules, a list of: name, digest, size, kind, world, wasi, imports, exports, needs (feature,
    provided, note), cached, runs, reason.
    """
    found = load_subject(subject, node_store)
    cached = cached_digests()
    reports = [_report(module, cached) for module in found.modules]
    document = _document(subject, found, reports)
    if output == "json":
        print_json(document)
        return
    print_facts(_facts(document))
    for report in reports:
        click.echo()
        print_facts(_module_facts(report))


def _report(module: Found, cached: frozenset[str]) -> dict[str, Any]:
    try:
        outside, refusal = look_at(module.binary), ""
    except InvalidArgumentError as error:
        outside, refusal = None, str(error)
    refusal = refusal or (outside.refusal if outside else "it is no Wasm")
    report: dict[str, Any] = {
        "name": module.name,
        "digest": module.digest,
        "size": module.size,
        "kind": outside.kind.value if outside else None,
        "world": outside.world.value if outside else None,
        "wasi": outside.wasi if outside else None,
        "imports": list(outside.imports) if outside else [],
        "exports": list(outside.exports) if outside else [],
        "needs": _needs(outside) if outside else [],
        "cached": module.digest.removeprefix("sha256:") in cached,
        "runs": not refusal,
        "reason": refusal or _how(outside),
    }
    return report


def _needs(outside: Outside) -> list[dict[str, Any]]:
    return [
        {"feature": need.feature, "provided": need.provided, "note": need.note}
        for need in outside.needs
    ]


def _how(outside: Outside | None) -> str:
    match outside.world if outside else World.UNKNOWN:
        case World.COMMAND:
            return "a command: it starts by itself"
        case World.REACTOR | World.LIBRARY:
            return "no command: the entry point must name a function, as path#function"
        case World.HTTP:
            return "it answers HTTP requests"
        case _:
            return "in the text format: its imports show when it is compiled"


def _document(text: str, found: Subject, reports: list[dict[str, Any]]) -> dict[str, Any]:
    good = [report for report in reports if report["runs"]]
    reason = found.problem
    if not reason and len(reports) == 1:
        reason = reports[0]["reason"]
    elif not reason:
        reason = f"{len(good)} of {len(reports)} modules; the entry point says which"
    config = found.config
    platform = f"{config.os}/{config.architecture}" if config.os else ""
    return {
        "subject": found.name or text,
        "form": found.form.value,
        "packing": str(found.packing),
        "digest": found.digest or None,
        "size": found.size,
        "platform": platform or None,
        "entrypoint": [*config.entrypoint, *config.cmd],
        "env": list(config.env),
        "files": found.files,
        "runs": bool(good),
        "reason": reason,
        "modules": reports,
    }


def _facts(document: dict[str, Any]) -> dict[str, str]:
    facts = {"subject": document["subject"]}
    if document["form"] in {Form.ARTIFACT, Form.IMAGE}:
        facts["packing"] = f"{document['form']} ({document['packing']})"
        facts["digest"] = document["digest"] or ""
        facts["size"] = size_text(document["size"])
        facts["platform"] = document["platform"] or "not said"
        facts["entry point"] = " ".join(document["entrypoint"]) or "not said"
    else:
        facts["packing"] = document["packing"]
    if document["env"]:
        facts["env"] = "\n".join(document["env"])
    facts["runs here"] = f"{'yes' if document['runs'] else 'no'}: {document['reason']}"
    return facts


def _module_facts(report: dict[str, Any]) -> dict[str, str]:
    wasi = f"WASI {report['wasi']}" if report["wasi"] else "no WASI"
    needs = [
        f"{need['feature']}{'' if need['provided'] else ' (not here)'}: {need['note']}"
        for need in report["needs"]
    ]
    return {
        "module": report["name"],
        "digest": report["digest"],
        "size": size_text(report["size"]),
        "kind": f"{report['kind']}, {report['world']}, {wasi}",
        "imports": _listed(report["imports"]),
        "exports": _listed(report["exports"]),
        "needs": "\n".join(needs) or "nothing special",
        "compiled": "yes, in the cache" if report["cached"] else "not yet",
        "runs here": f"{'yes' if report['runs'] else 'no'}: {report['reason']}",
    }


def _listed(names: list[str]) -> str:
    shown = names[:_MAX_NAMES]
    if len(names) > _MAX_NAMES:
        shown.append(f"... and {len(names) - _MAX_NAMES} more (--output json has all)")
    return "\n".join(shown) or "none"
