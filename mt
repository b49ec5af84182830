#!/usr/bin/env python3
"""MasterTrade without a set-up: makes .venv beside this file, installs the locked packages into it, runs your command.

  ./mt demo                 the whole platform once, from candle to ledger, in about a minute
  ./mt up                   the five services, until Ctrl-C
  ./mt COMMAND ...          any other mastertrade command; ./mt COMMAND --help explains it

  ./mt test [PYTEST ARGS]   all tests, or those named
  ./mt check [TOOL ...]     format, lint, types, floors, schema, house
  ./mt bench [NAME ...]     one benchmark; without a name, the list of them
  ./mt lock [--upgrade]     writes the locks anew from pyproject.toml

Needs Python 3.11 or newer and nothing else. The first run installs what trading needs (requirements.lock), the first
test, check or bench what developing needs besides (requirements-dev.lock); every later one starts at once.
"""

# Pythons from 3.6 on must be able to read this file as far as the line that tells them they are too old.
import hashlib
import os
import sys

ROOT = os.path.dirname(os.path.realpath(__file__))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
LOCK = os.path.join(ROOT, "requirements.lock")
DEV_LOCK = os.path.join(ROOT, "requirements-dev.lock")
"""Holds everything in LOCK, at the same versions."""
UV_LOCK = os.path.join(ROOT, "requirements-uv.lock")
STAMP = os.path.join(VENV, ".mt-stamp")
LOG = os.path.join(VENV, ".mt-install.log")
MUTEX = ".mt-mutex"
INSTALLING = "installing"
TOOL_TIMEOUT_S = 900
"""Longer than any tool needs on two slow cores; a tool that hangs must not hang the check."""


def main(arguments: list) -> None:
    if sys.version_info < (3, 11):
        hand_over_to_newer_python()
    if os.name != "posix":
        fail("MasterTrade runs on Linux and macOS. On Windows, run it inside WSL.")
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(__doc__.strip())
        return
    own_commands = {"test": test, "check": check, "bench": bench, "lock": lock}
    wanted = DEV_LOCK if arguments[0] in own_commands else LOCK
    if not is_installed(wanted):
        install(wanted)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.path.join(ROOT, "src"), os.environ.get("PYTHONPATH", "")])
    )
    if arguments[0] in own_commands:
        os.chdir(ROOT)
        own_commands[arguments[0]](arguments[1:])
    else:
        become("-m", "mastertrade", *arguments)


def become(*arguments: str) -> None:
    """Replace this process, so that signals, exit code and terminal are the program's own."""
    sys.stdout.flush()
    os.execv(PYTHON, [PYTHON, *arguments])


def fail(message: str) -> None:
    sys.exit("mt: " + message)


def hand_over_to_newer_python() -> None:
    import subprocess

    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    for name in ("python3.13", "python3.12", "python3.11"):
        for folder in os.get_exec_path():
            candidate = os.path.join(folder, name)
            # A name on the PATH may be a launcher of a version that is not installed, so each is asked.
            if os.access(candidate, os.X_OK):
                asked = subprocess.run([candidate, "-c", probe], check=False, stderr=subprocess.DEVNULL)
                if asked.returncode == 0:
                    os.execv(candidate, [candidate, os.path.realpath(__file__), *sys.argv[1:]])
    fail(
        "Python {}.{} is too old: MasterTrade needs 3.11 or newer, and the PATH has no python3.13, python3.12 or "
        "python3.11. Install one of them and run the same command again.".format(*sys.version_info[:2])
    )


# The environment -----------------------------------------------------------------------------------------------------


