"""Every deliberate error of lmprog is one `except` away."""

import lmprog as lp


def is_ours(error: Exception) -> bool:
    """Tell lmprog's own errors from bugs."""
    return isinstance(error, lp.LmprogError)


if __name__ == "__main__":
    print(is_ours(lp.LmprogError("planned")), is_ours(ValueError("not planned")))
