"""A steady stream of readings, a process of its own: `python -m bench.steady`.

Arguments: port, token, batches of a thousand a second, seconds. Prints one line of JSON.
"""

from __future__ import annotations

import json
import random
import sys
import time

from bench.dataset import SENSORS, places
from bench.http import Connection
from bench.sending import MARK, batch_of, moment, post


def main() -> None:
    port, token, per_s, for_s = sys.argv[1:]
    spots = places()
    bodies = [
        batch_of(spots, range(start, start + 1000), MARK, random.Random(start))
        for start in range(0, SENSORS, 1000)
    ]
    began_s, sent, slowest_s = time.monotonic(), 0, 0.0
    with Connection(int(port)) as connection:
        while (due_s := began_s + sent / float(per_s)) < began_s + float(for_s):
            time.sleep(max(due_s - time.monotonic(), 0))
            body = bodies[sent % len(bodies)].replace(MARK.encode(), moment(time.time()).encode())
            posted_s = time.monotonic()
            post(connection, token, body)
            slowest_s = max(slowest_s, time.monotonic() - posted_s)
            sent += 1
    rate = sent * 1000 / (time.monotonic() - began_s)
    sys.stdout.write(json.dumps({"per_s": round(rate), "slowest_s": round(slowest_s, 3)}) + "\n")


if __name__ == "__main__":
    main()
