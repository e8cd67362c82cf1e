"""Archives of PyTorch with the same bytes at every export, and without the paths of the machine that wrote them."""

import io
import re
import zipfile

_DATE = (1980, 1, 1, 0, 0, 0)
_ALIGNMENT = 64  # bytes, as PyTorch aligns tensors in its archives
_LEFT_OUT = (".debug_pkl", ".data/serialization_id")  # where the code came from, and a hash of that
_NUMBER = re.compile(rb"(?<=___torch_mangle_)\d+")  # PyTorch counts the classes that a process has traced


def reproducible(archive: bytes) -> bytes:
    """Return an archive without what differs from one process, machine or second to the next."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(target, "w") as copy:
        members = {entry.filename: source.read(entry) for entry in source.infolist()}
        kept = {name: data for name, data in members.items() if not name.endswith(_LEFT_OUT)}
        found = {int(number) for name in kept for number in _NUMBER.findall(name.encode())}
        ranks = {b"%d" % number: b"%d" % rank for rank, number in enumerate(sorted(found))}
        for name, data in kept.items():
            renamed = _renumbered(name.encode(), ranks).decode()
            is_code = name.endswith((".py", "/data.pkl"))
            _write(copy, renamed, _renumbered(data, ranks) if is_code else data)
    return target.getvalue()


def _renumbered(text: bytes, ranks: dict[bytes, bytes]) -> bytes:
    return _NUMBER.sub(lambda match: ranks.get(match[0], match[0]), text)


def _write(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    assert archive.fp is not None
    unpadded = archive.fp.tell() + 30 + len(name.encode()) + 4  # the header, the name, and the head of the extra field
    padding = -unpadded % _ALIGNMENT
    entry.extra = b"FB" + padding.to_bytes(2, "little") + b"Z" * padding
    archive.writestr(entry, data)
