"""The downloader against a small server on this machine; archives, whole and damaged."""

import hashlib
import re
import threading
import zipfile

import pytest

from mmlib.data.download import DownloadError, download, unpack

CONTENT = bytes(range(256)) * 9000  # more than two blocks
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(server):
    server.files["set.bin"] = CONTENT
    return server


def fetch(server, path, size=SIZE, sha256=SHA256):
    return download(f"{server.url}/set.bin", path, size=size, sha256=sha256)


def test_fetches_once(server, tmp_path):
    path = tmp_path / "deep" / "set.bin"
    assert fetch(server, path) == path
    assert path.read_bytes() == CONTENT
    assert fetch(server, path) == path
    assert server.asked == [None]
    assert list(path.parent.iterdir()) == [path]


def test_carries_on_where_it_stopped(server, tmp_path):
    path = tmp_path / "set.bin"
    server.stop_after = 1_500_000
    with pytest.raises(DownloadError, match=f"stopped after 1,500,000 of {SIZE:,} bytes"):
        fetch(server, path)
    assert not path.exists()
    server.stop_after = None
    fetch(server, path)
    assert server.asked == [None, "bytes=1500000-"]
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_starts_over_when_the_server_cannot_send_a_part(server, tmp_path):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(b"something else")
    server.ranges = False
    fetch(server, path)
    assert server.asked == ["bytes=14-"]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("extra", [b"", b"and more"])
def test_a_part_that_has_all_bytes_is_checked(server, tmp_path, extra):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(CONTENT + extra)
    fetch(server, path)
    assert server.asked == ([None] if extra else [])
    assert path.read_bytes() == CONTENT


def test_a_damaged_part_fails_once(server, tmp_path):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(b"x" * 100)
    with pytest.raises(DownloadError, match=f"expected {SHA256}"):
        fetch(server, path)
    assert not path.exists()
    fetch(server, path)
    assert server.asked == ["bytes=100-", None]
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("damage", [b"other", CONTENT[:-1] + b"x"], ids=["size", "sha256"])
def test_a_wrong_file_is_replaced(server, tmp_path, damage):
    path = tmp_path / "set.bin"
    path.write_bytes(damage)
    fetch(server, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT * 3], ids=["sha256", "longer"])
def test_another_file_is_refused(server, tmp_path, content):
    path = tmp_path / "set.bin"
    server.files["set.bin"], server.tells_length = content, False
    with pytest.raises(DownloadError, match=f"sent a file with sha256 .*; expected {SHA256}"):
        fetch(server, path)
    assert not path.exists()
    assert (tmp_path / "set.bin.part").stat().st_size == 0


@pytest.mark.parametrize("have", [0, 100])
@pytest.mark.parametrize("content", [CONTENT[:5000], CONTENT * 3], ids=["shorter", "longer"])
def test_a_file_of_another_size_is_refused_before_it_is_sent(server, tmp_path, content, have):
    path = tmp_path / "set.bin"
    (tmp_path / "set.bin.part").write_bytes(CONTENT[:have])
    server.files["set.bin"] = content
    told = rf"has a file of {len(content):,} bytes; expected {SIZE:,}\. Or bring .*{SHA256}"
    with pytest.raises(DownloadError, match=told):
        fetch(server, path)
    server.files["set.bin"] = CONTENT
    fetch(server, path)
    assert server.asked[-1] is None  # nothing of the other file was kept
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("tells_length", [True, False])
def test_a_page_in_place_of_the_file_is_not_kept(server, tmp_path, tells_length):
    path = tmp_path / "set.bin"
    server.files["set.bin"], server.kind = b"<html>Log in</html>", "text/html; charset=utf-8"
    server.tells_length = tells_length
    with pytest.raises(DownloadError, match=rf"sends a page, not the file.*{re.escape(str(path))}"):
        fetch(server, path)
    server.files["set.bin"], server.kind = CONTENT, "application/zip"
    fetch(server, path)
    assert server.asked == [None, None]
    assert path.read_bytes() == CONTENT


def test_server_that_refuses(server, tmp_path):
    server.status = 404
    with pytest.raises(DownloadError, match=r"/set\.bin answers 404 Not Found\. Or bring the file"):
        fetch(server, tmp_path / "set.bin")
    assert not (tmp_path / "set.bin").exists()


def test_no_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    path = tmp_path / "set.bin"
    with pytest.raises(DownloadError) as caught:  # port 9 is closed
        download("http://127.0.0.1:9/set.bin", path, size=SIZE, sha256=SHA256)
    for part in ("cannot fetch http://127.0.0.1:9/set.bin", str(path), f"{SIZE:,} bytes", SHA256):
        assert part in str(caught.value)


def test_second_caller_waits_for_the_first(server, tmp_path):
    path = tmp_path / "set.bin"
    threads = [threading.Thread(target=fetch, args=(server, path)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.asked == [None]
    assert path.read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [path]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="scheme of url is 'file'; allowed: 'http', 'https'"):
        download("file:///etc/hosts", tmp_path / "hosts", size=1, sha256="")
    with pytest.raises(ValueError, match=r"size is 0; allowed: \[1, inf\)"):
        download("http://localhost/", tmp_path / "hosts", size=0, sha256="")


# --- Archives -------------------------------------------------------------------------------------

FILES = {f"photos/{k}.jpg": bytes([k]) * 500 for k in range(20)}


@pytest.fixture
def archive(tmp_path):
    """A folder of photos, stored; a file, deflated; and what is not asked for."""
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.mkdir("photos")
        for name, content in FILES.items():
            packed.writestr(name, content)
        packed.writestr("list.json", "{}" * 1000, zipfile.ZIP_DEFLATED)
        packed.writestr("photos2/0.jpg", b"")
    return path


def test_unpacks_a_folder_or_a_file_once(archive, tmp_path):
    for name, files in (("photos", 20), ("list.json", 1)):
        assert unpack(archive, name, tmp_path, files=files) == tmp_path / name
    assert {f"photos/{p.name}": p.read_bytes() for p in (tmp_path / "photos").iterdir()} == FILES
    assert (tmp_path / "list.json").read_text() == "{}" * 1000
    assert {p.name for p in tmp_path.iterdir()} == {"set.zip", "photos", "list.json"}
    archive.unlink()
    assert unpack(archive, "photos", tmp_path, files=20) == tmp_path / "photos"


def test_an_archive_that_lacks_files_leaves_nothing(archive, tmp_path):
    for name, found in (("photos", 20), ("paintings", 0)):
        with pytest.raises(ValueError, match=f"has {found} files of {name}; expected 21"):
            unpack(archive, name, tmp_path, files=21)
    assert list(tmp_path.iterdir()) == [archive]


def test_a_folder_that_lacks_files_is_not_taken_for_whole(archive, tmp_path):
    unpack(archive, "photos", tmp_path, files=20)
    (tmp_path / "photos" / "7.jpg").unlink()
    with pytest.raises(ValueError, match=r"photos has 19 files; expected 20\. Remove it"):
        unpack(archive, "photos", tmp_path, files=20)


@pytest.mark.parametrize(("name", "files"), [("photos", 20), ("list.json", 1)])
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_archive_leaves_nothing(archive, tmp_path, damage, name, files):
    whole = archive.read_bytes()
    changed = bytearray(whole)
    changed[whole.index(b"photos/13.jpg") + 20] ^= 255
    changed[whole.index(b"list.json") + 12] ^= 255
    archive.write_bytes(changed if damage == "changed" else whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"set\.zip cannot be read"):
        unpack(archive, name, tmp_path, files=files)
    assert list(tmp_path.iterdir()) == [archive]
