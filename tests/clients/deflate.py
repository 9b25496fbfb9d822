"""Lets the provider of a copy of the harness grant permessage-deflate, with its memory of earlier messages, to whom offers it (RFC 7692).

usage: deflate.py HARNESS
"""

import pathlib
import sys

path = pathlib.Path(sys.argv[1], "upstream.py")
code = path.read_text()
for old, new in [
    (
        '        writer.write(("HTTP/1.1 101 Switching',
        '        offered = "permessage-deflate" in (head.get("sec-websocket-extensions") or "")\n'
        "        packer, unpacker = zlib.compressobj(wbits=-15), zlib.decompressobj(wbits=-15)\n"
        "        if offered:\n"
        '            hdrs.append(("sec-websocket-extensions", "permessage-deflate"))\n'
        '        writer.write(("HTTP/1.1 101 Switching',
    ),
    ('            data, op0 = b"", None\n', '            data, op0, packed = b"", None, False\n'),
    ("                op0 = op or op0\n", "                op0 = op or op0\n                packed = packed or h[0] & 64\n"),
    (
        "                    return op0, data\n",
        '                    return op0, unpacker.decompress(data + b"\\0\\0\\xff\\xff") if packed else data\n',
    ),
    (
        "            n = len(p)\n            h = bytes([0x80 | op])",
        "            packs = offered and op < 8\n"
        "            if packs:\n"
        "                p = (packer.compress(p) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]\n"
        "            n = len(p)\n            h = bytes([0x80 | op | (64 if packs else 0)])",
    ),
    ("        self.log(ev=\"ws_open\", seq=r.seq)\n", "        self.log(ev=\"ws_open\", seq=r.seq, packed=offered)\n"),
]:
    if code.count(old) != 1:
        sys.exit(f"this harness is not the one that is known: it has {code.count(old)} times {old!r}")
    code = code.replace(old, new)
path.write_text(code)