def stamp_of(lock_file: str) -> str:
    """What an environment is made from: the locked packages, and the interpreter that .venv points to."""
    with open(lock_file, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest() + " " + os.path.realpath(PYTHON)


def read_stamp() -> str:
    try:
        with open(STAMP, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def write_stamp(text: str) -> None:
    with open(STAMP + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(STAMP + ".new", STAMP)


def is_installed(lock_file: str) -> bool:
    return os.access(PYTHON, os.X_OK) and read_stamp() in (stamp_of(lock_file), stamp_of(DEV_LOCK))


def install(lock_file: str) -> None:
    import fcntl
    import time

    began = time.monotonic()
    try:
        os.makedirs(VENV, exist_ok=True)
        mutex = os.open(os.path.join(VENV, MUTEX), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        fail("cannot write the environment {}: {}".format(VENV, error.strerror))
    try:
        fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another ./mt is installing; waiting for it\n")
        fcntl.flock(mutex, fcntl.LOCK_EX)
    if is_installed(lock_file):  # by the one we waited for
        return
    try:
        fill_environment(lock_file, mutex)
        write_stamp(stamp_of(lock_file))
    except OSError as error:
        fail("installing into {} failed: {}".format(VENV, error))
    os.close(mutex)
    say("installed into .venv in {:.1f} s\n".format(time.monotonic() - began))


def fill_environment(lock_file: str, mutex: int) -> None:
    old = read_stamp()
    interpreter_changed = " " in old and old.split(" ", 1)[1] != os.path.realpath(PYTHON)
    if old == INSTALLING or interpreter_changed or not os.access(PYTHON, os.X_OK):
        remove_environment()
        write_stamp(INSTALLING)
        try:
            import venv  # noqa: F401
        except ImportError:
            fail(without_pip())
        # Without pip: its unpacking would take longer than everything else together.
        if not step("making .venv", [base_python(), "-m", "venv", "--without-pip", VENV], mutex):
            fail("cannot make .venv:\n" + end_of_log() + "\n" + without_pip())
    write_stamp(INSTALLING)
    uv = find_uv(mutex)
    sync = ["pip", "sync", "--quiet", "--require-hashes", "--python", PYTHON, lock_file]
    if uv and step("installing packages", [uv, *sync], mutex):
        return
    if not step("installing packages with pip", [*find_pip(mutex), *pip_install(lock_file)], mutex):
        name = os.path.basename(lock_file)
        fail("cannot install {} (whole log: {}):\n{}".format(name, LOG, end_of_log()))


def remove_environment() -> None:
    """All but the mutex, which those who wait for us hold open."""
    import shutil

    for entry in os.scandir(VENV):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != MUTEX:
            os.unlink(entry.path)


def base_python() -> str:
    """The interpreter itself, also when ./mt was started by the .venv that it is about to make anew."""
    return getattr(sys, "_base_executable", None) or sys.executable


def find_uv(mutex: int) -> str:
    """uv installs the lock about ten times faster than pip: the one on the PATH, else the pinned one. Empty: none."""
    import shutil

    found = shutil.which("uv")
    if found:
        return found
    pinned = os.path.join(VENV, "bin", "uv")
    if not os.access(pinned, os.X_OK):
        step("fetching the installer", [*find_pip(mutex), *pip_install(UV_LOCK)], mutex)
    return pinned if os.access(pinned, os.X_OK) else ""


def find_pip(mutex: int) -> list:
    """The base interpreter's pip where it can install into another environment (22.3 and later), else a new one."""
    borrowed = [base_python(), "-m", "pip", "--python", PYTHON]
    own = [PYTHON, "-m", "pip"]
    for pip in (own, borrowed):
        if step("", [*pip, "--version"], mutex):
            return pip
    if step("making pip", [PYTHON, "-m", "ensurepip"], mutex):
        return own
    return fail(without_pip())


def pip_install(lock_file: str) -> list:
    options = ["--require-hashes", "--progress-bar", "off", "--disable-pip-version-check"]
    return ["install", *options, "--requirement", lock_file]


def without_pip() -> str:
    version = "{}.{}".format(*sys.version_info[:2])
    return (
        "this Python comes without venv and pip. On Debian and Ubuntu: apt install python{}-venv (as root); elsewhere "
        "install them with your package manager, or put uv on the PATH. Then run the same command again."
    ).format(version)


def say(text: str) -> None:
    """To stderr: stdout belongs to the command."""
    sys.stderr.write("mt: " + text)
    sys.stderr.flush()


def step(what: str, command: list, mutex: int) -> bool:
    """Run one command into the log; a named one shows its seconds on a terminal. The child holds the mutex too: when we
    are killed, whoever comes next waits until it has ended."""
    import subprocess
    import time

    live = bool(what) and sys.stderr.isatty()
    if what and not live:
        say(what + " ...\n")
    began = time.monotonic()
    with open(LOG, "ab") as log:
        log.write("$ {}\n".format(" ".join(command)).encode())
        log.flush()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[mutex])
        try:
            while True:
                try:
                    code = child.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if live:
                        sys.stderr.write("\rmt: {} ... {:.0f} s".format(what, time.monotonic() - began))
                        sys.stderr.flush()
        except KeyboardInterrupt:
            child.wait()
            raise
    if live:
        sys.stderr.write("\r\x1b[K")
    return code == 0


def end_of_log() -> str:
    with open(LOG, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-12:]).rstrip()


# The developer's commands --------------------------------------------------------------------------------------------


def test(arguments: list) -> None:
    alone = any(argument.startswith(("-n", "--numprocesses", "--pdb", "--trace")) for argument in arguments)
    become("-m", "pytest", *([] if alone else ["-n", "auto", "--dist", "worksteal"]), *arguments)


def bench(arguments: list) -> None:
    folder = os.path.join(ROOT, "benchmarks")
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py")) if os.path.isdir(folder) else []
    if arguments and arguments[0] in names:
        become(os.path.join(folder, arguments[0] + ".py"), *arguments[1:])
    if arguments:
        fail("no benchmark {!r}; there are: {}".format(arguments[0], ", ".join(names) or "none"))
    print("\n".join(names))


def lock(arguments: list) -> None:
    import subprocess

    uv = os.path.join(VENV, "bin", "uv")
    if not os.access(uv, os.X_OK):
        import shutil

        uv = shutil.which("uv")
    if not uv:
        fail("./mt lock needs uv. Install it, or remove .venv and run ./mt check to get the pinned one.")
    options = ["--universal", "--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--quiet", *arguments]
    runs = ["pyproject.toml", "--extra", "live", "--extra", "research"]
    sources = (
        (DEV_LOCK, [*runs, "--extra", "ray", "--group", "dev"], ""),
        (LOCK, [*runs, "--constraint", os.path.basename(DEV_LOCK)], ""),
        (UV_LOCK, ["-", "--python-version", "3.11"], "uv\n"),
    )
    for target, source, text in sources:
        command = [uv, "pip", "compile", *source, *options, "--custom-compile-command", "./mt lock", "-o", target]
        if subprocess.run(command, check=False, input=text, text=True, stdout=subprocess.DEVNULL).returncode != 0:
            fail("{} was not written".format(os.path.basename(target)))


def check(arguments: list) -> None:
    import concurrent.futures

    tools = checks()
    unknown = [name for name in arguments if name not in tools]
    if unknown:
        fail("no check {!r}; there are: {}".format(unknown[0], ", ".join(tools)))
    chosen = {name: tools[name] for name in arguments or tools}
    failures = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        runs = {name: pool.submit(run_tool, command) for name, command in chosen.items()}
        for name, run in runs.items():
            code, output, seconds = run.result()
            print("{:<4}  {:<7} {:>6.1f} s".format("ok" if code == 0 else "FAIL", name, seconds), flush=True)
            if code != 0:
                failures.append((name, output))
    for name, output in failures:
        print("\n--- {} ---\n{}".format(name, output.rstrip()))
    sys.exit(1 if failures else 0)


def checks() -> dict:
    """Tool by name. The slow ones come first, so that the quick ones fill the other core meanwhile."""
    import glob

    floors = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"
    schema = glob.glob("src/mastertrade/postgres/schema.sql") + glob.glob("src/mastertrade/postgres/schema/*.sql")
    return {
        "types": [PYTHON, "-m", "mypy"],
        "house": [PYTHON, "-m", "pytest", "-q", "tests/house"],
        "floors": [PYTHON, "-c", floors],
        "lint": [PYTHON, "-m", "ruff", "check"],
        "format": [PYTHON, "-m", "ruff", "format", "--check"],
        "schema": [os.path.join(VENV, "bin", "squawk"), "--reporter", "gcc", *sorted(schema)],
    }


def run_tool(command: list) -> tuple:
    import subprocess
    import time

    began = time.monotonic()
    try:
        run = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TOOL_TIMEOUT_S,
        )
        code, output = run.returncode, run.stdout
    except subprocess.TimeoutExpired:
        code, output = 124, "gave no answer within {} s".format(TOOL_TIMEOUT_S)
    return code, output, time.monotonic() - began


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("\nmt: interrupted; run the same command again\n")
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has seen enough
        os._exit(1)
