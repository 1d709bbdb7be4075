"""`make fuzz`: thousands of damaged weight files, each read in a process that is watched. Ends with a table.

python tests/fuzz/fuzz.py [--minutes 9] [--least 500] [--seed 1]
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from corpus import CORPUS
from gpen2048.network import NetworkConfig
from gpen2048.weight_files.passthrough import passthrough_state_dict
from mutating import CHECKED, mutate, small_state, sound_files
from watching import Reader, fault

NETWORK = NetworkConfig(64, 1, 0.25)
NETWORK_SHARE = 0.15  # of the files; they are a hundred times larger


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--least", type=int, default=500, help="files to try even if that takes longer")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    with tempfile.TemporaryDirectory() as folder:
        return Fuzz(Path(folder), options.seed).run(time.monotonic() + options.minutes * 60, options.least)


class Fuzz:
    """Counts what came of every kind of damage to every kind of file."""

    def __init__(self, folder: Path, seed: int):
        self.path = folder / "fuzzed"
        self.chance = random.Random(seed)
        self.reader = Reader()
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.faults: list[str] = []
        self.highest = 0.0

    def run(self, deadline: float, least: int) -> int:
        self._corpus()
        small = self._prepared(sound_files(small_state()), "state")
        network = self._prepared(sound_files(passthrough_state_dict(NETWORK)), "network")
        done = 0
        while done < least or time.monotonic() < deadline:
            how = "network" if self.chance.random() < NETWORK_SHARE else "state"
            self._one(how, *self.chance.choice(network if how == "network" else small))
            done += 1
        self.reader.close()
        return self._report(done)

    def _prepared(self, files: dict[str, bytes], how: str) -> list[tuple[str, bytes, dict[str, str]]]:
        """Each kind of file with what a sound one gives."""
        prepared: list[tuple[str, bytes, dict[str, str]]] = []
        for kind, content in files.items():
            self.path.write_bytes(content)
            self.reader.read(how, self.path)  # what is imported on first use takes memory too
            answer = self.reader.read(how, self.path)
            assert answer["outcome"] == "loaded", answer
            self.highest = max(self.highest, answer["peak"] / max(len(content), 1 << 20))
            prepared.append((kind, content, answer["keys"]))
        return prepared

    def _one(self, how: str, kind: str, content: bytes, sound: dict[str, str]) -> None:
        what, damaged, changes = mutate(content, self.chance)
        self.path.write_bytes(damaged)
        answer = self.reader.read(how, self.path)
        # A changed number of a checkpoint reaches several folded tensors.
        spread = changes if how == "state" else 10**6
        wrong = fault(answer, len(damaged), sound, kind in CHECKED, spread)
        self.counts[kind, what, answer["outcome"]] += 1
        self.highest = max(self.highest, answer["peak"] / max(len(damaged), 1 << 20))
        if wrong:
            kept = Path(tempfile.gettempdir()) / f"fuzzed-{len(self.faults)}"
            kept.write_bytes(damaged)
            self.faults.append(f"{kind}, {what}: {wrong} (kept as {kept})")

    def _corpus(self) -> None:
        target = self.path.with_name("touched")
        for name, (make, word) in CORPUS.items():
            self.path.write_bytes(make(target))
            answer = self.reader.read("state", self.path)
            wrong = fault(answer, self.path.stat().st_size, {}, False, 0)
            if target.exists() or answer["outcome"] == "loaded" or word not in answer["message"] or wrong:
                self.faults.append(f"corpus, {name}: {wrong or answer}")
            self.counts["corpus", name, answer["outcome"]] += 1

    def _report(self, done: int) -> int:
        for (kind, what, outcome), count in sorted(self.counts.items()):
            if kind != "corpus":
                print(f"{kind:12} {what:26} {outcome:10} {count:6}")
        print(f"{len(CORPUS)} malicious files and {done} damaged ones; at most {self.highest:.2f} x the file in memory")
        print("(of files below 1 MiB, x 1 MiB)")
        for wrong in self.faults:
            print(f"FAULT {wrong}")
        return 1 if self.faults else 0


if __name__ == "__main__":
    sys.exit(main())
