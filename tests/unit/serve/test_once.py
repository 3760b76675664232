"""What happens once: before and after, for any number that wait."""

import threading

from shim.serve.once import Once


def test_all_that_wait_go_on() -> None:
    once, passed = Once(), []

    def wait() -> None:
        once.wait()
        passed.append(1)

    threads = [threading.Thread(target=wait) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert not passed
    once.set()
    once.set()
    for thread in threads:
        thread.join(10)
    assert len(passed) == 4


def test_who_comes_later_does_not_wait() -> None:
    once = Once()
    once.set()
    once.wait()
    once.wait()
