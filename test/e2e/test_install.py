"""`meson install`: what goes where, and that it works from there."""
import json
import os
import pathlib
import re
import subprocess

import pytest

from daemon import environment

ROOT = pathlib.Path(__file__).resolve().parents[2]


def meson(*arguments):
    done = subprocess.run(["meson", *arguments], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def options(builddir):
    return {o["name"]: o["value"] for o in json.loads(meson("introspect", "--buildoptions", str(builddir)))}


def installed(builddir, destdir):
    meson("install", "--no-rebuild", "-C", str(builddir), "--destdir", str(destdir))
    return {str(p.relative_to(destdir)) for p in destdir.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def tree(builddir, tmp_path_factory):
    destdir = tmp_path_factory.mktemp("install")
    return destdir, installed(builddir, destdir)


def with_systemd(builddir):
    return "ECHOD_SYSTEMD" in meson("introspect", "--targets", str(builddir)).decode()


def test_nothing_but_what_belongs_there(builddir, tree):
    _, files = tree
    prefix = options(builddir)["prefix"].lstrip("/")
    units = {name for name in files if "/systemd/" in name}
    expected = {f"{prefix}/bin/echod"}
    pages = {name for name in files if re.search(r"/man/man(1/echod-(client|probe|report)\.1|8/echod(\.service)?\.8)(\.gz)?$", name)}
    documents = {name for name in files if f"{prefix}/share/doc/echod/" in name}
    assert expected <= files
    assert len(pages) == (5 if with_systemd(builddir) else 4), files
    assert files == expected | pages | units | documents, files - expected - pages - units


def test_the_installed_binary_runs(builddir, tree):
    destdir, _ = tree
    binary = destdir / options(builddir)["prefix"].lstrip("/") / "bin/echod"
    done = subprocess.run([binary, "--version"], capture_output=True, check=False, env=environment())
    assert done.returncode == 0 and done.stdout.startswith(b"echod, version ")


def test_units_exactly_where_systemd_is_built_in(builddir, tree):
    destdir, files = tree
    units = sorted(name for name in files if "/systemd/system/" in name)
    if not with_systemd(builddir):
        assert units == []
        return
    names = [os.path.basename(name) for name in units]
    assert names == ["echod-metrics.socket", "echod.service", "echod.socket"], names
    service = (destdir / next(u for u in units if u.endswith("echod.service"))).read_text()
    prefix = options(builddir)["prefix"]
    assert f"ExecStart={prefix}/bin/echod serve" in service
    assert "@" not in re.sub(r"~?@(system-service|privileged|resources)", "", service)
    assert "Type=notify\n" in service


def test_without_systemd_no_unit_is_installed(tmp_path):
    build = tmp_path / "build"
    meson("setup", str(build), "-Dsystemd=disabled", "-Dtests=disabled")
    plan = json.loads(meson("introspect", "--installed", str(build)))
    assert plan
    assert not [path for path in plan.values() if "systemd" in path], plan
    assert not [path for path in plan.values() if "echod.service" in path or path.endswith(".socket")]
    targets = meson("introspect", "--targets", str(build)).decode()
    assert "ECHOD_SYSTEMD" not in targets


def test_a_missing_library_is_one_line_that_names_its_package(tmp_path):
    """Where pkg-config finds nothing, the first thing missing is said in one line."""
    env = {**environment(), "PKG_CONFIG_LIBDIR": str(tmp_path), "PKG_CONFIG_PATH": ""}
    done = subprocess.run(
        ["meson", "setup", str(tmp_path / "build")], cwd=ROOT, env=env, capture_output=True, check=False
    )
    assert done.returncode != 0
    errors = [line for line in (done.stdout + done.stderr).decode().splitlines() if "ERROR" in line]
    assert len(errors) == 1
    assert "install package lib" in errors[0]
