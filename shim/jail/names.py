"""How instances resolve the names of hosts: by glibc's own means, whatever the image says.

Rules: no native code of an image is ever run. /etc/nsswitch.conf names libraries that look names
up, and in the jail both it and they are the image's. Said once, to the daemon's C library, and
inherited: in each instance it would cost 0.2 ms.
"""

import ctypes


def resolve_without_plugins() -> None:
    """Have the C library ask /etc/hosts and the DNS servers of /etc/resolv.conf, for good.

    Both are part of glibc itself since 2.34; other C libraries have neither the file nor this call.
    """
    configure = getattr(ctypes.CDLL(None), "__nss_configure_lookup", None)
    if configure is not None:
        configure(b"hosts", b"files dns")
