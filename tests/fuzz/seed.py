#!/usr/bin/env python3
"""Turns the seeds kept as text into the files that libFuzzer reads.

Usage: seed.py OUT      writes OUT/fuzz_<target>/<seed> for every seed of tests/fuzz/corpus

corpus/<target>/*.hex is hexadecimal text, lines that begin with "#" are comments;
corpus/<target>/*.txt is used unchanged. The hellos of tests/unit/data are also seeds of the hello
target, after a 0 byte (how the input is split). Certificates get a 0 byte, too (what follows). The
flights of corpus/flight are also seeds of the reply target (which has no byte for the offer).
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def from_hex(path):
    lines = path.read_text().splitlines()
    return bytes.fromhex("".join(x for x in lines if not x.startswith("#")))


def main(out):
    seeds = {}
    for target in sorted(p for p in (HERE / "corpus").iterdir() if p.is_dir()):
        for path in sorted(target.iterdir()):
            data = from_hex(path) if path.suffix == ".hex" else path.read_bytes()
            if target.name == "cert":
                data = b"\0" + data
            seeds[(target.name, path.stem)] = data
    for path in sorted((HERE.parent / "unit" / "data").glob("*.hex")):
        seeds[("hello", path.stem)] = b"\0" + from_hex(path)
    for path in sorted((HERE / "corpus" / "flight").glob("*.hex")):
        data = from_hex(path)
        seeds[("reply", "flight-" + path.stem)] = data[:1] + data[2:]
    for (target, name), data in seeds.items():
        folder = out / f"fuzz_{target}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
