"""Try hostile files in worker processes with little memory and time: 100,000 by default.

    python docs/tools/mutations.py --count 100000 -o docs/results/mutations.json

Every mutation must end in an image or a LicframeError within 2 seconds of a core and 512 MiB beyond what the worker
holds with its codec loaded. A worker that is killed, or any other exception, is a finding; its operations are printed, and
belong into the tests as a golden case.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from licframe.runtime.atomic import write_json

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"
SECONDS, MEMORY = 2.0, 512 * 2**20


def work(seed: int, count: int) -> None:
    """Try mutations and print a line of JSON: outcomes, findings, the slowest, memory."""
    import torch

    from licframe.bitstream import container
    from licframe.codec.loading import load_for, load_latent
    from licframe.errors import LicframeError
    from licframe.testing.mutations import OPERATIONS, mutate

    torch.set_num_threads(1)
    files = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.lic"))}
    codec = load_latent("tiny")
    for data in files.values():
        load_for(container.read(data).header).decode(data)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    findings, slowest = [], 0.0
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        name = rng.choice(list(files))
        operations = [
            (rng.choice(OPERATIONS), rng.randrange(2**32), rng.randrange(2**32))
            for _ in range(rng.randint(1, 4))
        ]
        data = mutate(files[name], operations)
        begin = time.process_time()
        try:
            header = container.read(data).header
            known = header.fingerprint == codec.fingerprint[:6]
            (codec if known else load_for(header)).decode(data)
            outcomes["decoded"] += 1
        except LicframeError as error:
            outcomes[type(error).__name__] += 1
        except BaseException as error:  # noqa: BLE001  (that is what is looked for)
            findings.append([name, operations, repr(error)])
        took = time.process_time() - begin
        slowest = max(slowest, took)
        if took > SECONDS:
            findings.append([name, operations, f"{took:.2f} s"])
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held
    print(json.dumps({"outcomes": outcomes, "findings": findings, "slowest": slowest, "grown_kib": grown}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", "-o", type=Path)
    args = parser.parse_args()
    if args.worker:
        work(args.seed, args.count)
        return
    share = args.count // args.workers
    running = [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", "--count", str(share), "--seed", str(args.seed + k)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for k in range(args.workers)
    ]
    begin = time.perf_counter()
    outcomes: Counter[str] = Counter()
    findings: list[object] = []
    slowest = grown = 0.0
    for number, process in enumerate(running):
        said, _ = process.communicate()
        if process.returncode:
            findings.append(["worker", number, f"ended with {process.returncode}"])
            continue
        record = json.loads(said)
        outcomes.update(record["outcomes"])
        findings += record["findings"]
        slowest, grown = max(slowest, record["slowest"]), max(grown, record["grown_kib"] / 1024)
    report = {
        "mutations": share * args.workers,
        "outcomes": dict(outcomes),
        "findings": findings,
        "slowest_seconds": round(slowest, 3),
        "most_memory_mib": round(grown, 1),
        "minutes": round((time.perf_counter() - begin) / 60, 1),
    }
    print(json.dumps(report, indent=1))
    if args.output:
        write_json(args.output, report)
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
