"""``python -m tests.performance.fuzz [COUNT] [SEED]``: damage files and watch the command line, 20000 by default."""

import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.performance.fuzz.damage import cases, complaint, damaged, workplace


def main() -> int:
    """Run the sweep; the exit code is 1 if the command misbehaved, and the files that made it do so are kept."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    began, bad = time.monotonic(), Counter[str]()
    with workplace() as folder:
        kinds = cases(folder)
        for number in range(count):
            case = kinds[number % len(kinds)]
            content = damaged(case.content, rng)
            wrong = complaint(case, folder, content)
            if wrong:
                bad[case.kind] += 1
                kept = Path(f"fuzz-{number}-{case.name}")
                kept.write_bytes(content)
                print(f"{kept}: {wrong}")
            if number % 1000 == 999:
                print(f"{number + 1} files, {sum(bad.values())} bad, {time.monotonic() - began:.0f} s", flush=True)
    print(f"{count} files, bad: {dict(bad) or 'none'}")
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
