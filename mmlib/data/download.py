"""Fetch a file once and know that it is the right one; unpack an archive, all of it or nothing."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from tqdm import tqdm

from mmlib._checks import check_choice, check_range

_BLOCK = 1 << 20  # bytes read at a time
_SILENCE = 30.0  # seconds for which a server may send nothing


class DownloadError(OSError):
    """A file could not be fetched, or is not the one it should be; the message says what to do."""


def download(url: str, path: Path, *, size: int, sha256: str) -> Path:
    """Return ``path``, after fetching it from ``url`` unless the right file is there already.

    Right means ``size`` bytes with this ``sha256``. The file grows as ``path`` + ``.part`` and is
    renamed once it is whole and right, so ``path`` never holds part of a file. A later call carries
    on with what an interrupted one left; a second process waits for the first.

    Raises :class:`DownloadError` if the server cannot be reached, refuses, stops early or sends
    another file, also a page in its place; ``ValueError`` for a ``url`` that is not http or https
    and for ``size`` < 1.
    """
    check_choice("scheme of url", urlsplit(url).scheme, ("http", "https"))
    check_range("size", size, 1)
    if _is_right(path, size, sha256):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    by_hand = f"Or bring the file from elsewhere to {path} ({size:,} bytes, sha256 {sha256})"
    with part.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if _is_right(path, size, sha256):  # another process was quicker
            part.unlink(missing_ok=True)
            return path
        try:
            _append(file, url, size)
        except urllib.error.HTTPError as error:
            with error:
                refusal = f"{url} answers {error.code} {error.reason}. {by_hand}"
            raise DownloadError(refusal) from error
        except _Other as error:
            file.truncate(0)  # not removed: a waiting process has this very file open
            raise DownloadError(f"{url} {error}. {by_hand}") from error
        except (OSError, HTTPException) as error:
            raise DownloadError(
                f"cannot fetch {url} ({error}). Run again when there is a network: it carries on"
                f" where it stopped. {by_hand}"
            ) from error
        found = _sha256(part)
        if found != sha256:
            file.truncate(0)
            raise DownloadError(f"{url} sent a file with sha256 {found}; expected {sha256}")
        os.replace(part, path)
    return path


class _Other(Exception):
    """What the server sends is not the file."""


def _append(file: BinaryIO, url: str, size: int) -> None:
    """Fetch what ``file`` lacks of ``size`` bytes; all of it if the server cannot send a part."""
    have = file.seek(0, os.SEEK_END)
    if have == size:
        return
    if have > size:
        have = file.truncate(0)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=_SILENCE) as answer:
        _check(answer, size, have)
        if answer.status != 206:
            have = file.truncate(0)
        name = Path(file.name).stem
        with tqdm(
            desc=name, initial=have, total=size, unit="B", unit_scale=True, disable=None
        ) as bar:
            while have <= size and (block := answer.read(_BLOCK)):
                have += file.write(block)
                bar.update(len(block))
    file.flush()
    if have < size:
        raise OSError(f"it stopped after {have:,} of {size:,} bytes")


def _check(answer: HTTPResponse, size: int, have: int) -> None:
    """Refuse before a byte of it is kept what says of itself that it is another file."""
    if answer.headers.get_content_type() == "text/html":
        raise _Other("sends a page, not the file: a login, perhaps, or a notice")
    told = answer.headers.get("Content-Length")
    whole = None if told is None else int(told) + (have if answer.status == 206 else 0)
    if whole not in (None, size):
        raise _Other(f"has a file of {whole:,} bytes; expected {size:,}")


def unpack(archive: Path, name: str, folder: Path, *, files: int) -> Path:
    """Return ``folder / name``, after unpacking it from a zip file unless it is there already.

    ``name`` is a file, or a folder of ``files`` files. It is unpacked beside its place and renamed
    once all its files are there and have their checksums, so no part of it is ever found there.

    Raises ``ValueError`` for an archive that cannot be read, holds other bytes than it says or
    another number of such files, and where as many are not in a folder that is there already.
    """
    target = folder / name
    if target.exists():
        found = sum(1 for _ in target.iterdir()) if target.is_dir() else 1
        if found != files:
            raise ValueError(f"{target} has {found:,} files; expected {files:,}. Remove it first")
        return target
    try:
        with (
            zipfile.ZipFile(archive) as packed,
            tempfile.TemporaryDirectory(dir=folder, prefix=f"{name}.part") as part,
        ):
            members = [
                member
                for member in packed.namelist()
                if member == name or (member.startswith(f"{name}/") and not member.endswith("/"))
            ]
            if len(members) != files:
                raise ValueError(
                    f"{archive} has {len(members):,} files of {name}; expected {files:,}"
                )
            for member in tqdm(members, desc=name, disable=None):
                packed.extract(member, part)
            os.replace(Path(part) / name, target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{archive} cannot be read ({error})") from error
    return target


def _is_right(path: Path, size: int, sha256: str) -> bool:
    return path.is_file() and path.stat().st_size == size and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
