"""Types at a program that runs at a terminal of its own: pty_drive.py TYPED PROGRAM ARGS…

TYPED is a JSON list of [text that must appear, keys that are typed then]; a text is looked for behind the one before it. Prints everything that the terminal got, and ends with the program's exit code.
"""

import json
import os
import pty
import select
import sys
import time

script, command = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)

seen, begun = b"", 0


def read(limit):
    """Reads what there is; False when the program has gone, or said nothing for `limit` seconds."""
    global seen
    if not select.select([terminal], [], [], limit)[0]:
        return False
    try:
        more = os.read(terminal, 65536)
    except OSError:
        return False
    seen += more
    return bool(more)


for awaited, keys in script:
    end = time.monotonic() + 60
    while awaited.encode() not in seen[begun:]:
        if time.monotonic() > end or not read(60):
            sys.stdout.buffer.write(seen)
            sys.exit(f"\n`{awaited}` never appeared")
    begun = seen.index(awaited.encode(), begun) + len(awaited.encode())
    os.write(terminal, keys.encode())
while read(60):
    pass
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
