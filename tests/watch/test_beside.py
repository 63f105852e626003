"""Work on the second core: all of it is done, once, and errors come through."""

import threading

import pytest

from slipstate.watch.beside import beside


def test_every_part_is_done_once_and_both_roads_take_part():
    done, threads = [], set()
    both = threading.Barrier(2, timeout=30)

    def part(k):
        def run():
            if k < 2:  # the first two wait for each other, so two threads have them
                both.wait()
            threads.add(threading.get_ident())
            done.append(k)

        return run

    seen = []
    with beside([part(k) for k in range(20)]) as finish:
        finish(lambda n, total: seen.append((n, total)))
        assert sorted(done) == list(range(20))
    assert len(threads) == 2
    assert seen[-1] == (20, 20)


def test_an_error_of_the_other_road_is_raised_on_the_main_one():
    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), beside([broken]) as finish:
        finish(lambda n, total: None)


def test_work_is_not_begun_after_the_road_was_left():
    begun = []
    hold = threading.Event()
    parts = [lambda: hold.wait(30), lambda: begun.append(1)]

    def leave():
        with beside(parts):
            threading.Timer(0.2, hold.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert not begun


def test_nothing_to_do_is_done_at_once():
    seen = []
    with beside([]) as finish:
        finish(lambda n, total: seen.append((n, total)))
    assert seen == [(0, 0)]
