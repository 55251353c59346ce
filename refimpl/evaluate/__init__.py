"""What the reference makes of the inputs of golden vectors.

A vector names a function of containerd, a kind and an input; :func:`evaluate` calls
the function's counterpart here and returns what the vector records as its output.

    output = await evaluate("platforms.Parse", "os-arch", "linux/amd64")
"""

from refimpl.evaluate.table import evaluate

__all__ = ["evaluate"]
