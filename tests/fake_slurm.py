"""A Slurm of one machine: `sbatch`, `srun`, `sacct` and `scancel` as submitit calls them, for tests.

A job is the batch file, run in a session of its own; its state follows from its process. As in Slurm, one that is
cancelled is called so at once, while its processes are only asked to end.
"""

import os
from pathlib import Path

SBATCH = """#!/bin/sh
grep -q '^#SBATCH --partition=nowhere$' "$1" && {
  echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1
}
cp "$1" "$FAKE_SLURM/batch"
setsid sh -c 'export SLURM_JOB_ID=$$; echo $$ >"$FAKE_SLURM/last"; sh "$0"; echo $? >"$FAKE_SLURM/$$.code"' "$1" \
  >/dev/null 2>&1 &
sleep 0.1
echo "Submitted batch job $(cat "$FAKE_SLURM/last")"
"""

SRUN = """#!/bin/sh
while :; do
  case "$1" in
    --output) out=$(echo "$2" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/"); shift 2;;
    --error) err=$(echo "$2" | sed "s/%j/$SLURM_JOB_ID/; s/%t/0/"); shift 2;;
    --*) shift;;
    *) break;;
  esac
done
exec "$@" >>"$out" 2>>"$err"
"""

SACCT = """#!/bin/sh
echo "JobID|State|NodeList"
for word in "$@"; do
  case "$word" in
    *[!0-9]*|"") ;;
    *) if [ -e "$FAKE_SLURM/$word.code" ]; then state=NODE_FAIL; else state=RUNNING; fi
       [ -e "$FAKE_SLURM/$word.state" ] && state=$(cat "$FAKE_SLURM/$word.state")
       echo "$word|$state|here";;
  esac
done
"""

SCANCEL = """#!/bin/sh
echo "CANCELLED by 0" >"$FAKE_SLURM/$1.state"
[ -e "$FAKE_SLURM/$1.code" ] || kill -s TERM -- "-$1"
"""

COMMANDS = {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": SCANCEL}


def install(folder: Path, monkeypatch) -> Path:
    """Put the commands before all others; returns the folder in which they note what happens."""
    (folder / "bin").mkdir()
    for name, text in COMMANDS.items():
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder
