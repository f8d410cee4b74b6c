"""The README's console blocks, typed in order in a copy of the project, and what they print."""

import re
import subprocess
from pathlib import Path

from serving import README, free_port, serving

BLOCKS = "".join(re.findall(r"^```console\n(.*?)^```", README, re.MULTILINE | re.DOTALL))
(START, _), *COMMANDS = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", BLOCKS, re.MULTILINE)
TIME = r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)"  # the demo's are of today
# A loop that waits for the demo's seventh job, which takes a minute, starts near its end.
PHASE = "sqlite3 instance/demo.db \"UPDATE plans SET begins = {} WHERE job_id GLOB '7*'\"\n"
HURRIED = PHASE.format("strftime('%s', 'now') - 37") + "{}\n" + PHASE.format(0)


def test_the_commands_do_what_the_readme_shows(copy: Path) -> None:
    script, expected = "set -e; exec 2>&1; trap 'kill $(jobs -p)' EXIT\n", ""
    for number, (command, output) in enumerate(COMMANDS):
        typed = HURRIED.format(command) if "while " in command else command
        script += re.sub("&$", "&> log &", typed) + f"\necho '--- {number}'\n"
        expected += f"{output}--- {number}\n"
    with serving(*START.split(), cwd=copy) as server:
        for shown, port in ((5000, server.port), (5001, free_port())):
            script = re.sub(rf"\b{shown}\b", str(port), script)
        bash = ["timeout", "120", "bash", "-c", script]
        done = subprocess.run(bash, cwd=copy, stdout=subprocess.PIPE, text=True, check=False)
    assert re.sub(TIME, "TIME", done.stdout) == re.sub(TIME, "TIME", expected)
