"""The README's console blocks, typed in order in a copy of the project, and what they print."""

import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from serving import README, free_port, serving

SERVER = r"(make run|\S*flask run|\S*granian)\b"
PORT = r"(?<=[: ])(?:5000|5001|8000)\b"
TIME = r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)"  # the demo's are of today
# A loop that waits for the demo's seventh job, which takes a minute, starts near its end.
PHASE = "sqlite3 instance/demo.db \"UPDATE plans SET begins = {} WHERE job_id GLOB '7*'\""
HURRIED = PHASE.format("strftime('%s', 'now') - 37") + "\n{}\n" + PHASE.format(0)


def commands() -> list[tuple[str, str]]:
    """Return the commands of the console blocks, each with what is shown below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    found = re.findall(r"^\$ (.*\n(?:> .*\n)*)((?:[^$].*\n)*)", "".join(blocks), re.MULTILINE)
    return [(command.strip().replace("\n> ", "\n"), output) for command, output in found]


def run(command: str, environment: dict[str, str]) -> str:
    """Return what a command prints; its variables and its folder are those of the next.

    Fail if its status is not 0, or after a minute.
    """
    keep = "status=$?; env -0 > $KEPT; exit $status"
    script = ["bash", "-c", f"exec < /dev/null 2>&1; set -a -o pipefail; {command}\n{keep}"]
    folder = environment["PWD"]
    output = subprocess.check_output(script, cwd=folder, env=environment, text=True, timeout=60)
    pairs = Path(environment["KEPT"]).read_text().split("\0")[:-1]
    environment.clear()
    environment.update({name: value for name, _, value in (pair.partition("=") for pair in pairs)})
    return output


def test_the_commands_do_what_the_readme_shows(copy: Path, tmp_path: Path) -> None:
    ports = {port: free_port() for port in re.findall(PORT, README)}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PWD": f"{copy}", "KEPT": f"{tmp_path}/kept"}
    hinted = ""
    with ExitStack() as running:
        for shown, output in commands():
            command = re.sub(PORT, lambda match: str(ports[match[0]]), shown)
            if re.match(SERVER, command):
                if not command.endswith("&"):
                    running.close()  # it takes the place of the one before
                start = ("bash", "-c", command.removesuffix("&"))
                port = ports[(re.findall(f"--port ({PORT})", shown) or ["5000"])[0]]
                folder = Path(environment["PWD"])
                served = serving(*start, settings=environment, port=port, cwd=folder)
                server = running.enter_context(served)
                for hint in re.findall("Try: (.*)", server.output()):
                    hinted += run(hint, environment)
            else:
                hurried = HURRIED.format(command) if "while " in command else command
                printed = run(hurried, environment)
                exact = re.escape(re.sub(TIME, "TIME", output)).replace("…", ".*")
                assert not output or re.fullmatch(exact.replace("TIME", TIME), printed), printed
    assert '"job_id": "77777777-' in hinted
