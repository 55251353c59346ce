"""Settings that all tests of the reference share."""

from hypothesis import settings

# Machines are slow at times: how long an example takes is never what is tested.
settings.register_profile("refimpl", deadline=None, max_examples=50)
settings.load_profile("refimpl")
