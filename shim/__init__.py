"""Tandem: a containerd runtime for WebAssembly and Linux containers in one pod."""

__version__ = "0.1.0"
