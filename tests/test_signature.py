"""Releases are signed by minisign itself, and one that was touched afterwards is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from urbanos_edge.deploy.signature import NotSigned, check_signature


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A file, its signature, and the public key."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is missing: apt install minisign")
    file, key = tmp_path / "release.whl", make_key(tmp_path, "first")
    file.write_bytes(b"a release\n" * 1000)
    run("-S", "-s", f"{tmp_path}/first.key", "-m", str(file), "-t", "UrbanOS Edge 9.0.1, ärlig")
    return file, file.with_name("release.whl.minisig"), key


def make_key(folder: Path, name: str) -> Path:
    run("-G", "-W", "-f", "-p", f"{folder}/{name}.pub", "-s", f"{folder}/{name}.key")
    return folder / f"{name}.pub"


def run(*words: str) -> None:
    subprocess.run(["minisign", *words], check=True, capture_output=True, timeout=30)


def test_what_minisign_has_signed_is_taken_with_its_comment(
    signed: tuple[Path, Path, Path],
) -> None:
    assert check_signature(*signed) == "UrbanOS Edge 9.0.1, ärlig"


def test_a_file_that_was_touched_is_refused(signed: tuple[Path, Path, Path]) -> None:
    file, signature, key = signed
    file.write_bytes(file.read_bytes()[:-1] + b".")
    with pytest.raises(NotSigned, match="is not the file"):
        check_signature(file, signature, key)


def test_a_comment_that_was_touched_is_refused(signed: tuple[Path, Path, Path]) -> None:
    file, signature, key = signed
    signature.write_text(signature.read_text().replace("9.0.1", "9.0.2"))
    with pytest.raises(NotSigned, match="is not the file"):
        check_signature(file, signature, key)


def test_another_key_is_refused(signed: tuple[Path, Path, Path], tmp_path: Path) -> None:
    file, signature, _ = signed
    with pytest.raises(NotSigned, match="another key"):
        check_signature(file, signature, make_key(tmp_path, "second"))


def test_half_a_signature_is_refused(signed: tuple[Path, Path, Path]) -> None:
    file, signature, key = signed
    signature.write_text("\n".join(signature.read_text().splitlines()[:2]))
    with pytest.raises(NotSigned, match="not of minisign's making"):
        check_signature(file, signature, key)
    signature.unlink()
    with pytest.raises(NotSigned, match="cannot be read"):
        check_signature(file, signature, key)
