"""Programs of others: installed into the build folder at pinned versions, and run with a limit."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
sys.path.insert(0, str(ROOT / "test/e2e"))
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import daemon  # noqa: E402

INSTALL_SECONDS = 900
GO_WANTED = (1, 25)


class Missing(Exception):
    """Something that a suite needs is not to be had here: its cases are skipped, for this reason."""


def environment(more=None):
    """The daemon's, and no proxy between the peers, whatever the installers need one for."""
    env = daemon.environment(more)
    for name in ("no_proxy", "NO_PROXY"):
        env[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1"]))
    return env


def end(process, number=signal.SIGTERM):
    """Ends a child and what it started: each child leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        return process.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()


def run(command, log, seconds, env=None, cwd=None):
    """Runs to the end, both outputs into `log`; the exit code, or None when its time was over."""
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(env),
            cwd=cwd,
        )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            file.write(f"\nended after {seconds} s\n".encode())
            return None
        finally:
            end(process, signal.SIGKILL)


@contextlib.contextmanager
def serving(command_for_port, log, seconds=30):
    """A peer's server on a port of its own: started, listening, and ended in the end."""
    port = daemon.unused_port()
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [str(word) for word in command_for_port(port)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment(),
        )
    try:
        limit = time.monotonic() + seconds
        while not daemon.accepts(port):
            if process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"the peer's server did not start: {last_line(log)}")
            time.sleep(0.05)
        yield port
    finally:
        end(process)


@contextlib.contextmanager
def echod(context, name, *flags):
    """`echod serve`, which must also end well."""
    server = daemon.Server(str(context.binary("src/echod")), flags, context.logs / f"{name}.log")
    try:
        server.wait_ready()
        yield server
    except BaseException:
        server.process.kill()
        server.process.wait()
        raise
    server.finish()


def last_line(log):
    lines = [line.strip() for line in pathlib.Path(log).read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def sanitizer_words(log):
    found = daemon.SANITIZER.search(pathlib.Path(log).read_text(errors="replace"))
    return found.group(0) if found else ""


class Tools:
    """What is installed where. Each is asked for when a suite needs it, and installed once."""

    def __init__(self, folder, logs, say):
        self.folder, self.logs, self.say = folder, logs, say
        folder.mkdir(parents=True, exist_ok=True)
        self.failures = {}

    # --- Go ---

    def go_environment(self, **more):
        # What the machine has, has to do: no other toolchain is fetched for it.
        return {"GOTOOLCHAIN": "local", "GOWORK": "off", **more}

    def need_go(self):
        wanted = ".".join(map(str, GO_WANTED))
        if not shutil.which("go"):
            raise Missing(f"no Go {wanted}")
        words = subprocess.run(
            ["go", "env", "GOVERSION"], env={**os.environ, **self.go_environment()}, cwd=self.folder,
            capture_output=True, text=True, timeout=60, check=False,
        ).stdout.strip()
        found = re.match(r"go(\d+)\.(\d+)", words)
        if not found or tuple(map(int, found.groups())) < GO_WANTED:
            raise Missing(f"no Go {wanted}, only {words or 'one that does not tell its version'}")

    def go(self, package, version):
        """The program of a Go package at a version, which is part of its path here."""
        name = package.rpartition("/")[2]
        folder = self.folder / "go" / f"{package.replace('/', '_')}@{version}"
        program = folder / name
        if program.exists():
            return program
        self.need_go()

        def install():
            command = ["go", "install", f"{package}@{version}"]
            return command, self.go_environment(GOBIN=str(folder.resolve())), program

        return self.install(f"{name} {version}", f"install-{folder.name}", install)

    # --- Maven ---

    def jars(self, artifact, version):
        """A class path with a Maven artifact and all that it needs."""
        group, name = artifact.split(":")
        folder = self.folder / "java" / f"{name}-{version}"
        if not (folder / "complete").exists():
            for program in ("mvn", "java"):
                if not shutil.which(program):
                    raise Missing(f"no {program}, which are Debian's maven and default-jre-headless")

            def install():
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "pom.xml").write_text(POM.format(group=group, name=name, version=version), encoding="utf-8")
                command = ["mvn", "-B", "-f", folder / "pom.xml", MAVEN_GOAL, f"-DoutputDirectory={folder.resolve()}"]
                return command, None, folder / f"{name}-{version}.jar"

            self.install(f"{name} {version}", f"install-{name}-{version}", install)
            (folder / "complete").touch()
        return ":".join(map(str, sorted(folder.glob("*.jar"))))

    # --- either ---

    def install(self, words, log_name, prepare):
        if log_name in self.failures:
            raise Missing(self.failures[log_name])
        self.say(f"installing {words}")
        command, env, result = prepare()
        log = self.logs / f"{log_name}.log"
        code = run(command, log, INSTALL_SECONDS, env, cwd=self.folder)
        if code == 0 and result.exists():
            return result
        self.failures[log_name] = f"{words} could not be installed: {complaint(log, code)}"
        raise Missing(self.failures[log_name])


def complaint(log, code):
    """The installer's own words, without addresses, which differ between machines."""
    if code is None:
        return f"not done after {INSTALL_SECONDS} s"
    lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    told = [line for line in lines if re.search(r"server response|ERROR|error|cannot|invalid", line)]
    line = (told or lines or ["it said nothing"])[-1 if any("server response" in x for x in told) else 0]
    line = re.sub(r"\(?https?://\S+", "the registry", line).replace("server response:", "the registry says:").strip()
    return line[:160]


MAVEN_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies"
POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId>
  <artifactId>peers</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>{group}</groupId>
      <artifactId>{name}</artifactId>
      <version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""
