"""Training methods: one file each, named here."""

from selfcure.methods.base import Forward, Method, Outputs
from selfcure.methods.plain import Plain
from selfcure.methods.scn import Scn

METHODS: dict[str, type[Method]] = {"plain": Plain, "scn": Scn}

__all__ = ["METHODS", "Forward", "Method", "Outputs"]
