"""The laws, on every plugin of this package."""

from sparsebench.conformance import parametrize_with_checks


@parametrize_with_checks("mest")
def test_mest(check):
    check()


@parametrize_with_checks("mest-em")
def test_mest_em(check):
    check()


@parametrize_with_checks("mest-ems")
def test_mest_ems(check):
    check()


@parametrize_with_checks("numpy")
def test_numpy(check):
    check()
