"""`python -m runtimeclass.manifests`: write the manifests, print what has changed."""

from runtimeclass.manifests import write

write(print)
