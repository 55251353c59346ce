"""The cases, one module an area.

A case is a function over a `Bench` with one stimulus: arrange, stimulus, assertion
in view. What it expects to be rejected names as its twin the same scenario without
the fault. Its docstring says what the client must do, and why that matters.
"""
