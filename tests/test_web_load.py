"""Twenty raters at one desk at once, over real HTTP."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from small_desk import desk, pages

from curate.web.app import make_app
from curate.web.desk import PipelineDesk

TOKEN, RATERS = "a-token-nobody-guesses", 20


@contextmanager
def served(at: PipelineDesk) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(at, token=TOKEN, rater=""), lifespan="off", ws="none", log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()


def sit(origin: str, rater: str, *, labels: int, until: float, times: list[float], said: list[tuple[str, str]]) -> None:
    """Label page after page as a browser does: one is asked for while another lies there."""
    with httpx.Client(base_url=origin, params={"token": TOKEN}, timeout=60) as client:
        for _ in range(labels):
            if time.monotonic() > until:
                return
            start = time.monotonic()
            coming = client.get("/api/pages", params={"rater": rater, "count": 2, "token": TOKEN}).json()["pages"]
            if not coming:
                return
            page = coming[0]["page_id"]
            word = {"rater": rater, "page_id": page, "level": int(page, 16) % 3, "seconds": 1.0}
            assert client.post("/api/labels", json=word).status_code == 201
            times.append(time.monotonic() - start)
            said.append((rater, page))


def all_at_once(at: PipelineDesk, *, labels: int, seconds: float) -> tuple[list[float], list[tuple[str, str]]]:
    times: list[float] = []
    said: list[tuple[str, str]] = []
    until = time.monotonic() + seconds
    with served(at) as origin:
        given = {"labels": labels, "until": until, "times": times, "said": said}
        threads = [threading.Thread(target=sit, args=(origin, f"rater {i}"), kwargs=given) for i in range(RATERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return times, said


def test_no_label_is_lost_and_no_page_comes_twice_to_one_rater(tmp_path: Path) -> None:
    at = desk(tmp_path, rows=pages(400), needed=100)
    _, said = all_at_once(at, labels=10, seconds=120)
    rows = at.store.rows("labels")
    assert len(said) == RATERS * 10
    assert sorted((row["rater"], row["page_id"]) for row in rows) == sorted(said)
    assert len(set(said)) == len(said)
    wanted = at._wanted
    over = {page: n for page, n in Counter(page for _, page in said).items() if n > wanted[page]}
    assert not over, "no page got more raters than it wants"
    assert len(PipelineDesk(at.opened).store.rows("labels")) == len(said)


if __name__ == "__main__":
    import tempfile

    made = desk(Path(tempfile.mkdtemp()), rows=pages(6000), needed=500)
    took, spoken = all_at_once(made, labels=10**6, seconds=60)
    took.sort()
    rows = made.store.rows("labels")
    over = Counter(page for _, page in spoken)
    print(
        f"{len(spoken)} labels in 60 s, median {took[len(took) // 2]:.3f} s, 95 % {took[int(len(took) * 0.95)]:.3f} s; "
        f"stored {len(rows)}, lost {len(set(spoken) - {(r['rater'], r['page_id']) for r in rows})}, "
        f"twice to one {len(spoken) - len(set(spoken))}, over {sum(n > made._wanted[p] for p, n in over.items())}"
    )
