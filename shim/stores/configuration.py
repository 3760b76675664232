"""A guest's configuration, from three places.

Where two have a key, the first of these wins:
1. annotations of the pod or container, `io.containerd.tandem.v1/config.KEY`;
2. the files of the mounted directories that `io.containerd.tandem.v1/config-directory` names, in
   its order, read anew each time;
3. variables `WASI_CONFIG_KEY` of the container, those of its image among them.

Rules: other variables are not configuration: what a guest prints of its configuration must not
hold what somebody put into the environment for another purpose.
"""

from collections.abc import Iterable

from shim.stores.directory import read_value, read_values
from shim.stores.options import GuestOptions

VARIABLE_PREFIX = "WASI_CONFIG_"


class Configuration:
    """One container's."""

    def __init__(self, options: GuestOptions, env: Iterable[tuple[str, str]]) -> None:
        self._values = dict(options.values)
        self._directories = options.directories
        self._variables: dict[str, str] = {}
        for name, value in env:
            key = name.removeprefix(VARIABLE_PREFIX)
            if key and key != name:
                self._variables[key] = value

    def get(self, key: str) -> str | None:
        """The value of a key, None where no place has it.

        Raises:
            DirectoryError: a place that may have it cannot be read.
        """
        if key in self._values:
            return self._values[key]
        for directory in self._directories:
            value = read_value(directory, key)
            if value is not None:
                return value
        return self._variables.get(key)

    def get_all(self) -> dict[str, str]:
        """Every key with its value, sorted by key.

        Raises:
            DirectoryError: a place cannot be read.
        """
        found = dict(self._variables)
        for directory in reversed(self._directories):
            found |= read_values(directory)
        return dict(sorted((found | self._values).items()))
