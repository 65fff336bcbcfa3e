"""Keys met before are known, in every order, across the limit at which they are packed."""

import random

from ssd_plugin.core.seen import RECENT, Seen


def test_it_says_what_a_set_says() -> None:
    rng = random.Random(0)
    seen, known = Seen(), set[tuple[str, int]]()
    for _ in range(4 * RECENT):
        key = ("task", rng.randrange(3 * RECENT))
        assert seen.add(key) is (key in known)
        known.add(key)
    assert len(known) > 2 * RECENT  # so that keys of all three kinds were asked for: packed twice, once, and recent
