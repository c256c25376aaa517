# SPDX-License-Identifier: GPL-2.0-or-later
"""Man pages, completion, what is installed and the Debian package: all of them from one table."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / "build"
PROGRAMS = {"hinttrace": BUILD / "guest/hinttrace", "hintrun": BUILD / "bin/hintrun"}
PAGES = {"hinttrace": BUILD / "man/hinttrace.8", "hintrun": BUILD / "man/hintrun.1"}


def output(*command: object, **more: object) -> str:
    return subprocess.run([str(x) for x in command], check=True, capture_output=True, text=True, **more).stdout


def options_in_help(name: str) -> set[str]:
    """Long and short, as --help prints them; boot's are in a text of their own."""
    text = output(PROGRAMS[name], "--help")
    if name == "hintrun":
        text += output(PROGRAMS[name], "boot", "--help")
    lines = re.findall(r"^  (?:(-\w), |    )(--[a-z-]+)", text, re.M)
    return {x for line in lines for x in line if x}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    """Pages and completions, made anew of what the programs print now."""
    folder = tmp_path_factory.mktemp("man")
    made: dict[str, dict[str, Path]] = {}
    install = TOP / "collectors/install"
    for name, program in PROGRAMS.items():
        table = folder / f"{name}.table"
        table.write_text(output(program, "--help=table"))
        page = folder / PAGES[name].name
        page.write_text(output("python3", "-B", install / "manual.py", "man", table, install / f"{page.name}.in",
                               install / "changelog"))
        completion = folder / name
        completion.write_text(output("python3", "-B", install / "manual.py", "bash", table))
        made[name] = {"man": page, "bash": completion}
    return made


