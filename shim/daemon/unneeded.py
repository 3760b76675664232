"""Keeps out of the daemon what its libraries import where they find it, and nothing here uses.

structlog takes rich, for consoles, and asyncio takes ssl, for connections that no process of a pod
makes. Every process forked later would have them in its memory: docs/performance.md. Rules:
imported before structlog and asyncio; a leaf that needs one of them takes its entry out of
`sys.modules`.
"""

import sys

UNNEEDED = ("rich", "ssl")

# None there makes an import fail (Python reference, 5.3.1, "The module cache").
sys.modules.update(dict.fromkeys(UNNEEDED))  # type: ignore[arg-type]  # typed as if there were none
