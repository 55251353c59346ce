"""The conformance suite for clients that pull container images.

A case is a pytest function over a `conformance.bench.Bench`, declared with
`conformance.case.case`; `pull-conformance run` runs them all against a client and
says which clauses it keeps. conformance/cases shows what cases look like,
conformance/ADAPTER.md how to bring a client.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
