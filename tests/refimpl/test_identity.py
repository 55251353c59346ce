"""image-spec identity/chainid_test.go: ids of layers one upon the other."""

import pytest

from refimpl.digest import from_bytes
from refimpl.identity import chain_id, chain_ids


@pytest.mark.parametrize("count", range(4))
def test_a_chain_id_hashes_the_one_below_and_the_layer(count):
    layers = [from_bytes(text.encode()) for text in "abc"][:count]
    ids: list[str] = []
    for layer in layers:
        ids.append(from_bytes(f"{ids[-1]} {layer}".encode()) if ids else layer)
    assert chain_ids(layers) == tuple(ids)
    assert chain_id(layers) == (ids[-1] if ids else "")
