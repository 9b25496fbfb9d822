#!/bin/sh
# Makes every picture in this folder from the SVG files beside this script.
# Needs rsvg-convert (Debian: librsvg2-bin; rendered with 2.54) and python3 (the .ico and .icns are only containers of PNGs).
# Run it after a change of an SVG and commit what it made; the build does not run it.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

png() { rsvg-convert --width "$2" --height "$2" --output "$3" "$1.svg"; }

png app 32 32x32.png
png app 128 128x128.png
png app 256 128x128@2x.png
png app 512 icon.png
for state in calm near over paused; do
  png "tray-$state" 22 "tray-$state.png"
  png "tray-$state" 44 "tray-$state@2x.png"
done

for edge in 16 24 32 48 64 128 256 512; do png app $edge "$work/$edge.png"; done
python3 - "$work" <<'PY'
import pathlib, struct, sys

png = {int(path.stem): path.read_bytes() for path in pathlib.Path(sys.argv[1]).glob("*.png")}

# .ico: a directory of 16 bytes an entry, then the PNGs (an edge of 256 is written as 0).
edges = [16, 24, 32, 48, 64, 256]
at, directory, body = 6 + 16 * len(edges), b"", b""
for edge in edges:
    directory += struct.pack("<BBBBHHII", edge % 256, edge % 256, 0, 0, 1, 32, len(png[edge]), at + len(body))
    body += png[edge]
pathlib.Path("icon.ico").write_bytes(struct.pack("<HHH", 0, 1, len(edges)) + directory + body)

# .icns: blocks of a type, a length that counts its own 8 bytes, and a PNG.
blocks = [(b"ic11", 32), (b"ic12", 64), (b"ic07", 128), (b"ic13", 256), (b"ic08", 256), (b"ic14", 512), (b"ic09", 512)]
body = b"".join(kind + struct.pack(">I", 8 + len(png[edge])) + png[edge] for kind, edge in blocks)
pathlib.Path("icon.icns").write_bytes(b"icns" + struct.pack(">I", 8 + len(body)) + body)
PY