def complete(script: Path, name: str, *words: str) -> list[str]:
    """What bash would offer for the last of words."""
    return output("bash", "-c", f'''
        . "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        compopt() {{ :; }}
        _{name}; printf '%s\\n' "${{COMPREPLY[@]}}"''', script, *words).split()


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_has_every_option_of_help(made: dict[str, dict[str, Path]], name: str) -> None:
    page = output("man", "-l", made[name]["man"], env={"MANWIDTH": "100", "PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    entries = set(re.findall(r"(?<![\w-])(--?[A-Za-z][a-z-]*)", page))
    want = options_in_help(name)
    assert len(want) > 15
    assert want - entries == set()


@pytest.mark.parametrize("name", PROGRAMS)
def test_page_is_clean(made: dict[str, dict[str, Path]], name: str) -> None:
    page = made[name]["man"]
    man = subprocess.run(["man", "--warnings", "-l", page], capture_output=True, text=True, check=False,
                         env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"})
    assert (man.returncode, man.stderr) == (0, "")
    if not shutil.which("mandoc"):
        pytest.skip("mandoc is not installed: make setup-test")
    lint = subprocess.run(["mandoc", "-Tlint", page], capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_page_is_dated_and_numbered(made: dict[str, dict[str, Path]]) -> None:
    head = re.search(r'^\.TH HINTTRACE 8 (\d{4}-\d\d-\d\d) "hinttrace (\S+)"', made["hinttrace"]["man"].read_text(), re.M)
    assert head
    assert output(PROGRAMS["hinttrace"], "--version") == f"hinttrace {head[2]}\n"


def test_completion_offers_every_option(made: dict[str, dict[str, Path]]) -> None:
    script = made["hinttrace"]["bash"]
    offered = complete(script, "hinttrace", "hinttrace", "-")
    assert set(offered) == options_in_help("hinttrace")
    assert complete(script, "hinttrace", "hinttrace", "--list-f") == ["--list-fields"]


def test_completion_of_commands(made: dict[str, dict[str, Path]]) -> None:
    script = made["hintrun"]["bash"]
    names = re.findall(r"^  ([a-z]+)(?= |$)", output(PROGRAMS["hintrun"], "--help").split("Options")[0], re.M)
    assert "boot" in names
    assert set(complete(script, "hintrun", "hintrun", "")) == {*names, "--help"}
    of_run = set(complete(script, "hintrun", "hintrun", "run", "--"))
    of_boot = set(complete(script, "hintrun", "hintrun", "boot", "--"))
    assert of_run | of_boot == options_in_help("hintrun") | {"--help"}
    assert "--agent-fd" in of_boot - of_run
    assert "--arms" in of_run - of_boot
    # "=" is a word of its own to bash.
    assert complete(script, "hintrun", "hintrun", "run", "--clock", "=", "v") == ["virtual"]
    assert complete(script, "hintrun", "hintrun", "run", "--clock", "") == ["auto", "virtual", "real"]
    assert complete(script, "hintrun", "hintrun", "run", "--repeats", "") == []


def test_completion_of_files(made: dict[str, dict[str, Path]], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "afolder").mkdir()
    begin = f"{tmp_path}/a"
    script = made["hinttrace"]["bash"]
    assert set(complete(script, "hinttrace", "hinttrace", "--replay", begin)) == {f"{begin}.jsonl", f"{begin}folder"}
    assert complete(script, "hinttrace", "hinttrace", "--pinned", begin) == [f"{begin}folder"]


def test_kills_is_refused_beside_json() -> None:
    done = subprocess.run([PROGRAMS["hinttrace"], "--kills", "-j"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--kills is of text" in done.stderr


def test_bad_table_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("program\tx\t\tx\noption\t\tbefore-any-group\t\tx\n")
    done = subprocess.run(["python3", "-B", TOP / "collectors/install/manual.py", "bash", table],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{table}:2:" in done.stderr


# ---------------------------------------------------------------- installing

TRACER = {
    "sbin/hinttrace", "lib/hinttrace/bpf/hint.bpf.o", "lib/hinttrace/bpf/swap.bpf.o",
    "lib/hinttrace/bpf/allocfail.bpf.o", "lib/hinttrace/bpf/sample.bpf.o", "share/man/man8/hinttrace.8",
    "share/bash-completion/completions/hinttrace", "share/doc/hinttrace/tracer.md",
    "share/doc/hinttrace/screen.md", "share/doc/hinttrace/report.md",
}
RUNNER = {"bin/hintrun", "share/man/man1/hintrun.1", "share/bash-completion/completions/hintrun"}


def planned(target: str, *variables: str) -> set[str]:
    """Where `make install` would put something: `make -n` prints its commands."""
    lines = output("make", "-n", "V=1", target, *variables, cwd=TOP)
    return set(re.findall(r"install -D -m \d+ \S+ '([^']+)'", lines))


def test_what_is_installed_where() -> None:
    got = planned("install", "DESTDIR=/d", "PREFIX=/opt/x")
    assert got == {f"/d/opt/x/{x}" for x in TRACER | RUNNER} | {
        "/d/opt/x/lib/systemd/system/hinttrace.service", "/d/opt/x/etc/default/hinttrace"}
    got = planned("install-tracer", "DESTDIR=/d", "PREFIX=/usr")
    assert got == {f"/d/usr/{x}" for x in TRACER} | {
        "/d/lib/systemd/system/hinttrace.service", "/d/etc/default/hinttrace"}


def test_uninstall_names_what_install_put() -> None:
    removed = set(re.findall(r"rm -f '([^']+)'", output("make", "-n", "V=1", "uninstall", "DESTDIR=/d", cwd=TOP)))
    assert removed == planned("install", "DESTDIR=/d")


def unit() -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    for line in (TOP / "collectors/install/hinttrace.service.in").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            settings.setdefault(key, []).append(value)
    return settings


def test_unit_uses_options_that_exist() -> None:
    used = re.findall(r"--[a-z-]+", unit()["ExecStart"][0])
    assert used
    assert set(used) <= options_in_help("hinttrace")


def test_unit_has_the_rights_the_page_names(made: dict[str, dict[str, Path]]) -> None:
    rights = unit()["AmbientCapabilities"][0].split()
    assert unit()["CapabilityBoundingSet"][0].split() == rights
    named = re.findall(r"^\.B (CAP_\w+)$", made["hinttrace"]["man"].read_text(), re.M)
    assert sorted(named) == sorted(rights)


def test_unit_verifies(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    text = (TOP / "collectors/install/hinttrace.service.in").read_text()
    # What it starts and documents must be there for the check.
    path = tmp_path / "hinttrace.service"
    path.write_text(text.replace("@SBINDIR@/hinttrace", "/bin/true").replace("@SYSCONFDIR@", "/etc")
                    .replace("Documentation=man:hinttrace(8)\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Of 100: what docs/tracer.md says of it, and a little.
    rated = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", path],
                           capture_output=True, text=True, check=False)
    assert rated.returncode == 0, rated.stdout
    path.write_text(path.read_text().replace("OOMScoreAdjust=-1000", "OOMScoreAdjust=-9999"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    assert "OOM" in done.stderr  # so the check does look


# ---------------------------------------------------------------- the package

@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of stand-ins for what takes a kernel to build; the scripts and texts are those of the real one."""
    return make_package(tmp_path_factory.mktemp("deb"))


def make_package(folder: Path) -> Path:
    root = folder / "root"
    for name in TRACER - {"sbin/hinttrace", "share/man/man8/hinttrace.8"}:
        (root / "usr" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "usr" / name).write_text(name)
    for name, source in (("usr/sbin/hinttrace", PROGRAMS["hinttrace"]),
                         ("lib/systemd/system/hinttrace.service", TOP / "collectors/install/hinttrace.service.in"),
                         ("usr/share/man/man8/hinttrace.8", TOP / "collectors/install/hinttrace.8.in"),
                         ("etc/default/hinttrace", TOP / "collectors/install/hinttrace.default")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, root / name)
    output(TOP / "collectors/install/deb.sh", root, folder)
    (made,) = folder.glob("*.deb")
    return made


def test_package_contents(package: Path) -> None:
    files = {line.split()[5] for line in output("dpkg-deb", "-c", package).splitlines() if not line.startswith("d")}
    want = {f"./usr/{x}" for x in TRACER - {"share/man/man8/hinttrace.8"}} | {
        "./usr/share/man/man8/hinttrace.8.gz", "./usr/share/doc/hinttrace/changelog.gz",
        "./usr/share/doc/hinttrace/copyright", "./usr/share/lintian/overrides/hinttrace",
        "./lib/systemd/system/hinttrace.service", "./etc/default/hinttrace"}
    assert files == want
    owners = {line.split()[1] for line in output("dpkg-deb", "-c", package).splitlines()}
    assert owners == {"root/root"}


def test_package_control(package: Path, tmp_path: Path) -> None:
    fields = output("dpkg-deb", "-f", package)
    arch = output("dpkg", "--print-architecture").strip()
    version = output(PROGRAMS["hinttrace"], "--version").split()[1]
    for field in ("Package: hinttrace", f"Version: {version}", f"Architecture: {arch}"):
        assert field in fields.splitlines()
    assert not re.search(r"@[A-Z]+@", fields)
    output("dpkg-deb", "-e", package, tmp_path / "control")
    assert (tmp_path / "control/conffiles").read_text() == "/etc/default/hinttrace\n"
    sums = dict(reversed(x.split("  ")) for x in (tmp_path / "control/md5sums").read_text().splitlines())
    output("dpkg-deb", "-x", package, tmp_path / "tree")
    assert "usr/sbin/hinttrace" in sums
    for name, wanted in sums.items():
        assert output("md5sum", tmp_path / "tree" / name).split()[0] == wanted


def test_package_starts_nothing_by_itself(package: Path, tmp_path: Path) -> None:
    output("dpkg-deb", "-e", package, tmp_path / "control")
    for script in ("postinst", "prerm", "postrm"):
        text = (tmp_path / "control" / script).read_text()
        assert not re.search(r"(?<!try-)\b(enable|start|restart)\b", re.sub(r"^#.*$", "", text, flags=re.M)), script
        output("sh", "-n", tmp_path / "control" / script)


def test_package_is_the_same_again(package: Path, tmp_path: Path) -> None:
    assert make_package(tmp_path).read_bytes() == package.read_bytes()


def test_lintian_finds_nothing(package: Path) -> None:
    real = BUILD / "deb/hinttrace.deb"
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    if not real.exists():
        pytest.skip("no package of the real tracer: make deb")
    done = subprocess.run(["lintian", "--fail-on", "error,warning", "--allow-root", real], capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "")
