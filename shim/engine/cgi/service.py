"""Programs that answer HTTP requests as CGI: each request by an instance of its own.

Rules: as in `shim.engine.http.service`, whose place this takes. The answer's header is a part of
what the program prints, and not looked at here.
"""

import itertools
from collections.abc import Sequence

import wasmtime

from shim.engine.cgi.guests import ComponentProgram, Guest, ModuleProgram
from shim.engine.cgi.handlers import Handler
from shim.engine.cgi.routes import RouteTable
from shim.engine.cgi.variables import Target, arguments, find_target, variables
from shim.engine.code import Checks
from shim.engine.guest import GuestFailure, Program, environment, reason_of
from shim.engine.http import native as n
from shim.engine.http.exchange import Answer, Census, Exchange, Response
from shim.engine.http.fields import Fields
from shim.engine.http.linker import LIVE, serving_host
from shim.engine.http.wasi import Texts, Wasi
from shim.errdefs import StaleArtefactError
from shim.wasm.binary import Kind


class CgiService:
    """A container's programs, from their artefacts to their answers."""

    def __init__(self, handlers: Sequence[Handler], memory_bytes: int, fuel: int = 0) -> None:
        """Map the artefacts, which are interruptible ones.

        Args:
            handlers: what is run for each request; what is none of theirs is answered with 404.
            memory_bytes: what each linear memory of an instance may grow to.
            fuel: as for `shim.engine.http.service.Service`.

        Raises:
            StaleArtefactError: wasmtime refuses an artefact, or it is gone.
        """
        self._host = serving_host(Checks.FUEL if fuel else Checks.STOP)
        self._handlers = handlers
        self._routes = RouteTable([handler.route for handler in handlers])
        self._guests: list[Guest] = []
        for number, handler in enumerate(handlers):
            same = (n for n in range(number) if handlers[n].program == handler.program)
            earlier = next(same, None)
            self._guests.append(
                self._load(handler.program) if earlier is None else self._guests[earlier]
            )
        self._wasi = Wasi(self._host, memory_bytes)
        self._fuel = fuel
        self.census: Census | None = None
        self._variables = [environment(handler.program) for handler in handlers]
        self._numbers = itertools.count(1)
        self._engine_at = n.address(self._host.engine)

    def prepare(self) -> None:
        """Link everything that is the same for all requests; runs no guest code.

        Raises:
            GuestFailure: one of them cannot be linked, or is no program.
        """
        for guest in dict.fromkeys(self._guests):
            try:
                guest.prepare()
            except GuestFailure as failure:
                route = self._handlers[self._guests.index(guest)].route.text
                raise GuestFailure(f"route {route}: {failure}") from failure

    def _load(self, program: Program) -> Guest:
        kind = ModuleProgram if program.kind is Kind.MODULE else ComponentProgram
        try:
            return kind(self._host.engine, program)
        except wasmtime.WasmtimeError as error:
            raise StaleArtefactError(
                f"cannot load the artefact {program.artefact}: {error}; it has to be compiled again"
            ) from error

    def handle(self, exchange: Exchange) -> None:
        """Run a guest for one request; what became of it is in the exchange."""
        target = find_target(exchange.request, self._routes)
        if isinstance(target, int):
            exchange.answer = Answer(Response(Fields(), target))
            exchange.peer.ended()
            return
        guest = self._guests[target.number]
        number = next(self._numbers)
        store = n.store_new(self._engine_at, number, None)
        LIVE[number] = exchange
        made = False
        try:
            context = n.store_context(store)
            try:
                texts = self._texts(exchange, target)
                self._wasi.furnish(store, number, exchange.request, texts)
                n.set_epoch_deadline(context, 1)
                if self._fuel:
                    n.check(n.set_fuel(context, self._fuel))
                exchange.peer.opened()
                if exchange.request.body is None:
                    # Nobody tells when the program reads.
                    exchange.peer.wants_body()
                # It is made as a part of its run, of which nobody tells the time.
                if self.census is not None:
                    self.census.made()
                made = True
                exchange.trap = guest.run(context, exchange)
            except wasmtime.WasmtimeError as error:
                exchange.trap = reason_of(error)
            if self._fuel and exchange.trap is not None and n.fuel_of(context) == 0:
                exchange.over = "fuel"
            # Before the instance is taken apart, which takes a while.
            exchange.peer.ended()
        finally:
            if exchange.calls is not None:
                exchange.calls.close()
            exchange.forget_guest()
            guest.forget(number)
            del LIVE[number]
            n.store_delete(store)
            if made and self.census is not None:
                self.census.gone()

    def tick(self) -> None:
        """Let every running guest look whether it must stop."""
        self._host.engine.increment_epoch()

    def _texts(self, exchange: Exchange, target: Target) -> Texts:
        handler = self._handlers[target.number]
        own = self._variables[target.number]
        return Texts(
            arguments(target, handler.program.args[1:], handler.argv),
            variables(exchange.request, target, handler.route, exchange.peer.ends(), own),
        )
